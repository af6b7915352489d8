//! An aggregate, and what its hosts are in.

use base::{Map, Set, Timestamp};
use placement::scheduler::Metadata;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot};

/// The metadata that makes an aggregate a zone.
pub(crate) const ZONE: &str = "availability_zone";

/// An aggregate. Its id in the table is its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateRecord {
    /// Its UUID: the aggregate of its hosts' resource providers.
    pub uuid: String,
    /// Its name, unique.
    pub name: String,
    /// Its nodes, by name.
    pub hosts: Set<String>,
    /// Its metadata, the zone included.
    pub metadata: Map<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
}

impl Record for AggregateRecord {
    const TABLE: &'static str = "compute.aggregates";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "host", keys: |aggregate, _| aggregate.hosts.iter().cloned().collect() },
        Index { name: "name", keys: |aggregate, _| vec![aggregate.name.clone()] },
    ];
}

impl AggregateRecord {
    /// The zone that it is.
    pub fn zone(&self) -> Option<&str> {
        self.metadata.get(ZONE).map(String::as_str)
    }
}

/// Whose turn it is to change aggregates: written by every change. Its id in the table is [`Turn::ID`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The number of the newest aggregate.
    pub last: u64,
    /// How many changes there were.
    pub changes: u64,
}

impl Turn {
    /// There is one.
    pub const ID: &'static str = "turn";
}

impl Record for Turn {
    const TABLE: &'static str = "compute.aggregate_turn";
    const SCOPE: Scope = Scope::Cell;
}

/// The zone that a node is in.
pub fn zone_of(snapshot: &Snapshot, node: &str, default: &str) -> String {
    let aggregates = snapshot.by::<AggregateRecord>("host", node);
    let zone = aggregates.iter().find_map(|aggregate| aggregate.zone());
    zone.unwrap_or(default).to_owned()
}

/// What the aggregates of a node say, for the scheduler.
pub fn metadata_of(snapshot: &Snapshot, node: &str) -> Metadata {
    let mut metadata = Metadata::new();
    for aggregate in snapshot.by::<AggregateRecord>("host", node) {
        for (key, value) in &aggregate.metadata {
            metadata.entry(key.clone()).or_default().insert(value.clone());
        }
    }
    metadata
}
