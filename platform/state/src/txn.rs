//! A transaction being made: reads of one snapshot that become conditions, and writes on top of it.
//! Pure: no clock, no randomness, no waiting; ids and the time are given from outside.

use std::{any::Any, sync::Arc};

use base::{Error, Map, Result, Revision, Timestamp};
use bytes::Bytes;
use serde_json::Value;

use crate::{
    Condition, Key, MAX_OPERATIONS, Transaction, Write,
    record::{self, Record, Scope},
    snapshot::{self, Content, Snapshot},
};

/// A transaction being made. What is read through [`Txn::get`] must still be so at the commit; what is
/// read through `peek` may have changed, and each use says why that is harmless.
pub struct Txn {
    snapshot: Snapshot,
    now: Timestamp,
    draft: Draft,
}

/// What a savepoint keeps.
#[derive(Clone, Default)]
pub(crate) struct Draft {
    conditions: Map<Key, Condition>,
    empty: Map<Key, ()>,
    writes: Map<Key, Write>,
    /// Records as this transaction leaves them, by key.
    records: Map<Key, Written>,
}

#[derive(Clone)]
struct Written {
    table: usize,
    id: Arc<str>,
    record: Option<Arc<dyn Any + Send + Sync>>,
}

impl Txn {
    /// On top of this snapshot.
    pub fn new(snapshot: Snapshot, now: Timestamp) -> Txn {
        Txn { snapshot, now, draft: Draft::default() }
    }

    /// The time of the action, the same at each repetition.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What the transaction started from, without its own writes. Like `peek`: nothing becomes a condition.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The record, which must still be the same at the commit (or still absent).
    ///
    /// # Errors
    /// `Unavailable` when the record cannot be read by this program.
    pub fn get<T: Record>(&mut self, id: &str) -> Result<Option<Arc<T>>> {
        self.depend::<T>(id);
        self.peek(id)
    }

    /// The record as it was; may have changed by the commit.
    ///
    /// # Errors
    /// `Unavailable` when the record cannot be read by this program.
    pub fn peek<T: Record>(&self, id: &str) -> Result<Option<Arc<T>>> {
        let key = record::record_key(T::SCOPE, T::TABLE, id);
        if let Some(written) = self.draft.records.get(&key) {
            return Ok(written.record.clone().and_then(|record| record.downcast::<T>().ok()));
        }
        match self.snapshot.row::<T>(id) {
            Some(row) => snapshot::typed::<T>(id, &row.content).map(Some),
            None => Ok(None),
        }
    }

    /// The records whose index has exactly this text, this transaction's own writes included, by id.
    /// A list may have changed by the commit: a decision from it needs a guard.
    pub fn peek_by<T: Record>(&self, index: &str, text: &str) -> Vec<(Arc<str>, Arc<T>)> {
        let number = self.snapshot.schema().number::<T>();
        let mut found: Map<Arc<str>, Arc<T>> = self
            .snapshot
            .by::<T>(index, text)
            .into_iter()
            .map(|entry| (entry.id.clone(), entry.record()))
            .collect();
        for written in self.draft.records.values().filter(|written| written.table == number) {
            found.remove(&written.id);
            let Some(record) = &written.record else { continue };
            let Ok(record) = record.clone().downcast::<T>() else { continue };
            if snapshot::index_texts(index, &*record, &written.id).iter().any(|t| t == text) {
                found.insert(written.id.clone(), record);
            }
        }
        found.into_iter().collect()
    }

    /// The record must still exist (not deleted, not remade) at the commit; it may change.
    ///
    /// # Errors
    /// `Unavailable` when the record cannot be read by this program.
    pub fn alive<T: Record>(&mut self, id: &str) -> Result<Option<Arc<T>>> {
        let key = record::record_key(T::SCOPE, T::TABLE, id);
        if !self.draft.records.contains_key(&key) {
            let condition = match self.snapshot.row::<T>(id) {
                Some(row) => Condition::Alive { key: key.clone(), created: row.created },
                None => Condition::Absent { key: key.clone() },
            };
            self.draft.conditions.entry(key).or_insert(condition);
        }
        self.peek(id)
    }

    /// Makes a record that must not exist yet.
    ///
    /// # Errors
    /// `Conflict` when it exists.
    pub fn create<T: Record>(&mut self, id: &str, record: T) -> Result<()> {
        if self.get::<T>(id)?.is_some() {
            return Err(Error::conflict(format!("{}/{id} exists already", T::TABLE)));
        }
        self.write(id, record)
    }

    /// Makes or replaces a record, which must still be as it was in the snapshot.
    ///
    /// # Errors
    /// `Unavailable` when the record there cannot be read by this program, and so not replaced.
    pub fn put<T: Record>(&mut self, id: &str, record: T) -> Result<()> {
        self.get::<T>(id)?;
        self.write(id, record)
    }

    /// Changes a record. `None` when there is none.
    ///
    /// # Errors
    /// Whatever `change` refuses with; then nothing is written.
    pub fn update<T: Record, R>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut T) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some(current) = self.get::<T>(id)? else { return Ok(None) };
        let mut record = T::clone(&current);
        let result = change(&mut record)?;
        self.write(id, record)?;
        Ok(Some(result))
    }

    /// Deletes a record, which must still be as it was in the snapshot; false when there is none.
    ///
    /// # Errors
    /// `Unavailable` when the record cannot be read by this program.
    pub fn delete<T: Record>(&mut self, id: &str) -> Result<bool> {
        if self.get::<T>(id)?.is_none() {
            return Ok(false);
        }
        let key = record::record_key(T::SCOPE, T::TABLE, id);
        let table = self.snapshot.schema().number::<T>();
        let in_store = self.snapshot.row::<T>(id).is_some();
        if in_store {
            self.draft.writes.insert(key.clone(), Write::Delete { key: key.clone() });
        } else {
            self.draft.writes.remove(&key);
        }
        self.draft.records.insert(key, Written { table, id: id.into(), record: None });
        Ok(true)
    }

    fn write<T: Record>(&mut self, id: &str, record: T) -> Result<()> {
        let key = record::record_key(T::SCOPE, T::TABLE, id);
        let table = self.snapshot.schema().number::<T>();
        let mut unknown = None;
        if let Some(row) = self.snapshot.row::<T>(id)
            && let Content::Record { unknown: Some(fields), .. } = &row.content
        {
            unknown = Some(fields.clone());
        }
        let value = encode(&record, unknown.as_deref()).map_err(|error| {
            Error::internal(format!("{}/{id} cannot be encoded", T::TABLE)).with_source(error)
        })?;
        let write = Write::Put { key: key.clone(), value, lease: None };
        self.draft.writes.insert(key.clone(), write);
        let written = Written { table, id: id.into(), record: Some(Arc::new(record)) };
        self.draft.records.insert(key, written);
        Ok(())
    }

    fn depend<T: Record>(&mut self, id: &str) {
        let key = record::record_key(T::SCOPE, T::TABLE, id);
        let modified = self.snapshot.row::<T>(id).map(|row| row.modified);
        self.condition(key, modified);
    }

    fn condition(&mut self, key: Key, modified: Option<Revision>) {
        let condition = match modified {
            Some(modified) => Condition::Unchanged { key: key.clone(), modified },
            None => Condition::Absent { key: key.clone() },
        };
        self.draft.conditions.insert(key, condition);
    }

    fn guard_value(&self, key: &Key) -> Option<Bytes> {
        match self.draft.writes.get(key) {
            Some(Write::Put { value, .. }) => Some(value.clone()),
            Some(Write::Delete { .. }) => None,
            None => self.snapshot.guard(key).map(|guard| guard.value.clone()),
        }
    }

    /// A unique key: `owner` takes `value` within `space` (a name, an address). Taking it again is fine.
    ///
    /// # Errors
    /// `Conflict` when another owner has it; the caller says so in its own words.
    pub fn claim(&mut self, scope: Scope, space: &str, value: &str, owner: &str) -> Result<()> {
        let key = record::claim_key(scope, space, value);
        let modified = self.snapshot.guard(&key).map(|guard| guard.modified);
        self.condition(key.clone(), modified);
        match self.guard_value(&key) {
            Some(held) if held == owner.as_bytes() => Ok(()),
            Some(_) => Err(Error::conflict(format!("{space} {value} is taken"))),
            None => {
                let value = Bytes::copy_from_slice(owner.as_bytes());
                self.draft.writes.insert(key.clone(), Write::Put { key, value, lease: None });
                Ok(())
            }
        }
    }

    /// Who holds a claim, now and at the commit.
    pub fn claimed(&mut self, scope: Scope, space: &str, value: &str) -> Option<String> {
        let key = record::claim_key(scope, space, value);
        let modified = self.snapshot.guard(&key).map(|guard| guard.modified);
        self.condition(key.clone(), modified);
        self.guard_value(&key).map(|owner| String::from_utf8_lossy(&owner).into_owned())
    }

    /// Gives a claim up, if `owner` holds it.
    pub fn release(&mut self, scope: Scope, space: &str, value: &str, owner: &str) {
        if self.claimed(scope, space, value).as_deref() == Some(owner) {
            self.remove_guard(record::claim_key(scope, space, value));
        }
    }

    /// An edge: `child` depends on `parent`, which [`Txn::childless`] then refuses to let go.
    pub fn link(&mut self, scope: Scope, parent: &str, child: &str) {
        let key = record::edge_key(scope, parent, child);
        if self.guard_value(&key).is_none() {
            let write = Write::Put { key: key.clone(), value: Bytes::new(), lease: None };
            self.draft.writes.insert(key, write);
        }
    }

    /// Takes an edge away; none there is fine.
    pub fn unlink(&mut self, scope: Scope, parent: &str, child: &str) {
        let key = record::edge_key(scope, parent, child);
        if self.guard_value(&key).is_some() {
            self.remove_guard(key);
        }
    }

    fn remove_guard(&mut self, key: Key) {
        if self.snapshot.guard(&key).is_some() {
            self.draft.writes.insert(key.clone(), Write::Delete { key });
        } else {
            self.draft.writes.remove(&key);
        }
    }

    /// Whether nothing depends on `parent`, now and at the commit. In a transaction that itself takes
    /// edges of `parent` away this is false: take them away first, in a step of its own.
    pub fn childless(&mut self, scope: Scope, parent: &str) -> bool {
        let prefix = record::edge_key(scope, parent, "");
        let stored = self.snapshot.guards_below(&prefix).next().is_some();
        let drafted =
            self.draft.writes.iter().any(|(key, write)| {
                key.starts_with(&*prefix) && matches!(write, Write::Put { .. })
            });
        if stored || drafted {
            return false;
        }
        self.draft.empty.insert(prefix, ());
        true
    }

    /// A value that is not held in memory, up to 512 KiB, read by [`crate::State::blob`]. Its name must
    /// be made from an id that this transaction creates, so that nothing is written over unseen.
    pub fn put_blob(&mut self, scope: Scope, name: &str, value: Bytes) {
        let key = record::blob_key(scope, name);
        self.draft.writes.insert(key.clone(), Write::Put { key, value, lease: None });
    }

    /// Deletes a blob; none there is fine.
    pub fn delete_blob(&mut self, scope: Scope, name: &str) {
        let key = record::blob_key(scope, name);
        self.draft.writes.insert(key.clone(), Write::Delete { key });
    }

    /// Whether anything is to be written.
    pub fn changes_nothing(&self) -> bool {
        self.draft.writes.is_empty()
    }

    pub(crate) fn savepoint(&self) -> Draft {
        self.draft.clone()
    }

    pub(crate) fn roll_back(&mut self, to: Draft) {
        self.draft = to;
    }

    /// Whether the transaction with `spare` more operations is within the store's limits.
    pub(crate) fn fits(&self, spare: usize) -> bool {
        let conditions = self.draft.conditions.len() + self.draft.empty.len();
        let size: usize = self.draft.writes.values().map(size).sum();
        conditions + spare <= MAX_OPERATIONS
            && self.draft.writes.len() + spare <= MAX_OPERATIONS
            && size <= crate::MAX_TRANSACTION / 2
    }

    /// The transaction, with `marker` written too.
    pub(crate) fn finish(&self, label: &'static str, marker: Write) -> Result<Transaction> {
        // Repeating a commit whose outcome is unknown is safe only because its success makes one of its
        // own conditions false.
        let guarded = self.draft.writes.keys().any(|key| {
            matches!(
                self.draft.conditions.get(key),
                Some(Condition::Unchanged { .. } | Condition::Absent { .. })
            )
        });
        if !guarded {
            return Err(Error::internal(format!(
                "{label}: no written key has a condition of its own"
            )));
        }
        let mut conditions: Vec<_> = self.draft.conditions.values().cloned().collect();
        conditions.extend(self.draft.empty.keys().map(|p| Condition::Empty { prefix: p.clone() }));
        let mut writes: Vec<_> = self.draft.writes.values().cloned().collect();
        writes.push(marker);
        Ok(Transaction { label, conditions, writes })
    }
}

fn size(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete { key } => key.len(),
    }
}

fn encode<T: Record>(record: &T, unknown: Option<&Value>) -> Result<Bytes, serde_json::Error> {
    let bytes = match unknown {
        None => serde_json::to_vec(record)?,
        Some(unknown) => {
            let mut value = serde_json::to_value(record)?;
            record::merge_unknown(&mut value, unknown);
            serde_json::to_vec(&value)?
        }
    };
    Ok(bytes.into())
}
