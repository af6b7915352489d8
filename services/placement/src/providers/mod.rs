//! Resource providers: things that have resources to give: nodes, and what an administrator makes. They
//! form trees by their parents.
//!
//! ```text
//! (none) ── create / ensure_node ──▶ here ── delete / remove_node ──▶ (none)
//!                                     │ ▲
//!                                     └─┘ every write raises the generation
//! ```
//!
//! Guards: the record; claim `placement.provider-name` → id; edge `placement.provider.<id>` → child, which
//! keeps a parent from being deleted; the usage record (one in use is not deleted). That a tree has no
//! loop rests on reading every ancestor as a condition.

pub mod actions;
mod api;
pub(crate) mod filter;
mod record;
mod wire;

pub(crate) use api::cards;
pub use record::ProviderRecord;
pub(crate) use record::{no_provider, root_of};
