//! Quotas: limits per project and user, classes of defaults, and the counters they are held against.
//!
//! Guards: one counter record per project and one per user in it, written by every transaction that
//! takes or gives back; the project's limits are one record, so that two settings cannot pass each other.
//! Hot: servers' transactions run in a lane named by the project.

pub mod actions;
mod api;
mod record;
mod resource;
mod wire;

pub(crate) use api::cards;

pub use record::{DEFAULT_CLASS, Limits, QuotaClassRecord, QuotaRecord, Set, UsageRecord, schema};
pub use resource::Resource;

#[cfg(test)]
pub(crate) mod tests;
