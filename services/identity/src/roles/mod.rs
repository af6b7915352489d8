//! Roles, and which role implies which.
//!
//! ```text
//! there -> deleted (assignments and implications of it are purged)
//! ```
//! Guards: the name is a claim in its domain or among the global roles; an implication reads both roles
//! as alive.

pub(crate) mod actions;
pub(crate) mod api;
pub(crate) mod implied;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
