//! Many servers of one request: an intent that holds their quota and is shown as already true. It is
//! carried out in steps, each of which makes some of the servers' own records.
//!
//! ```text
//! create (count > 10) ──▶ batch: all members ──▶ … fewer … ──▶ (none: all have records)
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::Result;
use control::{Next, Reconciler};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot, Txn};

use super::{
    find::Server,
    record::{ServerRecord, newest_first, project_key},
};
use crate::{
    Compute,
    instance_actions::{self, Doer},
};

/// Servers that are asked for and have no records of their own yet. Its id: the reservation's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// What they have in common.
    pub template: ServerRecord,
    /// How many the request made in all.
    pub count: u32,
    /// The name and host name before numbers are added.
    pub names: (String, String),
    /// The request, for the servers' actions.
    pub request_id: String,
    /// Who asked.
    pub asked_by: (String, String),
    /// Those that are left.
    pub members: Vec<Member>,
}

/// One of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The server's id.
    pub id: String,
    /// Its number, from 0.
    pub index: u32,
}

impl Record for BatchRecord {
    const TABLE: &'static str = "compute.batches";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "member", keys: |b, _| b.members.iter().map(|m| m.id.clone()).collect() },
        Index {
            name: "project",
            keys: |b, _| vec![project_key(&b.template.project_id, b.template.created_at)],
        },
        Index { name: "created", keys: |b, _| vec![newest_first(b.template.created_at)] },
    ];
}

impl BatchRecord {
    /// A member as it will be made.
    pub(super) fn server(&self, member: &Member) -> ServerRecord {
        let mut server = self.template.clone();
        server.launch_index = member.index;
        (server.name, server.hostname) =
            numbered(&self.names.0, &self.names.1, &member.id, member.index, self.count);
        server
    }

    /// All members.
    pub(super) fn servers(&self) -> impl Iterator<Item = Server> {
        self.members.iter().map(|member| Server {
            id: member.id.as_str().into(),
            record: Arc::new(self.server(member)),
        })
    }

    fn doer(&self) -> Doer {
        Doer {
            request_id: self.request_id.clone(),
            user_id: self.asked_by.0.clone(),
            project_id: self.asked_by.1.clone(),
        }
    }
}

/// The name and host name of one of several servers; an empty host name is made from the id.
pub(super) fn numbered(
    name: &str,
    hostname: &str,
    id: &str,
    index: u32,
    count: u32,
) -> (String, String) {
    let number = index + 1;
    let hostname = match (hostname.is_empty(), count > 1) {
        (true, _) => format!("Server-{id}"),
        (false, true) => format!("{hostname}-{number}"),
        (false, false) => hostname.to_owned(),
    };
    let name = if count > 1 { format!("{name}-{number}") } else { name.to_owned() };
    (name, hostname)
}

/// The server of that id, when it is a member of a batch.
pub(super) fn member(snapshot: &Snapshot, id: &str) -> Result<Option<Server>> {
    let Some(batch) = snapshot.index_ids::<BatchRecord>("member", id).into_iter().next() else {
        return Ok(None);
    };
    let Some(batch) = snapshot.find::<BatchRecord>(&batch)? else { return Ok(None) };
    Ok(batch
        .members
        .iter()
        .find(|member| member.id == id)
        .map(|member| Server { id: id.into(), record: Arc::new(batch.server(member)) }))
}

/// Takes a member out of its batch, to be written as a record of its own in the same transaction.
pub(super) fn take_out(txn: &mut Txn, id: &str) -> Result<Option<Arc<ServerRecord>>> {
    let Some((batch_id, _)) = txn.peek_by::<BatchRecord>("member", id).into_iter().next() else {
        return Ok(None);
    };
    let Some(batch) = txn.get::<BatchRecord>(&batch_id)? else { return Ok(None) };
    let Some(at) = batch.members.iter().position(|member| member.id == id) else {
        return Ok(None);
    };
    let mut rest = BatchRecord::clone(&batch);
    let member = rest.members.remove(at);
    let server = batch.server(&member);
    make(txn, &batch, &member, server.clone())?;
    if rest.members.is_empty() {
        txn.delete::<BatchRecord>(&batch_id)?;
    } else {
        txn.put(&batch_id, rest)?;
    }
    Ok(Some(Arc::new(server)))
}

fn make(txn: &mut Txn, batch: &BatchRecord, member: &Member, server: ServerRecord) -> Result<()> {
    let mut actions = instance_actions::ActionsRecord::default();
    actions.begin(
        &batch.doer(),
        "create",
        "compute__do_build_and_run_instance",
        None,
        server.created_at,
    );
    txn.create(&member.id, actions)?;
    txn.create(&member.id, server)
}

/// Carries batches out.
pub(crate) struct BatchKeeper {
    pub(crate) compute: Compute,
}

/// So many servers are made in one commit: two records each.
const AT_ONCE: usize = 40;

#[async_trait]
impl Reconciler for BatchKeeper {
    fn name(&self) -> &'static str {
        "compute.batches"
    }

    fn keys(&self, _: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        if table == BatchRecord::TABLE { vec![id.to_owned()] } else { Vec::new() }
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        snapshot.all::<BatchRecord>().map(|batch| batch.id.to_string()).collect()
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn step(&self, id: &str) -> Result<Next> {
        let left = self
            .compute
            .state
            .transact("servers::expand", |txn| {
                let Some(batch) = txn.get::<BatchRecord>(id)? else { return Ok(0) };
                let mut rest = BatchRecord::clone(&batch);
                let now = rest.members.split_off(rest.members.len().min(AT_ONCE));
                let now = std::mem::replace(&mut rest.members, now);
                for member in &now {
                    make(txn, &batch, member, batch.server(member))?;
                }
                let left = rest.members.len();
                if left == 0 {
                    txn.delete::<BatchRecord>(id)?;
                } else {
                    txn.put(id, rest)?;
                }
                Ok(left)
            })
            .await?;
        Ok(if left == 0 { Next::Settled } else { Next::Again })
    }
}
