//! Server groups: servers that shall be near to each other, or far.
//!
//! There is, or there is not. A group may be deleted while it has members: they stay where they are.
//!
//! Guards: the group's record holds its members, so that their number is held against the quota by it;
//! the project's counter of groups is changed in the same transaction as the group.

pub mod actions;
mod api;
mod record;
mod wire;

pub(crate) use api::cards;
pub use record::{Member, Policy, ServerGroupRecord};

use state::Schema;

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<ServerGroupRecord>()
}

#[cfg(test)]
mod tests;
