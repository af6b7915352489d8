//! Allocations: who holds how much of which provider. One record for each consumer; one without
//! allocations has none.
//!
//! ```text
//! (none) ── claim / PUT / POST ──▶ held ── release / DELETE / PUT {} ──▶ (none)
//!                                  │  ▲
//!                                  └──┘ each write raises the consumer's generation
//! ```
//!
//! Guards: the record; of each provider that is touched, its record (inventories and existence) and its
//! usage record (the counter). What the cloud's own services claimed ([`Owner::Cloud`]) changes with the
//! thing that it is for, never through the API: otherwise the sums would drift from the servers.

pub mod actions;
mod api;
pub(crate) mod asked;
mod record;
pub(crate) mod replace;
mod wire;

pub(crate) use api::cards;
pub use record::{AllocationRecord, Consumer, Held, Owner};
pub(crate) use wire::POST;
