//! What is kept of a user; the password is a record of its own, so that log-ins do not change the user.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Unique in its domain.
    pub name: String,
    /// The domain that holds it.
    pub domain_id: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// What a log-in without scope is scoped to, if the user has a role there.
    pub default_project_id: Option<String>,
    /// Resource options, by name.
    pub options: Map<String, Value>,
    /// What else clients keep here: `email`, `description`.
    pub extra: Map<String, Value>,
}

impl User {
    /// Whether a yes-or-no option is set.
    pub fn option(&self, name: &str) -> bool {
        crate::options::is_set(&self.options, name)
    }
}

impl Record for User {
    const TABLE: &'static str = "identity.users";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<User>] = &[
        Index { name: "domain", keys: |u, _| vec![u.domain_id.clone()] },
        Index { name: "name", keys: |u, _| vec![u.name.clone()] },
        Index {
            name: "default_project",
            keys: |u, _| u.default_project_id.iter().cloned().collect(),
        },
    ];
}
