//! What is kept of unified limits.

use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// What a project has unless a limit says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredLimit {
    /// The service that counts it.
    pub service_id: String,
    /// The region that it counts in; none: in all.
    pub region_id: Option<String>,
    /// What is limited.
    pub resource_name: String,
    /// How much.
    pub default_limit: i64,
    /// For people.
    pub description: Option<String>,
}

impl Record for RegisteredLimit {
    const TABLE: &'static str = "identity.registered_limits";
    const SCOPE: Scope = Scope::Global;
}

/// What one project or domain has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The registered limit that it stands against.
    pub registered_id: String,
    /// The project.
    pub project_id: Option<String>,
    /// The domain.
    pub domain_id: Option<String>,
    /// How much.
    pub resource_limit: i64,
    /// For people.
    pub description: Option<String>,
}

impl Record for Limit {
    const TABLE: &'static str = "identity.limits";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Limit>] = &[
        Index { name: "project", keys: |l, _| l.project_id.iter().cloned().collect() },
        Index { name: "domain", keys: |l, _| l.domain_id.iter().cloned().collect() },
        Index { name: "registered", keys: |l, _| vec![l.registered_id.clone()] },
    ];
}
