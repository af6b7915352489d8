//! Flavors: sizes that servers are made in.
//!
//! There is, or there is not. A server keeps a copy of its flavor, so that nothing depends on a flavor
//! and deleting one touches nothing else.
//!
//! Guards: the name is a claim held by the id; the id is the record's key.

mod actions;
mod api;
mod extra_specs;
mod record;
mod wire;

pub use actions::{create, not_found};
pub use record::FlavorRecord;

pub(crate) use api::cards;

use state::Schema;

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<FlavorRecord>()
}
