//! Application credentials and their access rules.
//!
//! ```text
//! there -> (time) ended -> deleted
//! ```
//! Guards: the name is a claim of its user; making one reads user, project and roles as alive; an access
//! rule in use has an edge, and with one it is not deleted; the id of a rule is made from what it says,
//! so that a user has one of each.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
pub(crate) mod rules_api;
pub(crate) mod secret;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
