//! Allocation candidates: every way to satisfy a request from one tree of providers, with what is shared
//! with it through aggregates. Read only: no state, no guards.
//!
//! The query becomes [`wanted::Wanted`], the snapshot a [`forest::Forest`]; [`search`] is pure.

mod api;
mod forest;
mod search;
mod wanted;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use api::cards;
