//! A server group's record.

use base::Timestamp;
use placement::scheduler::GroupPolicy;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// A server group, found by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerGroupRecord {
    /// For people; need not be unique.
    pub name: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// Who made it: counted against this user's quota too.
    pub user_id: String,
    /// What its members want of each other.
    pub policy: Policy,
    /// With [`Policy::AntiAffinity`]: so many members may be on one host, when it was said.
    #[serde(default)]
    pub max_server_per_host: Option<u64>,
    /// Its members, in the order in which they joined.
    #[serde(default)]
    pub members: Vec<Member>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A server in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The server.
    pub server: String,
    /// Whose it is: members are counted by user.
    pub user: String,
}

/// What the members of a group want of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// All on one host.
    Affinity,
    /// Each on another.
    AntiAffinity,
    /// Together, if that can be.
    SoftAffinity,
    /// Apart, if that can be.
    SoftAntiAffinity,
}

impl Policy {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Affinity => "affinity",
            Policy::AntiAffinity => "anti-affinity",
            Policy::SoftAffinity => "soft-affinity",
            Policy::SoftAntiAffinity => "soft-anti-affinity",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Policy> {
        [Policy::Affinity, Policy::AntiAffinity, Policy::SoftAffinity, Policy::SoftAntiAffinity]
            .into_iter()
            .find(|policy| policy.name() == name)
    }

    /// As the scheduler has it.
    pub fn rule(self) -> GroupPolicy {
        match self {
            Policy::Affinity => GroupPolicy::Affinity,
            Policy::AntiAffinity => GroupPolicy::AntiAffinity,
            Policy::SoftAffinity => GroupPolicy::SoftAffinity,
            Policy::SoftAntiAffinity => GroupPolicy::SoftAntiAffinity,
        }
    }
}

impl Record for ServerGroupRecord {
    const TABLE: &'static str = "compute.server_groups";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] =
        &[Index { name: "project", keys: |group, _| vec![group.project_id.clone()] }];
}
