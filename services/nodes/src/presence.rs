//! Nodes whose controller is gone: after a grace in which they find another, they are said to be away.
//! A session's end is a hint only; a node that is held again meanwhile is left alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base::{Map, Moment, Result};
use control::{Next, Reconciler};
use state::{SessionRecord, Snapshot, State};

use crate::{
    NodeRecord,
    actions::{self, Holder},
};

pub(crate) struct PresenceKeeper {
    pub(crate) state: State,
    pub(crate) grace: Duration,
    pub(crate) first_seen: Mutex<Map<String, (Holder, Moment)>>,
}

/// Who holds the node, if that controller's incarnation is not there any more.
fn orphaned(snapshot: &Snapshot, node: &NodeRecord) -> Option<Holder> {
    let controller = node.presence.controller.clone()?;
    let session = snapshot.get::<SessionRecord>(&controller);
    let alive = session.is_some_and(|session| session.incarnation == node.presence.incarnation);
    let incarnation = node.presence.incarnation.clone();
    (!alive).then_some(Holder { controller, incarnation })
}

#[async_trait]
impl Reconciler for PresenceKeeper {
    fn name(&self) -> &'static str {
        "nodes.presence"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        use state::Record;
        if table == SessionRecord::TABLE {
            return self.unsettled(snapshot);
        }
        if table == NodeRecord::TABLE { vec![id.to_owned()] } else { Vec::new() }
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        snapshot
            .all::<NodeRecord>()
            .filter(|node| orphaned(snapshot, node).is_some())
            .map(|node| node.id.to_string())
            .collect()
    }

    async fn step(&self, key: &str) -> Result<Next> {
        let snapshot = self.state.known();
        let orphan = snapshot.get::<NodeRecord>(key).and_then(|node| orphaned(&snapshot, &node));
        let now = self.state.world().now();
        let waited = {
            let mut seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(holder) = &orphan else {
                seen.remove(key);
                return Ok(Next::Settled);
            };
            let entry = seen.entry(key.to_owned()).or_insert_with(|| (holder.clone(), now));
            if entry.0.incarnation != holder.incarnation {
                *entry = (holder.clone(), now);
            }
            now.since(entry.1)
        };
        if waited < self.grace {
            return Ok(Next::After(self.grace - waited));
        }
        let Some(holder) = orphan else { return Ok(Next::Settled) };
        let name = key.to_owned();
        self.state
            .transact_in_lane("nodes", "nodes::away", move |txn| {
                actions::leave(txn, &name, &holder)
            })
            .await?;
        Ok(Next::Settled)
    }
}
