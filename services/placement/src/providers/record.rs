//! A resource provider as stored. Its id in the table is its UUID.

use std::sync::Arc;

use base::{Error, Map, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

use crate::{Inventory, Look, Resources, UsageRecord};

/// Something that has resources to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderRecord {
    /// Its name, unique.
    pub name: String,
    /// Raised by each write of this record; see [`ProviderRecord::shown_generation`].
    pub generation: u64,
    /// The provider that it is a part of.
    pub parent: Option<String>,
    /// It stands for a node of this cloud: its totals are the node's, and it goes with the node.
    pub node: bool,
    /// What it has, by class.
    pub inventories: Map<String, Inventory>,
    /// What it can, sorted.
    pub traits: Vec<String>,
    /// The aggregates that it is in, by UUID, sorted.
    pub aggregates: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Record for ProviderRecord {
    const TABLE: &'static str = "placement.providers";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "name", keys: |provider, _| vec![provider.name.clone()] },
        Index { name: "parent", keys: |provider, _| provider.parent.iter().cloned().collect() },
    ];
}

impl ProviderRecord {
    /// One without anything.
    pub(super) fn new(name: &str, now: Timestamp) -> ProviderRecord {
        ProviderRecord {
            name: name.to_owned(),
            generation: 0,
            parent: None,
            node: false,
            inventories: Map::new(),
            traits: Vec::new(),
            aggregates: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// What it can give in all.
    pub fn capacity(&self) -> Resources {
        self.inventories.iter().map(|(class, own)| (class, own.capacity())).collect()
    }

    /// The generation that clients see: allocations raise it too, but are counted beside the usage.
    pub fn shown_generation(&self, from: &impl Look, id: &str) -> u64 {
        self.generation + from.look::<UsageRecord>(id).map_or(0, |usage| usage.changes)
    }
}

/// 404 for an unknown provider.
pub(crate) fn no_provider(id: &str) -> Error {
    Error::not_found(format!("No resource provider with uuid {id} found"))
}

/// The root of the tree that a provider is in; itself when it has no parent.
pub(crate) fn root_of(from: &impl Look, id: &str, provider: &ProviderRecord) -> String {
    let mut root = id.to_owned();
    let mut parent = provider.parent.clone();
    // Trees have no loops; a damaged one shall not hang anybody.
    for _ in 0..1000 {
        let Some(above) = parent else { break };
        let record: Option<Arc<ProviderRecord>> = from.look(&above);
        parent = record.and_then(|record| record.parent.clone());
        root = above;
    }
    root
}
