//! The handle that rooms use: snapshots to read, transactions to change, notices to wake on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base::{Era, Error, Result, Revision, World};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    Condition, Key, Outcome, Store, Transaction, Write,
    cache::{Cache, Notice},
    lane::Lanes,
    record::{self, Record, Schema, Scope},
    session::SessionRecord,
    snapshot::Snapshot,
    txn::Txn,
};

/// The state of the cloud, as one controller holds it. Clones share everything.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    world: World,
    store: Arc<dyn Store>,
    name: String,
    incarnation: String,
    era: Era,
    cache: Arc<Cache>,
    slots: Mutex<Slots>,
    lanes: Lanes,
}

/// This life of the store.
#[derive(Clone, Serialize, Deserialize)]
struct Life {
    era: Era,
}

impl Record for Life {
    const TABLE: &'static str = "state.life";
    const SCOPE: Scope = Scope::Global;
}

/// A conflict is repeated so often before the caller is told that the thing is too busy.
const ATTEMPTS: u32 = 40;
/// An outcome stays unknown for so long before the caller is told so.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

impl State {
    /// Loads the store and follows it. `name` is this controller's own, stable over restarts.
    ///
    /// # Errors
    /// When the store cannot be read, or holds something else's data.
    pub async fn open(
        world: World,
        store: Arc<dyn Store>,
        schema: Schema,
        name: &str,
    ) -> Result<State> {
        let schema = Arc::new(schema.table::<Life>().table::<SessionRecord>());
        let era = era(&world, &*store).await?;
        let cache = Cache::open(world.clone(), store.clone(), schema).await?;
        Ok(State(Arc::new(Inner {
            incarnation: world.hex_id(),
            world,
            store,
            name: name.to_owned(),
            era,
            cache,
            slots: Mutex::default(),
            lanes: Lanes::default(),
        })))
    }

    /// The world that this state lives in.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// This controller's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// New at each start of this controller.
    pub fn incarnation(&self) -> &str {
        &self.0.incarnation
    }

    /// This life of the store.
    pub fn era(&self) -> &Era {
        &self.0.era
    }

    /// The backend, for what is not kept in tables: backup, compaction, leases.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// What this controller knows now; may be behind. For reconcilers, whose commits are conditional.
    pub fn known(&self) -> Snapshot {
        self.0.cache.snapshot()
    }

    /// The state, with every commit that was acknowledged anywhere before this call. For answers.
    ///
    /// # Errors
    /// `Unavailable` when the store has no quorum or this controller cannot catch up with it.
    pub async fn fresh(&self) -> Result<Snapshot> {
        self.0.cache.fresh().await
    }

    /// What changes from now on.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Notice> {
        self.0.cache.subscribe()
    }

    /// A blob's bytes, `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be asked.
    pub async fn blob(&self, scope: Scope, name: &str) -> Result<Option<Bytes>> {
        let reading = self.0.store.get(&[record::blob_key(scope, name)]).await?;
        Ok(reading.items.into_iter().next().flatten().map(|item| item.value))
    }

    /// Carries an action out as one transaction: `action` runs on a fresh snapshot and is repeated on a
    /// newer one when what it read has changed. Ids are made before, so that a repetition makes the same.
    /// `label` names the commit in logs, metrics and fault tests: `room::action`.
    ///
    /// # Errors
    /// What the action refuses with, or `Unavailable`.
    pub async fn transact<R>(
        &self,
        label: &'static str,
        mut action: impl FnMut(&mut Txn) -> Result<R> + Send,
    ) -> Result<R>
    where
        R: Send,
    {
        for attempt in 0..ATTEMPTS {
            let mut txn = Txn::new(self.fresh().await?, self.0.world.wall());
            let result = action(&mut txn)?;
            if txn.changes_nothing() || self.commit(label, &txn).await? {
                return Ok(result);
            }
            self.back_off(attempt).await;
        }
        Err(too_busy(label))
    }

    /// As [`State::transact`], for actions that race on one hot guard (the usage of a project, of a
    /// node): those that wait in a lane of the same name share commits, in the order they came.
    ///
    /// # Errors
    /// What the action refuses with, or `Unavailable`.
    pub async fn transact_in_lane<R>(
        &self,
        lane: &str,
        label: &'static str,
        action: impl FnMut(&mut Txn) -> Result<R> + Send + 'static,
    ) -> Result<R>
    where
        R: Send + 'static,
    {
        self.0.lanes.run(self, lane, label, action).await
    }

    pub(crate) async fn back_off(&self, attempt: u32) {
        let bound = Duration::from_millis(2) * (1 << attempt.min(7));
        let wait = self.0.world.jitter(bound);
        self.0.world.sleep(wait).await;
    }

    /// Commits; false on a conflict. An unknown outcome is looked up, never repeated blindly: each
    /// transaction leaves its id under a key of its own, and its own success makes its conditions false.
    pub(crate) async fn commit(&self, label: &'static str, txn: &Txn) -> Result<bool> {
        let slot = SlotInUse::take(&self.0);
        let id = self.0.world.hex_id();
        let marker: Key = format!("/g/txn/{}/{}", self.0.name, slot.number).into();
        let value = Bytes::from(id.clone());
        let mark = Write::Put { key: marker.clone(), value, lease: None };
        let transaction = txn.finish(label, mark)?;
        let deadline = self.0.world.now() + UNKNOWN_FOR;
        let mut attempt = 0;
        let mut doubt = false;
        loop {
            let outcome = match self.0.store.commit(&transaction).await {
                Ok(outcome) => outcome,
                // An earlier try may still be under way.
                Err(error) if doubt => Outcome::Unknown(error.to_string()),
                Err(error) => {
                    slot.free();
                    return Err(error);
                }
            };
            let found = match outcome {
                Outcome::Done(revision) => Some(revision),
                Outcome::Conflict if !doubt => {
                    slot.free();
                    return Ok(false);
                }
                Outcome::Conflict => match self.marked(&marker, &id).await {
                    Ok(None) => {
                        slot.free();
                        return Ok(false);
                    }
                    Ok(found) => found,
                    Err(_) => None,
                },
                Outcome::Unknown(why) => {
                    tracing::warn!(label, "the outcome of a commit is unknown: {why}");
                    doubt = true;
                    self.marked(&marker, &id).await.ok().flatten()
                }
            };
            if let Some(revision) = found {
                slot.free();
                if let Err(error) = self.0.cache.reach(revision).await {
                    // It is done; later reads wait for the cache or say that they cannot.
                    tracing::warn!(label, "a commit is done but not seen yet: {error}");
                }
                return Ok(true);
            }
            if self.0.world.now() >= deadline {
                // The slot stays taken: a late commit must find its own marker there.
                return Err(Error::unavailable(
                    "The store did not say whether the request was carried out; look before repeating it.",
                )
                .with_retry_after(Duration::from_secs(2)));
            }
            self.back_off(attempt).await;
            attempt += 1;
        }
    }

    async fn marked(&self, marker: &Key, id: &str) -> Result<Option<Revision>> {
        let reading = self.0.store.get(std::slice::from_ref(marker)).await?;
        let item = reading.items.into_iter().next().flatten();
        Ok(item.filter(|item| item.value == id.as_bytes()).map(|item| item.modified))
    }
}

pub(crate) fn too_busy(label: &str) -> Error {
    Error::unavailable(format!("Too many changes at once stand against {label}; try again."))
        .with_retry_after(Duration::from_secs(1))
}

/// Finds or makes the store's era.
async fn era(world: &World, store: &dyn Store) -> Result<Era> {
    let key = record::record_key(Scope::Global, Life::TABLE, "life");
    for _ in 0..ATTEMPTS {
        let reading = store.get(std::slice::from_ref(&key)).await?;
        if let Some(item) = reading.items.into_iter().next().flatten() {
            let life: Life = serde_json::from_slice(&item.value).map_err(|error| {
                Error::internal("The store's own record cannot be read.").with_source(error)
            })?;
            return Ok(life.era);
        }
        let life = Life { era: Era(world.hex_id().into()) };
        let value = serde_json::to_vec(&life)
            .map_err(|error| Error::internal("encoding").with_source(error))?;
        // Whatever the outcome: the next look decides.
        let _seen_next = store
            .commit(&Transaction {
                label: "state::begin",
                // Nothing at all may be there: the store is ours alone.
                conditions: vec![
                    Condition::Absent { key: key.clone() },
                    Condition::Empty { prefix: "/".into() },
                ],
                writes: vec![Write::Put { key: key.clone(), value: value.into(), lease: None }],
            })
            .await?;
        let reading = store.load("/").await?;
        if !reading.items.is_empty() && !reading.items.iter().any(|item| item.key == key) {
            return Err(Error::conflict(
                "The store holds keys that are not Everstack's. Everstack needs a store of its own.",
            ));
        }
    }
    Err(Error::unavailable("The store could not be begun."))
}

/// Numbers of markers: one for each commit under way.
#[derive(Default)]
struct Slots {
    free: Vec<u32>,
    made: u32,
}

struct SlotInUse<'a> {
    inner: &'a Inner,
    number: u32,
}

impl<'a> SlotInUse<'a> {
    fn take(inner: &'a Inner) -> SlotInUse<'a> {
        let mut slots = inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let number = slots.free.pop().unwrap_or_else(|| {
            slots.made += 1;
            slots.made
        });
        SlotInUse { inner, number }
    }

    /// Only after the outcome is known. A dropped slot, as of an abandoned request, is not used again
    /// in this process's life.
    fn free(self) {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.number);
    }
}
