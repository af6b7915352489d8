//! Traits: what a provider can. The standard ones are names in the program, custom ones are records; which
//! provider has which stands in the provider's record.
//!
//! Guards: the record; edges `placement.trait.<name>` → provider, which keep a trait in use from being
//! deleted.

pub(crate) mod actions;
mod api;
mod record;

pub(crate) use api::cards;
pub use record::TraitRecord;
pub(crate) use record::{all_known, is_known};
