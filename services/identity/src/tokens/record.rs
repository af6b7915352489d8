//! What is kept for tokens: the keys that seal them, and what ended them early. Tokens themselves are
//! not kept anywhere.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Record, Scope};

/// A key for tokens. Its id is the 8 hex digits that tokens carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The secret, sealed.
    pub sealed: String,
    /// When it was made. The newest one seals.
    pub since: Timestamp,
}

impl Record for KeyRecord {
    const TABLE: &'static str = "identity.token_keys";
    const SCOPE: Scope = Scope::Global;
}

/// What ends tokens: those of a user, a project, a domain (`user:ID` …) that were given at a revision
/// before this record's own; or the one token with this audit id (`token:ID`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// After this moment every such token has ended by itself.
    pub until: Timestamp,
}

impl Record for Revocation {
    const TABLE: &'static str = "identity.revocations";
    const SCOPE: Scope = Scope::Global;
}
