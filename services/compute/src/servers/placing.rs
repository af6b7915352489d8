//! Where servers go. The nodes are prepared once and brought up to date as they change; what is chosen is
//! counted in at once, so that a burst does not pile up on one node before the store knows of it.
//! Chooses only: the transaction that follows claims, and is the one that decides.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Map, Result, Revision, Set};
use nodes::NodeRecord;
use placement::{
    ProviderRecord, UsageRecord, room_of,
    scheduler::{Candidate, GroupRule, Pool, Refusal, Request},
};
use state::{Notice, Record, Snapshot, State};
use tokio::sync::mpsc;

use super::{
    create::resources,
    find::find,
    record::{Phase, ServerRecord},
};
use crate::around;

/// Chooses nodes for servers.
pub(crate) struct Placer {
    default_zone: String,
    kept: Mutex<Kept>,
}

struct Kept {
    notices: mpsc::UnboundedReceiver<Notice>,
    /// The state that the pool was last brought up to; none: it is made anew.
    as_of: Option<Revision>,
    pool: Pool,
    /// Nodes, by name, whose candidates may be out of date.
    dirty: Set<String>,
    /// Provider id to node name.
    names: Map<String, String>,
}

impl Placer {
    /// For this state.
    pub(crate) fn new(state: &State, default_zone: &str) -> Placer {
        Placer {
            default_zone: default_zone.to_owned(),
            kept: Mutex::new(Kept {
                notices: state.subscribe(),
                as_of: None,
                pool: Pool::default(),
                dirty: Set::new(),
                names: Map::new(),
            }),
        }
    }

    /// The node that a server shall go to: its name and provider. Or what each node refused it for.
    pub(crate) fn choose(
        &self,
        snapshot: &Snapshot,
        id: &str,
        server: &ServerRecord,
    ) -> Result<std::result::Result<Choice, Vec<Refusal>>> {
        let request = request(snapshot, id, server)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.refresh(snapshot, &self.default_zone);
        Ok(kept.pool.take(&request).map(|provider| {
            let node = kept.names.get(&provider).cloned().unwrap_or_default();
            // Counted in until it is known to be so, or not.
            kept.dirty.insert(node.clone());
            Choice { node, provider }
        }))
    }
}

/// A node that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) node: String,
    pub(crate) provider: String,
}

impl Kept {
    fn refresh(&mut self, snapshot: &Snapshot, default_zone: &str) {
        let mut anew = self.as_of.is_none();
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Reset => anew = true,
                Notice::Changed(changed) => {
                    for (table, id) in changed.iter() {
                        anew |= !self.note(snapshot, table, id);
                    }
                }
            }
        }
        if anew {
            let candidates: Vec<Candidate> = snapshot
                .all::<NodeRecord>()
                .filter_map(|node| candidate(snapshot, &node.id, &node, default_zone))
                .collect();
            self.names = candidates.iter().map(|c| (c.id.clone(), c.name.clone())).collect();
            self.pool = Pool::new(candidates);
            self.dirty.clear();
            self.as_of = Some(snapshot.revision());
            return;
        }
        if self.as_of.is_some_and(|as_of| snapshot.revision() <= as_of) {
            // What was counted in since is newer than this.
            return;
        }
        self.as_of = Some(snapshot.revision());
        for name in std::mem::take(&mut self.dirty) {
            let Some(node) = snapshot.get::<NodeRecord>(&name) else { continue };
            if let Some(fresh) = candidate(snapshot, &name, &node, default_zone)
                && let Some(old) = self.pool.host_mut(&fresh.id)
            {
                *old = fresh;
            }
        }
    }

    /// Notes which node a change is about; false when it may be about any.
    fn note(&mut self, snapshot: &Snapshot, table: &str, id: &str) -> bool {
        match table {
            NodeRecord::TABLE => {
                // A node that is new, or gone, changes the pool itself.
                let known = snapshot
                    .get::<NodeRecord>(id)
                    .is_some_and(|node| self.names.get(&node.uuid).is_some_and(|name| name == id));
                self.dirty.insert(id.to_owned());
                known
            }
            ProviderRecord::TABLE | UsageRecord::TABLE => {
                if let Some(name) = self.names.get(id) {
                    self.dirty.insert(name.clone());
                }
                true
            }
            ServerRecord::TABLE => {
                if let Some(node) =
                    snapshot.get::<ServerRecord>(id).and_then(|s| s.node().map(str::to_owned))
                {
                    self.dirty.insert(node);
                }
                true
            }
            table => !around::moves_zones(table),
        }
    }
}

fn candidate(
    snapshot: &Snapshot,
    name: &str,
    node: &NodeRecord,
    default_zone: &str,
) -> Option<Candidate> {
    let (mut servers, mut busy) = (0, 0);
    for id in snapshot.index_ids::<ServerRecord>("host", name) {
        servers += 1;
        busy += u64::from(
            snapshot.get::<ServerRecord>(&id).is_some_and(|server| server.phase == Phase::New),
        );
    }
    Some(Candidate {
        id: node.uuid.clone(),
        name: name.to_owned(),
        zone: around::zone_of(snapshot, name, default_zone).into(),
        up: node.is_up(),
        disabled: node.disabled.clone(),
        maintenance: false,
        room: room_of(snapshot, &node.uuid)?,
        metadata: Arc::new(around::metadata_of(snapshot, name)),
        architecture: node.inventory.architecture.clone(),
        hypervisor_type: node.inventory.hypervisor_type.clone(),
        hypervisor_version: node.inventory.hypervisor_version,
        acceleration: node.inventory.acceleration.clone(),
        cpu_model: node.inventory.cpu_model.clone(),
        servers,
        busy,
    })
}

/// What a server wants of a node.
fn request(snapshot: &Snapshot, id: &str, server: &ServerRecord) -> Result<Request> {
    Ok(Request {
        seed: id.to_owned(),
        resources: resources(&server.flavor)?,
        zone: server.availability_zone.clone(),
        host: server.only_on.as_ref().map(|only| only.node.clone()),
        force: server.only_on.as_ref().is_some_and(|only| only.forced),
        ignore_hosts: Set::new(),
        group: group_rule(snapshot, id, server),
        same_hosts: hinted(snapshot, server, "same_host"),
        different_hosts: hinted(snapshot, server, "different_host").unwrap_or_default(),
        extra_specs: server.flavor.extra_specs.clone(),
        image: server.image.as_ref().map(|image| image.properties.clone()).unwrap_or_default(),
    })
}

/// The nodes of the servers that a hint names.
fn hinted(snapshot: &Snapshot, server: &ServerRecord, hint: &str) -> Option<Set<String>> {
    let hint = server.hints.get(hint)?;
    let ids: Vec<&str> = match hint {
        serde_json::Value::Array(list) => list.iter().filter_map(|id| id.as_str()).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let node = |id: &str| {
        let other = find(snapshot, id).ok().flatten()?;
        // Another project's servers are nobody's business.
        (other.project_id == server.project_id).then(|| other.node().map(str::to_owned))?
    };
    Some(ids.into_iter().filter_map(node).collect())
}

/// What its server group wants, with the places of the other members.
pub(super) fn group_rule(
    snapshot: &Snapshot,
    id: &str,
    server: &ServerRecord,
) -> Option<GroupRule> {
    let (policy, max_server_per_host) = around::group_rule(snapshot, server.group.as_deref()?)?;
    let mut members = Map::new();
    for other in super::in_group(snapshot, server.group.as_deref()?) {
        if &*other.id != id
            && let Some(node) = other.node()
        {
            *members.entry(node.to_owned()).or_default() += 1;
        }
    }
    Some(GroupRule { policy, members, max_server_per_host })
}
