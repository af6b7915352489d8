//! Hypervisors: the nodes, as administrators see them. Read only: no state of its own, no guards.

mod api;
mod find;
mod wire;

pub(crate) use api::cards;
