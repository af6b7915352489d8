//! Credentials: blobs that users leave here, such as EC2 keys; sealed in the store.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: making one reads its user as alive.

pub mod record;
