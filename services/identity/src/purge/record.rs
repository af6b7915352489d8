//! What is kept of a deleted thing until nothing hangs on it any more.

use serde::{Deserialize, Serialize};
use state::{Record, Scope};

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A domain: everything in it goes too.
    Domain,
    /// A project.
    Project,
    /// A user.
    User,
    /// A group.
    Group,
    /// A role.
    Role,
    /// A service.
    Service,
    /// An endpoint, or a group of them.
    Endpoint,
    /// A trust: those made from it go too.
    Trust,
}

impl Kind {
    pub(super) fn key(self, id: &str) -> String {
        let kind = match self {
            Kind::Domain => "domain",
            Kind::Project => "project",
            Kind::User => "user",
            Kind::Group => "group",
            Kind::Role => "role",
            Kind::Service => "service",
            Kind::Endpoint => "endpoint",
            Kind::Trust => "trust",
        };
        format!("{kind}:{id}")
    }
}

/// A deleted thing on which something may still hang.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// What it was.
    pub kind: Kind,
    /// Its id.
    pub of: String,
}

impl Record for Purge {
    const TABLE: &'static str = "identity.purges";
    const SCOPE: Scope = Scope::Global;
}
