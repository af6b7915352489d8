//! Key pairs: public keys that a user's servers are given.
//!
//! There is, or there is not. Servers keep a copy, so that nothing depends on a key pair. A private key is
//! made for clients that ask for one (before 2.92), shown once and kept nowhere.
//!
//! Guards: the user's name for it is the record's key; a counter record per user holds their number
//! against the quota.

mod actions;
mod api;
mod make;
mod pkcs12;
mod public;
mod record;
mod wire;

pub(crate) use api::cards;
pub use record::{KeypairCountRecord, KeypairRecord, Kind};

use base::Result;
use state::{Entry, Schema, Snapshot};

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<KeypairRecord>().table::<KeypairCountRecord>()
}

/// A user's key pair of that name.
///
/// # Errors
/// `Unavailable` when it cannot be read.
pub fn find(snapshot: &Snapshot, user: &str, name: &str) -> Result<Option<Entry<KeypairRecord>>> {
    snapshot.find(&record::id(user, name))
}

#[cfg(test)]
mod tests;
