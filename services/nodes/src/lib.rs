//! The nodes of the cloud: their records, and the hub that carries orders out and reports in. Knows of
//! no service: those give it their [`OrderSource`]s.

pub mod actions;
mod hub;
mod presence;
mod record;
mod source;
#[cfg(test)]
mod tests;

pub use hub::{Hub, HubConfig, Peers};
pub use record::{NodeRecord, Presence, by_uuid};
pub use source::{Object, OrderSource};

use state::Schema;

/// The tables of this crate.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<NodeRecord>()
}
