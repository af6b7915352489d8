//! What is kept of a policy blob.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Record, Scope};

/// A blob that some service may use as its policy. Nothing here reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyBlob {
    /// The blob: a text or an object.
    pub blob: Value,
    /// Its media type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for PolicyBlob {
    const TABLE: &'static str = "identity.policies";
    const SCOPE: Scope = Scope::Global;
}
