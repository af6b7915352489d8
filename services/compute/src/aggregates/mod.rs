//! Host aggregates: named sets of nodes with metadata. Metadata `availability_zone` makes one a zone; a node
//! is in at most one zone, and a server never changes zone by an aggregate.
//!
//! ```text
//! (none) ── create ──▶ here ⇄ add_host, remove_host, set_metadata, update ── delete (without hosts) ──▶ (none)
//! ```
//!
//! Guards: [`Turn`], one record that every write of this room writes, so that what a write reads of all
//! aggregates (names, numbers, who is in which zone) still holds when it is committed; the usage record of
//! a node whose zone would change (a claim on it writes that), and its resource provider's record.

pub(crate) mod actions;
mod api;
mod record;
mod wire;

pub(crate) use api::cards;
pub use record::{AggregateRecord, Turn, metadata_of, zone_of};

use state::{Record, Schema};

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<AggregateRecord>().table::<Turn>()
}

/// Whether a change of this table may move nodes between zones or aggregates.
pub(crate) fn moves_zones(table: &str) -> bool {
    table == AggregateRecord::TABLE
}
