//! Deleted servers, as they last were: shown to those who ask for them, and counted by usage. Bounded in
//! time and number; the keeper takes the oldest away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Result, Timestamp};
use control::{Next, Reconciler};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot};

use super::record::{ServerRecord, newest_first, project_key};
use crate::{Compute, instance_actions::ActionsRecord};

/// A server that is no more. Its id in the table is its UUID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeletedServer(pub ServerRecord);

impl Record for DeletedServer {
    const TABLE: &'static str = "compute.deleted_servers";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "project", keys: |s, _| vec![project_key(&s.0.project_id, s.0.created_at)] },
        Index { name: "created", keys: |s, _| vec![newest_first(s.0.created_at)] },
        // Those that went first come first.
        Index { name: "ended", keys: |s, _| vec![format!("{}/{}", s.0.project_id, s.ended())] },
    ];
}

impl DeletedServer {
    fn ended(&self) -> String {
        let at = self.0.terminated_at.unwrap_or(self.0.updated_at);
        format!("{:016x}", at.micros().max(0))
    }

    /// When it ended.
    pub fn ended_at(&self) -> Timestamp {
        self.0.terminated_at.unwrap_or(self.0.updated_at)
    }
}

/// Keeps the number and age of tombstones within bounds.
pub(crate) struct TombstoneKeeper {
    pub(crate) compute: Compute,
}

/// So many are taken away in one commit.
const AT_ONCE: usize = 25;

impl TombstoneKeeper {
    /// Those of one project that are too old or too many, oldest first; and when the next will be.
    fn overdue(&self, snapshot: &Snapshot, project: &str) -> (Vec<Arc<str>>, Option<Duration>) {
        let config = &self.compute.config;
        let now = self.compute.world().wall();
        let all: Vec<_> =
            snapshot.index_range::<DeletedServer>("ended", &format!("{project}/")).collect();
        let surplus = all.len().saturating_sub(config.keep_deleted_per_project);
        let mut overdue = Vec::new();
        for (at, (_, id)) in all.iter().enumerate() {
            let Some(server) = snapshot.get::<DeletedServer>(id) else { continue };
            let age = now.since(server.ended_at());
            if at >= surplus && age < config.keep_deleted {
                return (overdue, Some(config.keep_deleted - age));
            }
            overdue.push(id.clone());
        }
        (overdue, None)
    }
}

#[async_trait]
impl Reconciler for TombstoneKeeper {
    fn name(&self) -> &'static str {
        "compute.tombstones"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        if table != DeletedServer::TABLE {
            return Vec::new();
        }
        snapshot.get::<DeletedServer>(id).map(|s| s.0.project_id.clone()).into_iter().collect()
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut projects: Vec<String> = Vec::new();
        for (text, _) in snapshot.index_range::<DeletedServer>("ended", "") {
            let project = text.rsplit_once('/').map_or("", |(project, _)| project);
            if projects.last().is_none_or(|last| last != project) {
                projects.push(project.to_owned());
            }
        }
        projects.retain(|project| !self.overdue(snapshot, project).0.is_empty());
        projects
    }

    fn period(&self) -> Duration {
        Duration::from_secs(600)
    }

    async fn step(&self, project: &str) -> Result<Next> {
        let (overdue, next) = self.overdue(&self.compute.state.known(), project);
        if overdue.is_empty() {
            return Ok(next.map_or(Next::Settled, Next::After));
        }
        let some: Vec<_> = overdue.into_iter().take(AT_ONCE).collect();
        self.compute
            .state
            .transact("servers::forget_deleted", |txn| {
                for id in &some {
                    txn.delete::<DeletedServer>(id)?;
                    txn.delete::<ActionsRecord>(id)?;
                }
                Ok(())
            })
            .await?;
        Ok(Next::Again)
    }
}
