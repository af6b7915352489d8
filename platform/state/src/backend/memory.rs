//! The store in memory: for tests and simulated clouds. Nothing survives the process; everything
//! else is as the others do it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base::{Beacon, Moment, Result, Revision, Watcher, World};

use crate::store::{
    Batch, Change, Condition, Item, Key, LeaseId, Outcome, Reading, Store, Transaction, Watch,
    WatchEnd, Write,
};

/// The store in memory. Clones are the same store.
#[derive(Clone)]
pub struct MemoryStore {
    world: World,
    inner: Arc<Inner>,
}

struct Inner {
    data: Mutex<Data>,
    revision: Beacon<Revision>,
}

#[derive(Default)]
struct Data {
    revision: Revision,
    compacted: Revision,
    items: BTreeMap<Key, Item>,
    log: VecDeque<Batch>,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: i64,
}

struct Lease {
    ttl: Duration,
    ends: Moment,
}

/// So much history is kept before the oldest is compacted by itself.
const HISTORY: usize = 100_000;

impl MemoryStore {
    /// An empty store.
    pub fn new(world: World) -> MemoryStore {
        let inner = Inner { data: Mutex::default(), revision: Beacon::new(Revision(0)) };
        MemoryStore { world, inner: Arc::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        let mut data = self.inner.data.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.world.now();
        let ended: Vec<_> =
            data.leases.iter().filter(|(_, l)| l.ends <= now).map(|(id, _)| *id).collect();
        for lease in ended {
            data.end_lease(lease);
        }
        self.inner.revision.light(|seen| {
            let newer = *seen < data.revision;
            *seen = data.revision;
            newer
        });
        data
    }

    fn published(&self, data: &Data) {
        self.inner.revision.set(data.revision);
    }
}

impl Data {
    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Unchanged { key, modified } => {
                self.items.get(key).is_some_and(|item| item.modified == *modified)
            }
            Condition::Alive { key, created } => {
                self.items.get(key).is_some_and(|item| item.created == *created)
            }
            Condition::Absent { key } => !self.items.contains_key(key),
            Condition::Empty { prefix } => self.range(prefix).next().is_none(),
        }
    }

    fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Item> {
        let start: Key = prefix.into();
        self.items
            .range(start..)
            .map(|(_, item)| item)
            .take_while(move |i| i.key.starts_with(prefix))
    }

    fn apply<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Revision {
        let revision = Revision(self.revision.0 + 1);
        let mut changes = Vec::new();
        for write in writes {
            match write {
                Write::Put { key, value, lease } => {
                    let created = self.items.get(key).map_or(revision, |old| old.created);
                    let item = Item {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: revision,
                        lease: *lease,
                    };
                    self.items.insert(key.clone(), item.clone());
                    changes.push(Change::Put(item));
                }
                Write::Delete { key } => {
                    if self.items.remove(key).is_some() {
                        changes.push(Change::Deleted(key.clone()));
                    }
                }
            }
        }
        if changes.is_empty() {
            // As in etcd: a transaction that changes nothing makes no revision.
            return self.revision;
        }
        self.revision = revision;
        self.log.push_back(Batch { revision, changes });
        while self.log.len() > HISTORY {
            if let Some(batch) = self.log.pop_front() {
                self.compacted = batch.revision;
            }
        }
        revision
    }

    fn end_lease(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let writes: Vec<_> = self
            .items
            .values()
            .filter(|item| item.lease == Some(lease))
            .map(|item| Write::Delete { key: item.key.clone() })
            .collect();
        self.apply(writes.iter());
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        transaction.check()?;
        let mut data = self.lock();
        if !transaction.conditions.iter().all(|condition| data.holds(condition)) {
            return Ok(Outcome::Conflict);
        }
        for write in &transaction.writes {
            if let Write::Put { lease: Some(lease), .. } = write
                && !data.leases.contains_key(lease)
            {
                return Err(base::Error::bad_request(format!("the lease {lease} has ended")));
            }
        }
        let revision = data.apply(transaction.writes.iter());
        self.published(&data);
        Ok(Outcome::Done(revision))
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(self.lock().revision)
    }

    fn local_revision(&self) -> Option<Revision> {
        Some(self.lock().revision)
    }

    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        let data = self.lock();
        let items = keys.iter().map(|key| data.items.get(key).cloned()).collect();
        Ok(Reading { revision: data.revision, items })
    }

    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        let data = self.lock();
        let items = data.range(prefix).cloned().collect();
        Ok(Reading { revision: data.revision, items })
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        let news = self.inner.revision.watch();
        Ok(Box::new(MemoryWatch { store: self.clone(), after, news }))
    }

    async fn compact(&self, upto: Revision) -> Result<()> {
        let mut data = self.lock();
        while data.log.front().is_some_and(|batch| batch.revision <= upto) {
            data.log.pop_front();
        }
        data.compacted = data.compacted.max(upto.min(data.revision));
        // Watches that wait far behind learn it too.
        self.inner.revision.light(|_| true);
        Ok(())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let mut data = self.lock();
        data.last_lease += 1;
        let lease = LeaseId(data.last_lease);
        let ttl = ttl.max(Duration::from_secs(1));
        data.leases.insert(lease, Lease { ttl, ends: self.world.now() + ttl });
        drop(data);
        // Looks when the lease may have ended, so that its end is seen without any other call.
        let store = self.clone();
        self.world.spawn("memory-lease", async move {
            loop {
                let now = store.world.now();
                let left = match store.lock().leases.get(&lease) {
                    Some(held) => held.ends.since(now),
                    None => return,
                };
                store.world.sleep(left + Duration::from_millis(1)).await;
            }
        });
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        let now = self.world.now();
        Ok(match self.lock().leases.get_mut(&lease) {
            Some(held) => {
                held.ends = now + held.ttl;
                true
            }
            None => false,
        })
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let mut data = self.lock();
        data.end_lease(lease);
        self.published(&data);
        Ok(())
    }
}

struct MemoryWatch {
    store: MemoryStore,
    after: Revision,
    news: Watcher<Revision>,
}

#[async_trait]
impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Batch, WatchEnd> {
        loop {
            self.news.look(|_| ());
            {
                let data = self.store.lock();
                if self.after < data.compacted {
                    return Err(WatchEnd::Compacted);
                }
                let start = data.log.partition_point(|batch| batch.revision <= self.after);
                if let Some(batch) = data.log.get(start) {
                    self.after = batch.revision;
                    return Ok(batch.clone());
                }
            }
            self.news.changed().await;
        }
    }
}
