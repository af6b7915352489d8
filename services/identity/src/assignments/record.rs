//! Who has which role where.

use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// Who has the role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A user.
    User(String),
    /// All users of a group.
    Group(String),
}

impl Who {
    /// As text: the key of an index.
    pub fn key(&self) -> String {
        match self {
            Who::User(id) => format!("u:{id}"),
            Who::Group(id) => format!("g:{id}"),
        }
    }

    /// The id of the user or group.
    pub fn id(&self) -> &str {
        match self {
            Who::User(id) | Who::Group(id) => id,
        }
    }
}

/// Where it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// In a project.
    Project(String),
    /// In a domain itself.
    Domain(String),
    /// In the whole system.
    System,
}

impl Where {
    /// As text: the key of an index.
    pub fn key(&self) -> String {
        match self {
            Where::Project(id) => format!("p:{id}"),
            Where::Domain(id) => format!("d:{id}"),
            Where::System => "s".to_owned(),
        }
    }

    /// The id of the project or domain.
    pub fn id(&self) -> &str {
        match self {
            Where::Project(id) | Where::Domain(id) => id,
            Where::System => "system",
        }
    }
}

/// One role of somebody somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Who has it.
    pub who: Who,
    /// Where.
    #[serde(rename = "where")]
    pub place: Where,
    /// The role.
    pub role_id: String,
    /// It counts in the projects below that place, not in the place itself.
    pub inherited: bool,
}

impl Assignment {
    /// Its id: one for each combination.
    pub fn id(&self) -> String {
        let inherited = if self.inherited { "/inherited" } else { "" };
        format!("{}/{}/{}{inherited}", self.who.key(), self.place.key(), self.role_id)
    }
}

impl Record for Assignment {
    const TABLE: &'static str = "identity.assignments";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Assignment>] = &[
        Index { name: "who", keys: |a, _| vec![a.who.key()] },
        Index { name: "where", keys: |a, _| vec![a.place.key()] },
        Index { name: "role", keys: |a, _| vec![a.role_id.clone()] },
    ];
}
