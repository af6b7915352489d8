//! A watch over all keys of etcd, on a connection of its own to the member that is asked for revisions.
//!
//! It watches *everything*, not only what starts with `/`: whatever raises etcd's revision is then seen,
//! if only as a batch without changes, and "wait until the cache has reached R" never waits for nothing.
//! It starts at the last revision seen, not after it: etcd compacted at R still serves a watch from R,
//! but without the deletions of R.

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use base::{Error, Result, Revision};
use tokio::sync::watch;
use tonic::{Status, codec::Streaming};

use super::{EtcdStore, Trouble, item, wire};
use crate::store::{Batch, Change, Watch, WatchEnd};

/// A watch is there after at most so long.
const OPEN: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 3;

/// See the file's head.
pub struct EtcdWatch {
    stream: Streaming<wire::WatchResponse>,
    moved: watch::Receiver<u64>,
    generation: u64,
    /// The last revision put into `ready`.
    last: Revision,
    ready: VecDeque<Batch>,
    ended: Option<WatchEnd>,
}

impl EtcdWatch {
    pub async fn open(store: &EtcdStore, after: Revision) -> Result<EtcdWatch> {
        let members = &store.inner.members;
        // An empty etcd is at revision 1.
        let last = after.max(Revision(1));
        let create = wire::WatchCreateRequest {
            key: vec![0],
            range_end: vec![0],
            start_revision: i64::try_from(last.0).unwrap_or(i64::MAX),
        };
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let moved = members.generation();
            let connection = members.connection().await?;
            let opened = store.inner.world.timeout(OPEN, async {
                let channel = members.dial(connection.member).await.map_err(Status::unavailable)?;
                wire::watch(channel, create.clone()).await
            });
            why = match opened.await {
                Ok(Ok(stream)) => {
                    let generation = connection.generation;
                    let (ready, ended) = (VecDeque::new(), None);
                    return Ok(EtcdWatch { stream, moved, generation, last, ready, ended });
                }
                Ok(Err(status)) => Trouble::Status(status).to_string(),
                Err(_) => Trouble::Silence.to_string(),
            };
            members.suspect(&connection, &format!("it opens no watch: {why}")).await;
        }
        Err(Error::unavailable(format!("etcd opens no watch ({why}). Try again.")))
    }

    async fn find(&mut self) -> Result<Batch, WatchEnd> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            let generation = self.generation;
            let moved = self.moved.wait_for(|now| *now != generation);
            let moved = async { moved.await.is_ok() };
            let answer = tokio::select! {
                biased;
                answer = self.stream.message() => answer,
                // Whoever asks for revisions has left this member: what it shows may be old for long.
                _ = moved => {
                    return Err(WatchEnd::Lost("another etcd member is asked now".into()));
                }
            };
            self.take(answer)?;
        }
    }

    fn take(
        &mut self,
        answer: Result<Option<wire::WatchResponse>, Status>,
    ) -> Result<(), WatchEnd> {
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(WatchEnd::Lost("etcd ended the watch".into())),
            Err(status) => return Err(WatchEnd::Lost(Trouble::Status(status).to_string())),
        };
        if answer.compact_revision > 0 {
            return Err(WatchEnd::Compacted);
        }
        if answer.canceled {
            return Err(WatchEnd::Lost(format!("etcd ended the watch: {}", answer.cancel_reason)));
        }
        for event in answer.events {
            let Some(kv) = event.kv else { continue };
            self.add(event.kind == 1, kv)?;
        }
        Ok(())
    }

    fn add(&mut self, deleted: bool, kv: wire::KeyValue) -> Result<(), WatchEnd> {
        let at = Revision(u64::try_from(kv.mod_revision).unwrap_or(0));
        if at > self.last {
            if at.0 != self.last.0 + 1 {
                // Such as a restored backup that was set forward: what was between is not known.
                tracing::warn!("etcd's watch goes from {} to {at}", self.last);
                return Err(WatchEnd::Compacted);
            }
            self.last = at;
            self.ready.push_back(Batch { revision: at, changes: Vec::new() });
        }
        let batch = match self.ready.back_mut() {
            Some(batch) if batch.revision == at => batch,
            // The revision that the watch was started at, which was seen before.
            _ => return Ok(()),
        };
        if !kv.key.starts_with(b"/") {
            return Ok(());
        }
        let item = item(kv).map_err(|error| WatchEnd::Lost(error.message().into()))?;
        batch.changes.push(if deleted { Change::Deleted(item.key) } else { Change::Put(item) });
        Ok(())
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Batch, WatchEnd> {
        if let Some(end) = &self.ended {
            return Err(end.clone());
        }
        let found = self.find().await;
        if let Err(end) = &found {
            self.ended = Some(end.clone());
        }
        found
    }
}
