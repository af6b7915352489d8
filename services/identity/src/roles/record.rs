//! What is kept of a role, and which role implies which.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Unique in its domain, or among the global ones.
    pub name: String,
    /// The domain of a domain-specific role, which never stands in a token itself; none: global.
    pub domain_id: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Resource options, by name.
    pub options: Map<String, Value>,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Role {
    /// Whether its option `immutable` is set.
    pub fn immutable(&self) -> bool {
        crate::options::is_set(&self.options, "immutable")
    }
}

impl Record for Role {
    const TABLE: &'static str = "identity.roles";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Role>] = &[
        Index { name: "domain", keys: |r, _| vec![r.domain_id.clone().unwrap_or_default()] },
        Index { name: "name", keys: |r, _| vec![r.name.clone()] },
    ];
}

/// Who has the prior role has the implied one too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Implication {
    /// The role that is given.
    pub prior_id: String,
    /// The role that comes with it.
    pub implied_id: String,
}

impl Implication {
    /// Its id: one for each pair.
    pub fn id(prior_id: &str, implied_id: &str) -> String {
        format!("{prior_id}/{implied_id}")
    }
}

impl Record for Implication {
    const TABLE: &'static str = "identity.implications";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Implication>] = &[
        Index { name: "prior", keys: |i, _| vec![i.prior_id.clone()] },
        Index { name: "implied", keys: |i, _| vec![i.implied_id.clone()] },
    ];
}
