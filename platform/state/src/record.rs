//! What a table's record is: a typed JSON object with an id, kept under one key.

use std::any::{Any, TypeId};
use std::sync::Arc;

use base::{Map, Result, Set};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Key;

/// Which store a table belongs to, when there is more than one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Known in the whole cloud: identity, flavors, images.
    Global,
    /// Of one cell: servers, nodes, allocations.
    Cell,
}

impl Scope {
    fn cell(self) -> &'static str {
        match self {
            Scope::Global => "g",
            Scope::Cell => "c1",
        }
    }
}

/// A record of a table. Every field must be written always (no `skip_serializing`), so that a field
/// that this program does not know can be told from one that is empty; new fields need
/// `#[serde(default)]`. Unknown fields of objects (not inside arrays) are kept when it is written.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The table's name: the service, a dot, the resource, such as `compute.servers`.
    const TABLE: &'static str;
    /// Where it lives.
    const SCOPE: Scope;
    /// Kept with the records, in the same step.
    const INDEXES: &'static [Index<Self>] = &[];
}

/// A secondary index: for each record the texts that it is found by. Kept sorted by (text, id), so a
/// text that ends in a sortable time gives an ordered list.
pub struct Index<T> {
    /// Its name within the table.
    pub name: &'static str,
    /// The texts of one record (given with its id).
    pub keys: fn(&T, &str) -> Vec<String>,
}

/// All tables that a program knows.
#[derive(Default)]
pub struct Schema {
    tables: Vec<TableDef>,
    by_type: Map<TypeId, usize>,
    by_name: Map<String, usize>,
}

type AnyRecord = Arc<dyn Any + Send + Sync>;
/// A record, and the fields that this program does not know.
type Decoded = (AnyRecord, Option<Value>);

pub(crate) struct TableDef {
    pub(crate) name: &'static str,
    pub(crate) decode: fn(&[u8]) -> Result<Decoded, serde_json::Error>,
    pub(crate) index: fn(&(dyn Any + Send + Sync), &str) -> Vec<(u8, String)>,
}

impl Schema {
    /// No tables.
    pub fn new() -> Schema {
        Schema::default()
    }

    /// Adds a table. Adding it twice does nothing.
    ///
    /// # Panics
    /// When two types claim one table name: one table, one owner.
    #[must_use]
    pub fn table<T: Record>(mut self) -> Schema {
        if self.by_type.contains_key(&TypeId::of::<T>()) {
            return self;
        }
        assert!(
            self.by_name.insert(T::TABLE.to_owned(), self.tables.len()).is_none(),
            "the table {} has two owners",
            T::TABLE
        );
        self.by_type.insert(TypeId::of::<T>(), self.tables.len());
        self.tables.push(TableDef { name: T::TABLE, decode: decode::<T>, index: index::<T> });
        self
    }

    /// The tables' names.
    pub fn names(&self) -> Vec<&'static str> {
        self.tables.iter().map(|table| table.name).collect()
    }

    pub(crate) fn number<T: Record>(&self) -> usize {
        match self.by_type.get(&TypeId::of::<T>()) {
            Some(number) => *number,
            None => panic!("the table {} is not in the schema", T::TABLE),
        }
    }

    pub(crate) fn numbered(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn tables(&self) -> &[TableDef] {
        &self.tables
    }
}

fn decode<T: Record>(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let record: T = serde_json::from_slice(bytes)?;
    // Byte-equal is the usual case and needs no look at fields.
    if serde_json::to_vec(&record)? == bytes {
        return Ok((Arc::new(record), None));
    }
    let raw: Value = serde_json::from_slice(bytes)?;
    let known = serde_json::to_value(&record)?;
    let unknown = only_in(&raw, &known);
    Ok((Arc::new(record), unknown))
}

fn index<T: Record>(record: &(dyn Any + Send + Sync), id: &str) -> Vec<(u8, String)> {
    let Some(record) = record.downcast_ref::<T>() else { return Vec::new() };
    let mut keys = Vec::new();
    for (number, index) in (0u8..).zip(T::INDEXES) {
        keys.extend((index.keys)(record, id).into_iter().map(|key| (number, key)));
    }
    keys
}

/// The fields of `raw` that `known` has not, at any depth of objects.
fn only_in(raw: &Value, known: &Value) -> Option<Value> {
    let (Value::Object(raw), Value::Object(known)) = (raw, known) else { return None };
    let mut rest = serde_json::Map::new();
    for (field, value) in raw {
        match known.get(field) {
            None => drop(rest.insert(field.clone(), value.clone())),
            Some(same) => {
                if let Some(deeper) = only_in(value, same) {
                    rest.insert(field.clone(), deeper);
                }
            }
        }
    }
    (!rest.is_empty()).then_some(Value::Object(rest))
}

/// Puts unknown fields back where the record still has their place.
pub(crate) fn merge_unknown(into: &mut Value, unknown: &Value) {
    let (Value::Object(into), Value::Object(unknown)) = (into, unknown) else { return };
    for (field, value) in unknown {
        match into.get_mut(field) {
            None => drop(into.insert(field.clone(), value.clone())),
            Some(deeper) => merge_unknown(deeper, value),
        }
    }
}

/// `/<cell>/<table>/<2 hex of a hash>/<id>`: the hash lets a cold start load shards side by side.
pub(crate) fn record_key(scope: Scope, table: &str, id: &str) -> Key {
    format!("/{}/{table}/{:02x}/{id}", scope.cell(), shard(id)).into()
}

fn shard(id: &str) -> u8 {
    Sha256::digest(id.as_bytes())[0]
}

/// What a key holds.
pub(crate) enum Place<'a> {
    Record {
        table: usize,
        id: &'a str,
    },
    /// A claim or an edge: kept in memory as it is.
    Guard,
    /// Not held in memory.
    Other,
}

pub(crate) fn place<'a>(schema: &Schema, key: &'a str) -> Place<'a> {
    let mut parts = key.splitn(5, '/');
    let (_, _, table) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    if table == CLAIM || table == EDGE {
        return Place::Guard;
    }
    match (schema.numbered(table), parts.next(), parts.next()) {
        (Some(table), Some(_), Some(id)) => Place::Record { table, id },
        _ => Place::Other,
    }
}

const CLAIM: &str = "claim";
const EDGE: &str = "ref";
const BLOB: &str = "blob";

/// `/<cell>/claim/<space>/<value>`
pub(crate) fn claim_key(scope: Scope, space: &str, value: &str) -> Key {
    format!("/{}/{CLAIM}/{space}/{value}", scope.cell()).into()
}

/// `/<cell>/ref/<parent>/<child>`; a child's name may hold slashes, a parent's may not.
pub(crate) fn edge_key(scope: Scope, parent: &str, child: &str) -> Key {
    debug_assert!(!parent.contains('/'), "the parent {parent} of an edge holds a slash");
    format!("/{}/{EDGE}/{parent}/{child}", scope.cell()).into()
}

/// `/<cell>/blob/<2 hex>/<name>`
pub(crate) fn blob_key(scope: Scope, name: &str) -> Key {
    format!("/{}/{BLOB}/{:02x}/{name}", scope.cell(), shard(name)).into()
}

/// Names of tables that the key layout keeps for itself.
pub fn reserved_names() -> Set<&'static str> {
    [CLAIM, EDGE, BLOB].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Clone, Serialize, Deserialize)]
    struct Inner {
        a: u32,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct Thing {
        name: String,
        inner: Inner,
    }
    impl Record for Thing {
        const TABLE: &'static str = "test.things";
        const SCOPE: Scope = Scope::Global;
    }

    #[test]
    fn unknown_fields_are_kept_at_any_depth() {
        let newer = json!({"name": "x", "later": [1], "inner": {"a": 1, "b": 2}});
        let bytes = serde_json::to_vec(&newer).unwrap();
        let (record, unknown) = decode::<Thing>(&bytes).unwrap();
        let mut thing = record.downcast_ref::<Thing>().unwrap().clone();
        thing.inner.a = 5;
        let mut out = serde_json::to_value(&thing).unwrap();
        merge_unknown(&mut out, &unknown.unwrap());
        assert_eq!(out, json!({"name": "x", "later": [1], "inner": {"a": 5, "b": 2}}));
    }

    #[test]
    fn keys_are_found_again() {
        let schema = Schema::new().table::<Thing>();
        let key = record_key(Scope::Global, Thing::TABLE, "user/with slash");
        assert!(matches!(place(&schema, &key), Place::Record { table: 0, id: "user/with slash" }));
        assert!(matches!(place(&schema, &claim_key(Scope::Global, "n", "v/w")), Place::Guard));
        assert!(matches!(place(&schema, &blob_key(Scope::Global, "n")), Place::Other));
    }
}
