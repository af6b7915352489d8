//! `/OS-OAUTH1/consumers`: who may ask users for access by OAuth 1. They can be kept here; the dance
//! itself (request and access tokens) is not spoken.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: none needed.

pub(crate) mod api;
pub mod record;
