//! Which aggregates a provider is in. An aggregate is a UUID and nothing more; it needs no record.
//!
//! Guards: the provider's record.

mod api;

pub(crate) use api::cards;
