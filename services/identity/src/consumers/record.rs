//! What is kept of an OAuth consumer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Record, Scope};

/// An OAuth consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// For people.
    pub description: Option<String>,
    /// Its secret, sealed.
    pub secret: String,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Consumer {
    const TABLE: &'static str = "identity.consumers";
    const SCOPE: Scope = Scope::Global;
}
