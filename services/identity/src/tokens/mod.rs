//! Tokens. They name and do not grant: whatever a token is worth is looked up at each use, so that a
//! role taken away, a user disabled or a password changed counts at once, on every controller.
//!
//! ```text
//! issued -> (time) ended                 nothing is kept of a token
//!   | user, project or domain disabled or gone, password changed, DELETE: ended at once
//! ```
//! Guards: none needed. A key is a record of a random id; a revocation counts by its own revision.

pub(crate) mod body;
pub(crate) mod cache;
pub mod format;
pub(crate) mod keys;
pub mod record;
pub(crate) mod resolve;
pub(crate) mod revoke;
#[cfg(test)]
mod tests;
