//! Limits that somebody set, and counters of what is in use.

use base::{Error, Map, Result};
use serde::{Deserialize, Serialize};
use state::{Record, Schema, Scope, Snapshot, Txn};

use super::Resource;

/// Limits by the resource's name. Only those that were set.
pub type Set = Map<String, i64>;

/// The limits that were set for one project and for users in it. The id is the project's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuotaRecord {
    /// For the whole project.
    #[serde(default)]
    pub limits: Set,
    /// For single users in it. One record with the project's own: the sum of the users' limits is
    /// held against the project's when either is set.
    #[serde(default)]
    pub users: Map<String, Set>,
}

impl Record for QuotaRecord {
    const TABLE: &'static str = "compute.quotas";
    const SCOPE: Scope = Scope::Cell;
}

/// The limits of a quota class. The id is the class's name; `default` stands below every project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuotaClassRecord {
    /// Limits.
    #[serde(default)]
    pub limits: Set,
}

impl Record for QuotaClassRecord {
    const TABLE: &'static str = "compute.quota_classes";
    const SCOPE: Scope = Scope::Cell;
}

/// The class below every project.
pub const DEFAULT_CLASS: &str = "default";

/// What a project uses (id: the project's), or one user in it (id: project, slash, user). Changed in
/// the transaction that changes what is counted; none when nothing is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Servers.
    #[serde(default)]
    pub instances: i64,
    /// Their virtual CPUs.
    #[serde(default)]
    pub cores: i64,
    /// Their memory in MiB.
    #[serde(default)]
    pub ram: i64,
    /// Server groups.
    #[serde(default)]
    pub server_groups: i64,
}

impl Record for UsageRecord {
    const TABLE: &'static str = "compute.quota_usage";
    const SCOPE: Scope = Scope::Cell;
}

/// The id of a user's counters in a project.
pub(super) fn user_usage_id(project: &str, user: &str) -> String {
    format!("{project}/{user}")
}

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema.table::<QuotaRecord>().table::<QuotaClassRecord>().table::<UsageRecord>()
}

impl UsageRecord {
    /// How much of a resource; 0 for what is not counted here.
    pub fn of(&self, resource: Resource) -> i64 {
        match resource {
            Resource::Instances => self.instances,
            Resource::Cores => self.cores,
            Resource::Ram => self.ram,
            Resource::ServerGroups => self.server_groups,
            _ => 0,
        }
    }

    /// The counters with as much more, or an error when one would leave what can be counted.
    pub(super) fn plus(&self, more: &UsageRecord) -> Result<UsageRecord> {
        let add = |a: i64, b: i64| {
            a.checked_add(b).filter(|sum| *sum >= 0).ok_or_else(|| {
                Error::internal(format!("a quota counter left its range: {self:?} and {more:?}"))
            })
        };
        Ok(UsageRecord {
            instances: add(self.instances, more.instances)?,
            cores: add(self.cores, more.cores)?,
            ram: add(self.ram, more.ram)?,
            server_groups: add(self.server_groups, more.server_groups)?,
        })
    }

    /// So many times this.
    pub(super) fn times(&self, times: i64) -> UsageRecord {
        UsageRecord {
            instances: self.instances.saturating_mul(times),
            cores: self.cores.saturating_mul(times),
            ram: self.ram.saturating_mul(times),
            server_groups: self.server_groups.saturating_mul(times),
        }
    }
}

/// The limits that hold for a user in a project: what was set for the user, else for the project,
/// else for the default class, else Nova's defaults.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    quota: QuotaRecord,
    defaults: Set,
}

impl Limits {
    /// As they were; for showing.
    pub fn seen(snapshot: &Snapshot, project: &str) -> Result<Limits> {
        let quota = snapshot.find::<QuotaRecord>(project)?;
        let class = snapshot.find::<QuotaClassRecord>(DEFAULT_CLASS)?;
        Ok(Limits {
            quota: quota.map(|quota| QuotaRecord::clone(&quota)).unwrap_or_default(),
            defaults: class.map(|class| class.limits.clone()).unwrap_or_default(),
        })
    }

    /// As they must still be at the commit.
    pub fn held(txn: &mut Txn, project: &str) -> Result<Limits> {
        let quota = txn.get::<QuotaRecord>(project)?;
        let class = txn.get::<QuotaClassRecord>(DEFAULT_CLASS)?;
        Ok(Limits {
            quota: quota.map(|quota| QuotaRecord::clone(&quota)).unwrap_or_default(),
            defaults: class.map(|class| class.limits.clone()).unwrap_or_default(),
        })
    }

    /// Where neither the project nor the user has one.
    pub fn default(&self, resource: Resource) -> i64 {
        self.defaults.get(resource.name()).copied().unwrap_or_else(|| resource.default_limit())
    }

    /// The project's.
    pub fn project(&self, resource: Resource) -> i64 {
        let set = self.quota.limits.get(resource.name()).copied();
        set.unwrap_or_else(|| self.default(resource))
    }

    /// The user's in the project.
    pub fn user(&self, user: &str, resource: Resource) -> i64 {
        self.set_for_user(user, resource).unwrap_or_else(|| self.project(resource))
    }

    /// What was set for the user, if anything was.
    pub(super) fn set_for_user(&self, user: &str, resource: Resource) -> Option<i64> {
        self.quota.users.get(user)?.get(resource.name()).copied()
    }

    /// The sum of what was set for users.
    pub(super) fn given_to_users(&self, resource: Resource) -> i64 {
        let of = |set: &Set| set.get(resource.name()).copied().unwrap_or(0);
        self.quota.users.values().map(of).fold(0, i64::saturating_add)
    }
}
