//! Unified limits: what services may count for projects and domains, and how much each may have. The
//! model is flat: a limit says nothing about projects below.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: what a registered limit and a limit speak of are claims; a limit is an edge of its registered
//! limit, which with edges is neither deleted nor pointed elsewhere; making a limit reads its registered
//! limit and its project or domain as alive.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
pub(crate) mod registered;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
