//! Who has which role where: in a project, a domain or the system; directly, by a group, or inherited.
//!
//! ```text
//! granted -> revoked
//! ```
//! Guards: a grant's id is made from all that it says, so that there is one of each; granting reads the
//! user or group, the place and the role as alive, so that nothing is granted on what was just deleted.

pub(crate) mod actions;
pub(crate) mod api;
pub(crate) mod effective;
pub(crate) mod list;
pub mod record;
#[cfg(test)]
mod tests;
