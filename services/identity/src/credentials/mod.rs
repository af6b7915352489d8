//! Credentials: blobs that users leave here, such as EC2 keys; sealed in the store.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: making one reads its user as alive; an EC2 key's id is made from its access key, so that
//! there is one of each.

pub(crate) mod actions;
pub(crate) mod api;
pub(crate) mod ec2;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
