//! Servers.

mod record;

pub use record::{
    Fault, FlavorCopy, ImageCopy, Intent, KeyCopy, Lock, Phase, Place, Power, ServerRecord, Text,
    in_group, on_node,
};

use state::Schema;

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<ServerRecord>()
}
