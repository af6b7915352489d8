//! What is kept of an application credential, and of the rules that narrow its use.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// An application credential: some of a user's roles in one project, behind a secret of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppCred {
    /// Unique for its user.
    pub name: String,
    /// Whose it is.
    pub user_id: String,
    /// Where it counts.
    pub project_id: String,
    /// For people.
    pub description: Option<String>,
    /// SHA-256 of the secret, in hex. The secret is random or chosen; see `actions`.
    pub secret: AppSecret,
    /// The roles that it carries, by id.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// It may make and delete credentials itself.
    pub unrestricted: bool,
    /// The rules that narrow it, by id; none: it is not narrowed.
    pub access_rules: Option<Vec<String>>,
}

/// How the secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppSecret {
    /// One of ours: 256 random bits, so a plain hash keeps it.
    Random(String),
    /// The user's own choice, which may be weak: a password hash.
    Chosen(String),
}

impl Record for AppCred {
    const TABLE: &'static str = "identity.app_creds";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<AppCred>] = &[
        Index { name: "user", keys: |a, _| vec![a.user_id.clone()] },
        Index { name: "project", keys: |a, _| vec![a.project_id.clone()] },
        Index { name: "role", keys: |a, _| a.roles.clone() },
        Index { name: "rule", keys: |a, _| a.access_rules.clone().unwrap_or_default() },
    ];
}

/// A rule: this method on this path of this service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRule {
    /// Whose it is.
    pub user_id: String,
    /// The service's type.
    pub service: String,
    /// The path, with `*`, `**` and `{name}`.
    pub path: String,
    /// The method.
    pub method: String,
}

impl Record for AccessRule {
    const TABLE: &'static str = "identity.access_rules";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<AccessRule>] =
        &[Index { name: "user", keys: |r, _| vec![r.user_id.clone()] }];
}
