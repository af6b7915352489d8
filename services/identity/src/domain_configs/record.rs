//! What is kept of a domain's options.

use base::Map;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{Record, Scope};

/// A domain's options: by group, by name. Its id is the domain's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainConfig {
    /// Those that may be shown.
    pub groups: Map<String, Map<String, Value>>,
    /// Those that may not (`ldap`'s `password`), sealed.
    pub sealed: Map<String, Map<String, String>>,
}

impl Record for DomainConfig {
    const TABLE: &'static str = "identity.domain_configs";
    const SCOPE: Scope = Scope::Global;
}
