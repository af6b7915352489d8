//! What is kept of a project. A domain is a project without a domain.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A project, or a domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Unique in its domain.
    pub name: String,
    /// The domain that holds it; none: it is a domain itself.
    pub domain_id: Option<String>,
    /// The project above it, or its domain; none for a domain.
    pub parent_id: Option<String>,
    /// Whether tokens for it are given and honoured.
    pub enabled: bool,
    /// For people; none only when it was set to null.
    pub description: Option<String>,
    /// In the order they were given.
    pub tags: Vec<String>,
    /// Resource options, by name.
    pub options: Map<String, Value>,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Project {
    /// Whether it is a domain.
    pub fn is_domain(&self) -> bool {
        self.domain_id.is_none()
    }

    /// Whether its option `immutable` is set.
    pub fn immutable(&self) -> bool {
        crate::options::is_set(&self.options, "immutable")
    }
}

impl Record for Project {
    const TABLE: &'static str = "identity.projects";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Project>] = &[
        Index { name: "domain", keys: |p, _| vec![p.domain_id.clone().unwrap_or_default()] },
        Index { name: "parent", keys: |p, _| p.parent_id.iter().cloned().collect() },
        Index { name: "name", keys: |p, _| vec![p.name.clone()] },
    ];
}
