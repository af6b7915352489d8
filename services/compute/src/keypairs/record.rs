//! A key pair's record, and the counter of a user's.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// A key pair. The id is the user's, a slash, the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeypairRecord {
    /// Whose it is.
    pub user_id: String,
    /// The user's name for it.
    pub name: String,
    /// What kind of key.
    pub kind: Kind,
    /// The public key or certificate.
    pub public_key: String,
    /// Of the public key.
    pub fingerprint: String,
    /// Nova shows a number; it means nothing.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// For SSH.
    Ssh,
    /// A certificate, for Windows' remote management.
    X509,
}

impl Kind {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ssh => "ssh",
            Kind::X509 => "x509",
        }
    }
}

/// The record's id.
pub(super) fn id(user: &str, name: &str) -> String {
    format!("{user}/{name}")
}

impl Record for KeypairRecord {
    const TABLE: &'static str = "compute.keypairs";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] =
        &[Index { name: "user", keys: |keypair, _| vec![keypair.user_id.clone()] }];
}

/// How many key pairs a user has. The id is the user's; none when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeypairCountRecord {
    /// So many.
    pub count: u64,
    /// The last number given.
    pub number: u64,
}

impl Record for KeypairCountRecord {
    const TABLE: &'static str = "compute.keypair_counts";
    const SCOPE: Scope = Scope::Cell;
}
