//! Inventories: how much of each class a provider has. Kept inside the provider's record, so that its
//! generation covers them.
//!
//! Guards: the provider's record (every change), its usage record (a class in use stays), and for each
//! custom class an edge `placement.class.<name>` → provider, which keeps the class from being deleted.

pub(crate) mod actions;
mod api;
mod record;
pub(crate) mod wire;

pub(crate) use api::cards;
pub use record::{Inventory, MAX_INT, Misfit};
