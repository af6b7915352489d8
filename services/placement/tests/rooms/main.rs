//! Placement's rooms through the API, in process, on the memory store, in a simulated world.

#![expect(clippy::unwrap_used, reason = "a test whose helper fails has failed")]

mod allocations;
mod candidates;
mod nodes;
mod races;
mod refusals;
mod shapes;
mod world;
