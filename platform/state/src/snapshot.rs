//! The whole state in memory as of one revision. Cheap to copy, never changes: what a reader holds
//! stays consistent however long it reads.

use std::{
    any::Any,
    ops::{Bound, Deref},
    sync::Arc,
};

use base::{Error, Result, Revision};
use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde_json::Value;

use crate::{
    Batch, Change, Item, Key,
    record::{self, Place, Record, Schema, Scope},
};

/// One record as it was at the snapshot's revision.
pub struct Entry<T> {
    /// Its id.
    pub id: Arc<str>,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last wrote it.
    pub modified: Revision,
    record: Arc<T>,
}

impl<T> Entry<T> {
    /// The record, shared.
    pub fn record(&self) -> Arc<T> {
        self.record.clone()
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Entry {
            id: self.id.clone(),
            created: self.created,
            modified: self.modified,
            record: self.record.clone(),
        }
    }
}

impl<T> Deref for Entry<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.record
    }
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    Record {
        record: Arc<dyn Any + Send + Sync>,
        unknown: Option<Arc<Value>>,
    },
    /// Written by a newer program or damaged: set aside, shown, never written over.
    Unreadable(Arc<str>),
}

#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) value: Bytes,
    pub(crate) modified: Revision,
}

#[derive(Clone, Default)]
struct Table {
    rows: OrdMap<Arc<str>, Row>,
    indexes: OrdSet<(u8, Arc<str>, Arc<str>)>,
    /// The revision that last changed it, or a later one.
    changed: Revision,
}

/// The state as of one revision.
#[derive(Clone)]
pub struct Snapshot {
    schema: Arc<Schema>,
    revision: Revision,
    tables: imbl::Vector<Table>,
    guards: OrdMap<Key, Guard>,
}

impl Snapshot {
    pub(crate) fn empty(schema: Arc<Schema>) -> Snapshot {
        let tables = schema.tables().iter().map(|_| Table::default()).collect();
        Snapshot { schema, revision: Revision(0), tables, guards: OrdMap::new() }
    }

    pub(crate) fn loaded(schema: Arc<Schema>, revision: Revision, items: &[Item]) -> Snapshot {
        let mut snapshot = Snapshot::empty(schema);
        for item in items {
            snapshot.put(item);
        }
        snapshot.revision = revision;
        // What was deleted before is not known.
        for table in snapshot.tables.iter_mut() {
            table.changed = revision;
        }
        snapshot
    }

    pub(crate) fn apply(&mut self, batch: &Batch) {
        for change in &batch.changes {
            match change {
                Change::Put(item) => self.put(item),
                Change::Deleted(key) => self.remove(key, batch.revision),
            }
        }
        self.revision = batch.revision;
    }

    fn put(&mut self, item: &Item) {
        let schema = self.schema.clone();
        match record::place(&schema, &item.key) {
            Place::Record { table: number, id } => {
                let def = &schema.tables()[number];
                let content = match (def.decode)(&item.value) {
                    Ok((record, unknown)) => {
                        Content::Record { record, unknown: unknown.map(Arc::new) }
                    }
                    Err(error) => {
                        tracing::error!(key = %item.key, "a record cannot be read and is set aside: {error}");
                        Content::Unreadable(error.to_string().into())
                    }
                };
                let id: Arc<str> = id.into();
                self.forget_indexes(number, &id);
                let Some(table) = self.tables.get_mut(number) else { return };
                if let Content::Record { record, .. } = &content {
                    for (index, text) in (def.index)(&**record, &id) {
                        table.indexes.insert((index, text.into(), id.clone()));
                    }
                }
                let row = Row { created: item.created, modified: item.modified, content };
                table.rows.insert(id, row);
                table.changed = table.changed.max(item.modified);
            }
            Place::Guard => {
                let guard = Guard { value: item.value.clone(), modified: item.modified };
                self.guards.insert(item.key.clone(), guard);
            }
            Place::Other => {}
        }
    }

    fn remove(&mut self, key: &Key, revision: Revision) {
        let schema = self.schema.clone();
        match record::place(&schema, key) {
            Place::Record { table: number, id } => {
                self.forget_indexes(number, id);
                if let Some(table) = self.tables.get_mut(number) {
                    table.rows.remove(id);
                    table.changed = table.changed.max(revision);
                }
            }
            Place::Guard => drop(self.guards.remove(key)),
            Place::Other => {}
        }
    }

    fn forget_indexes(&mut self, number: usize, id: &str) {
        let Some(table) = self.tables.get_mut(number) else { return };
        if let Some(Row { content: Content::Record { record, .. }, .. }) = table.rows.get(id) {
            let id: Arc<str> = id.into();
            for (index, text) in (self.schema.tables()[number].index)(&**record, &id) {
                table.indexes.remove(&(index, text.into(), id.clone()));
            }
        }
    }

    /// The revision that this is the state of.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// A revision since which no record of this table has changed: what was made from the table at this
    /// revision or later is still right.
    pub fn changed<T: Record>(&self) -> Revision {
        self.table::<T>().changed
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn row<T: Record>(&self, id: &str) -> Option<&Row> {
        self.table::<T>().rows.get(id)
    }

    pub(crate) fn guard(&self, key: &str) -> Option<&Guard> {
        self.guards.get(key)
    }

    pub(crate) fn guards_below(&self, prefix: &str) -> impl Iterator<Item = &Key> {
        let start: Key = prefix.into();
        self.guards
            .range(start..)
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
    }

    fn table<T: Record>(&self) -> &Table {
        &self.tables[self.schema.number::<T>()]
    }

    /// The record with that id, `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable` when it is there but cannot be read by this program.
    pub fn find<T: Record>(&self, id: &str) -> Result<Option<Entry<T>>> {
        let table = self.table::<T>();
        let Some((id, row)) = table.rows.get_key_value(id) else { return Ok(None) };
        entry(id, row).map(Some)
    }

    /// The record with that id, `None` when there is none or it cannot be read.
    pub fn get<T: Record>(&self, id: &str) -> Option<Entry<T>> {
        self.find(id).ok().flatten()
    }

    /// All readable records, by id.
    pub fn all<T: Record>(&self) -> impl DoubleEndedIterator<Item = Entry<T>> {
        self.table::<T>().rows.iter().filter_map(|(id, row)| entry(id, row).ok())
    }

    /// How many records there are, unreadable ones included.
    pub fn count<T: Record>(&self) -> usize {
        self.table::<T>().rows.len()
    }

    /// The records whose index has exactly this text, by id.
    pub fn by<T: Record>(&self, index: &str, text: &str) -> Vec<Entry<T>> {
        self.index_ids::<T>(index, text).into_iter().filter_map(|id| self.get(&id)).collect()
    }

    /// The ids whose index has exactly this text, by id.
    pub fn index_ids<T: Record>(&self, index: &str, text: &str) -> Vec<Arc<str>> {
        // The text itself stands before longer ones that start with it.
        self.index_range::<T>(index, text)
            .take_while(|(found, _)| &**found == text)
            .map(|(_, id)| id)
            .collect()
    }

    /// (text, id) of all entries of the index whose text starts with `prefix`, in order.
    pub fn index_range<'s, T: Record>(
        &'s self,
        index: &str,
        prefix: &str,
    ) -> impl Iterator<Item = (Arc<str>, Arc<str>)> + use<'s, T> {
        let number = index_number::<T>(index);
        let prefix: Arc<str> = prefix.into();
        let empty: Arc<str> = "".into();
        self.table::<T>()
            .indexes
            .range((number, prefix.clone(), empty)..)
            .take_while(move |(n, text, _)| *n == number && text.starts_with(&*prefix))
            .map(|(_, text, id)| (text.clone(), id.clone()))
    }

    /// As [`Snapshot::index_range`], only the entries after (`text`, `id`): the next page of a list.
    pub fn index_after<'s, T: Record>(
        &'s self,
        index: &str,
        prefix: &str,
        text: &str,
        id: &str,
    ) -> impl Iterator<Item = (Arc<str>, Arc<str>)> + use<'s, T> {
        let number = index_number::<T>(index);
        let prefix: Arc<str> = prefix.into();
        let (text, id): (Arc<str>, Arc<str>) = (text.into(), id.into());
        self.table::<T>()
            .indexes
            .range((Bound::Excluded((number, text, id)), Bound::Unbounded))
            .take_while(move |(n, text, _)| *n == number && text.starts_with(&*prefix))
            .map(|(_, text, id)| (text.clone(), id.clone()))
    }

    /// Who holds a claim ([`crate::Txn::claim`]).
    pub fn claimed(&self, scope: Scope, space: &str, value: &str) -> Option<String> {
        let guard = self.guards.get(&record::claim_key(scope, space, value))?;
        Some(String::from_utf8_lossy(&guard.value).into_owned())
    }

    /// The children of an edge's parent ([`crate::Txn::link`]).
    pub fn children(&self, scope: Scope, parent: &str) -> Vec<String> {
        let prefix = record::edge_key(scope, parent, "");
        self.guards_below(&prefix).map(|key| key[prefix.len()..].to_owned()).collect()
    }

    /// Keys of records that this program cannot read, with the reason.
    pub fn unreadable(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (table, def) in self.tables.iter().zip(self.schema.tables()) {
            for (id, row) in &table.rows {
                if let Content::Unreadable(why) = &row.content {
                    found.push((format!("{}/{id}", def.name), why.to_string()));
                }
            }
        }
        found
    }
}

fn index_number<T: Record>(name: &str) -> u8 {
    match (0u8..).zip(T::INDEXES).find(|(_, index)| index.name == name) {
        Some((number, _)) => number,
        None => panic!("the table {} has no index {name}", T::TABLE),
    }
}

/// The index keys of a record that is not in the snapshot yet, for one index.
pub(crate) fn index_texts<T: Record>(index: &str, record: &T, id: &str) -> Vec<String> {
    T::INDEXES
        .iter()
        .filter(|known| known.name == index)
        .flat_map(|known| (known.keys)(record, id))
        .collect()
}

fn entry<T: Record>(id: &Arc<str>, row: &Row) -> Result<Entry<T>> {
    let record = typed::<T>(id, &row.content)?;
    Ok(Entry { id: id.clone(), created: row.created, modified: row.modified, record })
}

pub(crate) fn typed<T: Record>(id: &str, content: &Content) -> Result<Arc<T>> {
    match content {
        Content::Record { record, .. } => record
            .clone()
            .downcast::<T>()
            .map_err(|_| Error::internal(format!("{}/{id} is held as another type", T::TABLE))),
        Content::Unreadable(why) => Err(Error::unavailable(format!(
            "The record {}/{id} cannot be read by this version of the program ({why}); it is kept as it is.",
            T::TABLE
        ))),
    }
}
