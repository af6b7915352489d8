//! What is kept of a user's password: hashes only.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Record, Scope};

/// A user's password. Its id is the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// The hash, in PHC form.
    pub hash: String,
    /// When it was set.
    pub since: Timestamp,
    /// When it ends; none: never.
    pub expires: Option<Timestamp>,
    /// Set by the user (not by somebody else for it).
    pub self_service: bool,
    /// Hashes of earlier ones, the newest first.
    pub earlier: Vec<String>,
    /// Wrong passwords since the last right one.
    pub failures: u32,
    /// When the last wrong one came.
    pub failed: Option<Timestamp>,
}

impl Record for Password {
    const TABLE: &'static str = "identity.passwords";
    const SCOPE: Scope = Scope::Global;
}
