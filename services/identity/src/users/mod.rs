//! Users.
//!
//! ```text
//! enabled <-> disabled -> deleted (roles, memberships, credentials of it are purged)
//! ```
//! Guards: the name is a claim in its domain; making a user reads its domain as alive. Tokens end with a
//! revocation in the transaction that disables the user or sets a new password.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use state::{Entry, Snapshot};

use record::User;

/// The user of this id.
pub fn find(snapshot: &Snapshot, id: &str) -> Option<Entry<User>> {
    snapshot.get::<User>(id)
}
