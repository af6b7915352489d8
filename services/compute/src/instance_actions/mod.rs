//! Instance actions: what was done to a server, with the events that followed.
//!
//! ```text
//! begin ──▶ under way ── end ──▶ Success | Error
//! ```
//!
//! Guards: the server's own record is written with it.

mod api;
mod record;

pub use record::{Action, ActionsRecord, Doer, Event, Outcome, begin, done, end};

pub(crate) use api::cards;

use state::Schema;

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<ActionsRecord>()
}
