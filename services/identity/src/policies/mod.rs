//! `/policies`: blobs that services may keep here for themselves. An old part of the API that nothing
//! here reads.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: none needed.

pub(crate) mod api;
pub mod record;
