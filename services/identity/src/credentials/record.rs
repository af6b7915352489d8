//! What is kept of a credential: a blob that a user leaves here, sealed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// Whose it is.
    pub user_id: String,
    /// Where it counts.
    pub project_id: Option<String>,
    /// Its type: `ec2`, `cert`, `totp` …
    #[serde(rename = "type")]
    pub kind: String,
    /// The blob, sealed.
    pub blob: String,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Credential {
    const TABLE: &'static str = "identity.credentials";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Credential>] = &[
        Index { name: "user", keys: |c, _| vec![c.user_id.clone()] },
        Index { name: "project", keys: |c, _| c.project_id.iter().cloned().collect() },
    ];
}
