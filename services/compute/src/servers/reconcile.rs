//! Keeps servers as their owners want them, as far as that is not their node's work: finds them a place,
//! and lets go of deleted ones whose node does not answer.
//!
//! `plan` is pure; a step is one commit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Error, Kind, Result, Timestamp};
use control::{Next, Reconciler};
use nodes::NodeRecord;
use placement::{
    Consumer, allocations,
    scheduler::{GroupPolicy, no_valid_host},
};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot, State, Txn};

use super::{
    actions,
    create::resources,
    gone::GoneRecord,
    placing::{Choice, Placer, group_rule},
    record::{Fault, Phase, Place, ServerRecord},
};
use crate::{
    Compute,
    instance_actions::{self, Outcome},
};

/// What stands before a reconciler when it looks at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sights {
    /// How the server's node is.
    pub(super) node: NodeSight,
    /// What time it is.
    pub(super) now: Timestamp,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeSight {
    /// It has none, or none that is (still) a part of the cloud.
    None,
    /// It can be reached.
    Up,
    /// It is away.
    Away {
        /// Its name.
        name: String,
        /// Since when.
        since: Timestamp,
    },
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Find it a place.
    Place,
    /// Let go of it without its node.
    LetGo,
    /// Say that it could not be made ready, for this reason.
    Fail(String),
    /// Nothing now; look again then.
    Wait(Duration),
}

/// What is to be done for a server; none: nothing.
pub(super) fn plan(server: &ServerRecord, sights: &Sights) -> Option<Step> {
    let left = |since: Timestamp| actions::PATIENCE.checked_sub(sights.now.since(since));
    if let Some(since) = server.intent.deleted_at {
        return Some(match (&sights.node, left(since)) {
            (NodeSight::Up, Some(left)) if !left.is_zero() => Step::Wait(left),
            _ => Step::LetGo,
        });
    }
    if server.phase != Phase::New {
        return None;
    }
    if server.place.is_none() {
        return Some(Step::Place);
    }
    match &sights.node {
        NodeSight::Up => None,
        // It may run there by now: elsewhere it must not. Should the node come back with it, it is fine.
        NodeSight::Away { name, since } => Some(match left(*since) {
            Some(left) if !left.is_zero() => Step::Wait(left),
            _ => Step::Fail(format!("The node {name} went away while it made the server ready.")),
        }),
        NodeSight::None => {
            Some(Step::Fail("The server's node was removed from the cloud.".to_owned()))
        }
    }
}

/// Written by every transaction that places a member of a group: two that decide on the same places of
/// the others cannot both be carried out. Its id: the group's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTurn {
    /// How many members were ever placed.
    pub placed: u64,
}

impl Record for GroupTurn {
    const TABLE: &'static str = "compute.group_turns";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[];
}

/// Keeps servers.
pub(crate) struct ServerKeeper {
    state: State,
    placer: Placer,
}

impl ServerKeeper {
    /// Of this cloud.
    pub(crate) fn new(compute: &Compute) -> ServerKeeper {
        ServerKeeper {
            placer: Placer::new(&compute.state, &compute.config.default_zone),
            state: compute.state.clone(),
        }
    }

    async fn place(
        &self,
        id: &str,
        server: Arc<ServerRecord>,
        snapshot: &Snapshot,
    ) -> Result<Next> {
        let id = id.to_owned();
        match self.placer.choose(snapshot, &id, &server)? {
            Ok(choice) => {
                let placed = {
                    let id = id.clone();
                    let transaction = move |txn: &mut Txn| take_place(txn, &id, &choice);
                    self.state.transact_in_lane("placement", "servers::place", transaction).await
                };
                match placed {
                    Ok(()) => Ok(Next::Settled),
                    // Somebody was there first: the next look is at what is there now.
                    Err(error) if error.kind() == Kind::Conflict => Ok(Next::Again),
                    Err(error) => Err(error),
                }
            }
            Err(refusals) => {
                let details = no_valid_host(&refusals, 8 * 1024);
                let transaction = move |txn: &mut Txn| fail_to_place(txn, &id, &details);
                self.state
                    .transact_in_lane("placement", "servers::no_valid_host", transaction)
                    .await?;
                Ok(Next::Settled)
            }
        }
    }
}

/// The server takes its place: the claim and the epoch in one step.
fn take_place(txn: &mut Txn, id: &str, choice: &Choice) -> Result<()> {
    let Some(server) = txn.get::<ServerRecord>(id)? else { return Ok(()) };
    if server.place.is_some() || server.is_deleted() || server.phase != Phase::New {
        return Ok(());
    }
    let consumer = Consumer::server(id, &server.project_id, &server.user_id);
    allocations::actions::claim(txn, &consumer, &choice.provider, &resources(&server.flavor)?)?;
    if let Some(group) = &server.group {
        keep_apart(txn, id, &server, group, &choice.node)?;
    }
    let mut placed = ServerRecord::clone(&server);
    placed.epoch = server.epoch.next();
    placed.place = Some(Place { node: choice.node.clone(), epoch: placed.epoch });
    placed.intent.version = txn.snapshot().revision();
    placed.updated_at = txn.now();
    txn.put(id, placed)
}

/// The group's rule, once more: as this transaction finds the members' places.
fn keep_apart(
    txn: &mut Txn,
    id: &str,
    server: &ServerRecord,
    group: &str,
    node: &str,
) -> Result<()> {
    let turn = txn.get::<GroupTurn>(group)?.map_or(0, |turn| turn.placed);
    txn.put(group, GroupTurn { placed: turn + 1 })?;
    let Some(rule) = group_rule(txn.snapshot(), id, server) else { return Ok(()) };
    // Those placed by this transaction's other actions are not in the snapshot.
    let (mut here, mut elsewhere) = (0, 0);
    for (other, member) in txn.peek_by::<ServerRecord>("group", group) {
        match member.node() {
            _ if &*other == id => {}
            Some(place) if place == node => here += 1,
            Some(_) => elsewhere += 1,
            None => {}
        }
    }
    let broken = match rule.policy {
        GroupPolicy::Affinity => here == 0 && elsewhere > 0,
        GroupPolicy::AntiAffinity => here >= rule.max_server_per_host.max(1),
        GroupPolicy::SoftAffinity | GroupPolicy::SoftAntiAffinity => false,
    };
    match broken {
        true => Err(Error::conflict("The server group's rule stands against this node by now.")),
        false => Ok(()),
    }
}

fn fail_to_place(txn: &mut Txn, id: &str, details: &str) -> Result<()> {
    let Some(server) = txn.get::<ServerRecord>(id)? else { return Ok(()) };
    if server.place.is_some() || server.is_deleted() || server.phase != Phase::New {
        return Ok(());
    }
    let now = txn.now();
    let mut failed = ServerRecord::clone(&server);
    failed.phase = Phase::Failed;
    failed.fault = Some(Fault {
        code: 500,
        message: "No valid host was found.".to_owned(),
        details: details.to_owned(),
        created: now,
    });
    failed.updated_at = now;
    txn.put(id, failed)?;
    let why = Outcome::Error(format!("No valid host was found. {details}"));
    instance_actions::end(txn, id, &why, None)
}

/// It could not be made ready, as far as is known.
fn fail(txn: &mut Txn, id: &str, why: &str) -> Result<()> {
    let Some(server) = txn.get::<ServerRecord>(id)? else { return Ok(()) };
    if server.is_deleted() || server.phase != Phase::New || server.place.is_none() {
        return Ok(());
    }
    let now = txn.now();
    let mut failed = ServerRecord::clone(&server);
    failed.phase = Phase::Failed;
    failed.fault =
        Some(Fault { code: 500, message: why.to_owned(), details: String::new(), created: now });
    failed.updated_at = now;
    txn.put(id, failed)?;
    instance_actions::end(txn, id, &Outcome::Error(why.to_owned()), server.node())
}

fn sight(snapshot: &Snapshot, node: Option<&str>) -> NodeSight {
    let Some(name) = node else { return NodeSight::None };
    match snapshot.get::<NodeRecord>(name) {
        None => NodeSight::None,
        Some(node) if node.is_up() => NodeSight::Up,
        Some(node) => NodeSight::Away { name: name.to_owned(), since: node.presence.since },
    }
}

#[async_trait]
impl Reconciler for ServerKeeper {
    fn name(&self) -> &'static str {
        "compute.servers"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        match table {
            ServerRecord::TABLE => {
                let unsettled =
                    snapshot.get::<ServerRecord>(id).is_some_and(|server| !server.is_settled());
                if unsettled { vec![id.to_owned()] } else { Vec::new() }
            }
            // Those that wait for a node that went away.
            NodeRecord::TABLE if snapshot.get::<NodeRecord>(id).is_none_or(|n| !n.is_up()) => {
                super::on_node(snapshot, id)
                    .iter()
                    .filter(|server| !server.is_settled())
                    .map(|server| server.id.to_string())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        snapshot
            .index_range::<ServerRecord>("unsettled", "")
            .map(|(_, id)| id.to_string())
            .collect()
    }

    fn width(&self) -> usize {
        64
    }

    async fn step(&self, id: &str) -> Result<Next> {
        let snapshot = self.state.known();
        let Some(server) = snapshot.find::<ServerRecord>(id)? else { return Ok(Next::Settled) };
        let sights =
            Sights { node: sight(&snapshot, server.node()), now: self.state.world().wall() };
        match plan(&server, &sights) {
            None => Ok(Next::Settled),
            Some(Step::Wait(time)) => Ok(Next::After(time.max(Duration::from_millis(100)))),
            Some(Step::Place) => self.place(id, server.record(), &snapshot).await,
            Some(Step::Fail(why)) => {
                let id = id.to_owned();
                let transaction = move |txn: &mut Txn| fail(txn, &id, &why);
                self.state.transact_in_lane("reports", "servers::fail", transaction).await?;
                Ok(Next::Settled)
            }
            Some(Step::LetGo) => {
                let project = server.project_id.clone();
                let id = id.to_owned();
                let transaction = move |txn: &mut Txn| {
                    let Some(server) = txn.get::<ServerRecord>(&id)? else { return Ok(()) };
                    // The node may have come back: then it will say so itself, or be let go later.
                    if !server.is_deleted() {
                        return Ok(());
                    }
                    actions::let_go(txn, &id, &server)
                };
                self.state
                    .transact_in_lane(&format!("quota/{project}"), "servers::let_go", transaction)
                    .await?;
                Ok(Next::Settled)
            }
        }
    }
}

/// Takes orders to clear away back when their node was removed from the cloud.
pub(crate) struct GoneKeeper {
    pub(crate) state: State,
}

#[async_trait]
impl Reconciler for GoneKeeper {
    fn name(&self) -> &'static str {
        "compute.gone"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        match table {
            NodeRecord::TABLE if snapshot.get::<NodeRecord>(id).is_none() => {
                let ids = snapshot.index_ids::<GoneRecord>("node", id);
                ids.iter().map(|id| id.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        snapshot
            .all::<GoneRecord>()
            .filter(|gone| snapshot.get::<NodeRecord>(&gone.node).is_none())
            .map(|gone| gone.id.to_string())
            .collect()
    }

    async fn step(&self, id: &str) -> Result<Next> {
        self.state
            .transact("servers::node_removed", |txn| {
                let Some(gone) = txn.get::<GoneRecord>(id)? else { return Ok(()) };
                match txn.get::<NodeRecord>(&gone.node)? {
                    Some(_) => Ok(()),
                    None => cleared(txn, &gone),
                }
            })
            .await?;
        Ok(Next::Settled)
    }
}

/// Nothing is left of a machine on its old node.
pub(super) fn cleared(txn: &mut Txn, gone: &GoneRecord) -> Result<()> {
    if gone.holds {
        allocations::actions::release(txn, &gone.server)?;
    }
    txn.delete::<GoneRecord>(&GoneRecord::id(&gone.node, &gone.server))?;
    Ok(())
}

/// A node is removed from the cloud: its orders to clear away end, and with them what they held of it. In
/// the transaction that removes it. Servers that are still on it stand against it.
pub fn clear_node(txn: &mut Txn, node: &str) -> Result<()> {
    if let Some((server, _)) = txn.peek_by::<ServerRecord>("host", node).into_iter().next() {
        return Err(Error::conflict(format!(
            "The node {node} has servers, such as {server}; delete or move them first."
        )));
    }
    for (id, _) in txn.peek_by::<GoneRecord>("node", node) {
        if let Some(gone) = txn.get::<GoneRecord>(&id)? {
            cleared(txn, &gone)?;
        }
    }
    Ok(())
}
