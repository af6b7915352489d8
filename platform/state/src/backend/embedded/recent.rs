//! What happened lately, in memory: watches that keep up never touch the disk. A slow watch falls back
//! to the log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use base::{Error, Map, Moment, Result, Revision, World};
use tokio::sync::watch;

use super::database::Readers;
use crate::store::{Batch, Change, LeaseId, Watch, WatchEnd};

/// So many revisions, and about so many bytes, are held in memory for watches.
const REVISIONS: usize = 4_096;
const BYTES: usize = 16 * 1024 * 1024;
/// A slow watch reads about so many bytes of the log at once.
const CHUNK: u64 = 4 * 1024 * 1024;

/// What the writer and everybody else share.
pub struct Shared {
    /// The newest revision on the disk.
    newest: watch::Sender<Revision>,
    compacted: AtomicU64,
    recent: Mutex<Recent>,
    leases: Mutex<Map<LeaseId, Lease>>,
    closed: AtomicBool,
}

/// The last batches, without a gap.
#[derive(Default)]
struct Recent {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Lease {
    seconds: u64,
    ends: Moment,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(batch: &Batch) -> usize {
    let size = |change: &Change| match change {
        Change::Put(item) => item.key.len() + item.value.len() + 150,
        Change::Deleted(key) => key.len() + 50,
    };
    batch.changes.iter().map(size).sum()
}

impl Shared {
    pub fn new(newest: Revision, compacted: Revision) -> Shared {
        Shared {
            newest: watch::Sender::new(newest),
            compacted: AtomicU64::new(compacted.0),
            recent: Mutex::default(),
            leases: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Tells the watches what is on the disk now.
    pub fn publish(&self, batches: Vec<Batch>) {
        let Some(newest) = batches.last().map(|batch| batch.revision) else { return };
        {
            let mut recent = lock(&self.recent);
            for batch in batches {
                recent.bytes += bytes(&batch);
                recent.batches.push_back(Arc::new(batch));
            }
            while recent.batches.len() > REVISIONS || recent.bytes > BYTES {
                let Some(oldest) = recent.batches.pop_front() else { break };
                recent.bytes -= bytes(&oldest);
            }
        }
        self.newest.send_replace(newest);
    }

    pub fn compacted(&self, upto: Revision) {
        self.compacted.fetch_max(upto.0, Ordering::SeqCst);
        let mut recent = lock(&self.recent);
        while recent.batches.front().is_some_and(|batch| batch.revision <= upto) {
            let Some(oldest) = recent.batches.pop_front() else { break };
            recent.bytes -= bytes(&oldest);
        }
        drop(recent);
        self.newest.send_modify(|_| {});
    }

    /// Waits until this revision, which is on the disk, is published, so that no reading is newer than
    /// a later one.
    pub async fn published(&self, revision: Revision) -> Result<()> {
        let mut newest = self.newest.subscribe();
        loop {
            if *newest.borrow_and_update() >= revision {
                return Ok(());
            }
            self.check_open()?;
            newest.changed().await.map_err(|_| closed())?;
        }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.newest.send_modify(|_| {});
    }

    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(()) }
    }

    /// The batch after this revision, if it is in memory. `Err`: older than what is in memory.
    fn after(&self, after: Revision) -> Result<Option<Batch>, TooOld> {
        let recent = lock(&self.recent);
        let Some(first) = recent.batches.front().map(|batch| batch.revision) else {
            return if after < self.newest() { Err(TooOld) } else { Ok(None) };
        };
        match after.0.checked_add(1).and_then(|next| next.checked_sub(first.0)) {
            None => Err(TooOld),
            Some(place) => {
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                Ok(recent.batches.get(place).map(|batch| Batch::clone(batch)))
            }
        }
    }

    pub fn lease_holds(&self, lease: LeaseId, now: Moment) -> bool {
        lock(&self.leases).get(&lease).is_some_and(|held| held.ends > now)
    }

    pub fn add_lease(&self, lease: LeaseId, seconds: u64, now: Moment) {
        let ends = now + std::time::Duration::from_secs(seconds);
        lock(&self.leases).insert(lease, Lease { seconds, ends });
    }

    pub fn renew(&self, lease: LeaseId, now: Moment) -> bool {
        match lock(&self.leases).get_mut(&lease) {
            Some(held) if held.ends > now => {
                held.ends = now + std::time::Duration::from_secs(held.seconds);
                true
            }
            _ => false,
        }
    }

    pub fn lease_end(&self, lease: LeaseId) -> Option<Moment> {
        lock(&self.leases).get(&lease).map(|held| held.ends)
    }

    /// Takes out a lease that is to end. Whether it was there.
    pub fn take_lease(&self, lease: LeaseId) -> bool {
        lock(&self.leases).remove(&lease).is_some()
    }

    /// Takes out the leases that have ended.
    pub fn take_ended(&self, now: Moment) -> Vec<LeaseId> {
        let mut leases = lock(&self.leases);
        let ended: Vec<_> =
            leases.iter().filter(|(_, held)| held.ends <= now).map(|(id, _)| *id).collect();
        for lease in &ended {
            leases.remove(lease);
        }
        ended
    }

    /// When the next lease ends.
    pub fn next_end(&self) -> Option<Moment> {
        lock(&self.leases).values().map(|held| held.ends).min()
    }
}

struct TooOld;

pub fn closed() -> Error {
    Error::unavailable("The store is closed.")
}

/// A watch: from memory while it keeps up, from the log when it does not.
pub struct EmbeddedWatch {
    world: World,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    news: watch::Receiver<Revision>,
    after: Revision,
    /// From the log, not shown yet.
    read: VecDeque<Batch>,
    ended: Option<WatchEnd>,
}

impl EmbeddedWatch {
    pub fn new(
        world: World,
        shared: Arc<Shared>,
        readers: Arc<Readers>,
        after: Revision,
    ) -> EmbeddedWatch {
        let news = shared.newest.subscribe();
        EmbeddedWatch { world, shared, readers, news, after, read: VecDeque::new(), ended: None }
    }

    async fn find(&mut self) -> Result<Batch, WatchEnd> {
        loop {
            if let Some(batch) = self.read.pop_front() {
                return Ok(batch);
            }
            self.news.borrow_and_update();
            if self.shared.check_open().is_err() {
                return Err(WatchEnd::Lost("the store is closed".into()));
            }
            if self.after.0 < self.shared.compacted.load(Ordering::SeqCst) {
                return Err(WatchEnd::Compacted);
            }
            match self.shared.after(self.after) {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {
                    if self.news.changed().await.is_err() {
                        return Err(WatchEnd::Lost("the store is gone".into()));
                    }
                }
                Err(TooOld) => self.read_log().await?,
            }
        }
    }

    async fn read_log(&mut self) -> Result<(), WatchEnd> {
        let (readers, after) = (self.readers.clone(), self.after);
        let read = move || readers.read(|database| database.batches(after, CHUNK));
        let (meta, batches) =
            self.world.blocking(read).await.map_err(|e| WatchEnd::Lost(e.message().into()))?;
        // One reading: the log is whole after `compacted`.
        if after < meta.compacted {
            return Err(WatchEnd::Compacted);
        }
        if let Some(last) = batches.last() {
            // No watch is ahead of a revision probe.
            let published = self.shared.published(last.revision).await;
            published.map_err(|e| WatchEnd::Lost(e.message().into()))?;
        }
        self.read = batches.into();
        Ok(())
    }
}

#[async_trait]
impl Watch for EmbeddedWatch {
    async fn next(&mut self) -> Result<Batch, WatchEnd> {
        if let Some(end) = &self.ended {
            return Err(end.clone());
        }
        match self.find().await {
            Ok(batch) => {
                self.after = batch.revision;
                Ok(batch)
            }
            Err(end) => {
                self.ended = Some(end.clone());
                Err(end)
            }
        }
    }
}
