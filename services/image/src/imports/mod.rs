//! Imports: staged bytes become an image's, in the background; and the tasks that tell how that went.
//! Only what was staged is imported (`glance-direct`): nothing is ever fetched from elsewhere.
//!
//! ```text
//!  POST import ─▶ pending ─▶ success
//!                    └─────▶ failure
//! ```
//! Guards: the image's own record, which names the import under way.

mod actions;
mod api;
mod reconcile;
mod record;

pub(crate) use api::cards;
pub use reconcile::ImportKeeper;
pub use record::{TaskRecord, TaskStatus};

/// The methods that are offered.
pub(crate) const METHODS: &[&str] = &["glance-direct"];

#[cfg(test)]
mod tests;
