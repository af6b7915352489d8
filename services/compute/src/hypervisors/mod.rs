//! Hypervisors: the nodes, as administrators see them. Read only: no state of its own, no guards.

mod api;
mod find;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use api::cards;
