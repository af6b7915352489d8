//! The counter of what is taken, and what is left of a provider.

use serde::{Deserialize, Serialize};
use state::{Record, Scope};

use crate::{Look, Resources, providers::ProviderRecord};

/// What is taken of a provider. Its id is the provider's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The sum of all allocations.
    pub used: Resources,
    /// How often it changed: a part of the provider's generation.
    pub changes: u64,
}

impl Record for UsageRecord {
    const TABLE: &'static str = "placement.usages";
    const SCOPE: Scope = Scope::Cell;
}

/// What a provider has and gives, as the scheduler wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What can be given away in all: total less reserved, times the ratio.
    pub capacity: Resources,
    /// The most that one consumer may take.
    pub largest: Resources,
    /// What is taken.
    pub used: Resources,
    /// The provider's traits, sorted.
    pub traits: Vec<String>,
}

/// What is taken of a provider now; nothing when there is none.
pub fn usage_of(from: &impl Look, provider_id: &str) -> Resources {
    from.look::<UsageRecord>(provider_id).map(|usage| usage.used.clone()).unwrap_or_default()
}

/// What a provider can give in all; nothing when there is none.
pub fn capacity_of(from: &impl Look, provider_id: &str) -> Resources {
    from.look::<ProviderRecord>(provider_id).map(|provider| provider.capacity()).unwrap_or_default()
}

/// What the scheduler wants to know of a provider; `None` when there is none.
pub fn room_of(from: &impl Look, provider_id: &str) -> Option<Room> {
    let provider = from.look::<ProviderRecord>(provider_id)?;
    Some(Room {
        capacity: provider.capacity(),
        largest: provider.inventories.iter().map(|(class, own)| (class, own.max_unit)).collect(),
        used: usage_of(from, provider_id),
        traits: provider.traits.clone(),
    })
}
