//! Groups of users.
//!
//! ```text
//! there -> deleted (roles and memberships of it are purged)
//! ```
//! Guards: the name is a claim in its domain; a membership reads its user and its group as alive.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
