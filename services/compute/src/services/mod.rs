//! The services that Nova's clients expect to see: `nova-compute` for each node, `nova-scheduler` and
//! `nova-conductor` for each controller. They are derived from the nodes' records and the controllers'
//! sessions; only what an operator says of a node (disabled and why, down) is stored, in the node's record.
//!
//! Guards: the node's record. That a node has no servers when it is removed rests on its provider's usage.

mod actions;
mod api;
pub(crate) mod rows;
mod wire;

pub(crate) use api::cards;
pub(crate) use rows::{Row, rows};
