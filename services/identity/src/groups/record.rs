//! What is kept of a group, and who is in it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A group of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Unique in its domain.
    pub name: String,
    /// The domain that holds it.
    pub domain_id: String,
    /// For people.
    pub description: Option<String>,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Group {
    const TABLE: &'static str = "identity.groups";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Group>] = &[
        Index { name: "domain", keys: |g, _| vec![g.domain_id.clone()] },
        Index { name: "name", keys: |g, _| vec![g.name.clone()] },
    ];
}

/// A user is in a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The user.
    pub user_id: String,
    /// The group.
    pub group_id: String,
}

impl Membership {
    /// Its id: one for each pair.
    pub fn id(user_id: &str, group_id: &str) -> String {
        format!("{group_id}/{user_id}")
    }
}

impl Record for Membership {
    const TABLE: &'static str = "identity.memberships";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Membership>] = &[
        Index { name: "user", keys: |m, _| vec![m.user_id.clone()] },
        Index { name: "group", keys: |m, _| vec![m.group_id.clone()] },
    ];
}
