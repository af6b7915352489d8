//! Usages: how much of a provider is taken, as one counter record beside each provider. It changes in the
//! transaction that changes an allocation, so it always equals the sum of the allocations; a claim
//! writes this small record and leaves the provider's own alone.
//!
//! Guards: the usage record itself; every claim, release and API write puts it.

mod api;
mod record;

pub(crate) use api::cards;
pub use record::{Room, UsageRecord, capacity_of, room_of, usage_of};
