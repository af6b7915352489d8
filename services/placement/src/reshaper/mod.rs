//! Reshaping: inventories and the allocations on them move between providers in one step.
//!
//! Guards: those of all inventories and allocations that it touches.

mod actions;
mod api;

pub(crate) use api::cards;
