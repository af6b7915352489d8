//! What is kept of a server: what its owner wants, and what became of it. OpenStack's three states are
//! rendered from it in `wire`, nowhere stored or compared.

use base::{Epoch, Map, Revision, Set, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{Entry, Index, Record, Scope, Snapshot};

/// A server. Its id in the table is its UUID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerRecord {
    // Set by create.
    /// The project that owns it.
    pub project_id: String,
    /// Who made it.
    pub user_id: String,
    /// When.
    pub created_at: Timestamp,
    /// Shared by all servers of one request.
    pub reservation_id: String,
    /// Its number within the request.
    pub launch_index: u32,
    /// What the root disk starts from.
    pub image: Option<ImageCopy>,
    /// The key that was asked for, as it was then.
    pub key: Option<KeyCopy>,
    /// For cloud-init, in base64 as it came.
    pub user_data: Option<Text>,
    /// Injected files (before 2.57), as a JSON list of `{path, contents}`.
    pub personality: Option<Text>,
    /// A config drive was asked for (or the cloud forces one).
    pub config_drive: bool,
    /// The zone that was asked for: the server is pinned to it.
    pub availability_zone: Option<String>,
    /// The node that an administrator asked for.
    pub only_on: Option<OnlyOn>,
    /// `os:scheduler_hints`, as they came.
    pub hints: serde_json::Map<String, Value>,
    /// The server group that it is a member of.
    pub group: Option<String>,
    /// Random: what its guest's seed is made from.
    pub seed: String,

    // Changed by the owner.
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// What the guest shall call itself.
    pub hostname: String,
    /// Its size: the flavor as it was then.
    pub flavor: FlavorCopy,
    /// For people.
    pub access_ip_v4: Option<String>,
    /// For people.
    pub access_ip_v6: Option<String>,
    /// `OS-DCF:diskConfig`: AUTO.
    pub auto_disk_config: bool,
    /// Metadata.
    pub metadata: Map<String, String>,
    /// Tags.
    pub tags: Set<String>,
    /// The lock, when it is locked.
    pub locked: Option<Lock>,
    /// What shall become of it.
    pub intent: Intent,

    // What became of it.
    /// When it last changed in a way that is shown.
    pub updated_at: Timestamp,
    /// When it first ran.
    pub launched_at: Option<Timestamp>,
    /// When it was deleted.
    pub terminated_at: Option<Timestamp>,
    /// What it is.
    pub phase: Phase,
    /// Why it is in [`Phase::Failed`]. One without was put there by an administrator.
    pub fault: Option<Fault>,
    /// Where it is.
    pub place: Option<Place>,
    /// Raised whenever its place changes.
    pub epoch: Epoch,
    /// Whether its machine was on when its node last said.
    pub on: bool,
    /// How many of the owner's wishes ([`Intent::wishes`]) came true or failed.
    pub answered: u64,
}

/// What a server is. What is under way follows from it and from the [`Intent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It never ran: it has no place yet, or its node makes it ready.
    New,
    /// It runs.
    Running,
    /// It is off.
    Off,
    /// It could not be made what was wanted; [`ServerRecord::fault`] says why.
    Failed,
}

/// What the owner wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// On or off.
    pub power: Power,
    /// How often something was asked for after it was made.
    pub wishes: u64,
    /// The last of them.
    pub last: Wish,
    /// How often a reboot was asked for: the order's number.
    pub reboots: u64,
    /// The last reboot is a hard one.
    pub hard: bool,
    /// The version of the order that says all this: the revision that the last change of it was made
    /// from. What a node only sees does not raise it, so that a node that gave up is not told to try
    /// again by its own report.
    pub version: Revision,
    /// Since when it shall be gone.
    pub deleted_at: Option<Timestamp>,
}

/// Something that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Switch it on.
    Start,
    /// Switch it off.
    Stop,
    /// Reboot it, by the guest if it can.
    SoftReboot,
    /// Reset it, or switch it on.
    HardReboot,
}

/// The wanted power state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Runs.
    On,
    /// Off, disk kept.
    Off,
}

/// Where a server is, and as which of its lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// Who may run it.
    pub epoch: Epoch,
}

/// The node that an administrator asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlyOn {
    /// Its name.
    pub node: String,
    /// By `zone:host:node`: filters are passed over. Else by `host` (2.74): they are not.
    pub forced: bool,
}

/// Why a server is in error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// As an HTTP status: 500.
    pub code: u16,
    /// One sentence.
    pub message: String,
    /// More, for administrators (and for everybody when the code is not 500).
    pub details: String,
    /// When.
    pub created: Timestamp,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// By the owner (else by an administrator).
    pub by_owner: bool,
    /// Why.
    pub reason: Option<String>,
}

/// A flavor as it was when the server was made: the flavor may change or go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlavorCopy {
    /// Its id in the API.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB.
    pub disk: u64,
    /// Second disk in GiB.
    pub ephemeral: u64,
    /// Swap disk in MiB.
    pub swap: u64,
    /// Extra specs.
    pub extra_specs: Map<String, String>,
}

/// An image as it was when the server was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCopy {
    /// Its id.
    pub id: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-512 in hex.
    pub sha512: String,
    /// Its disk format.
    pub disk_format: String,
    /// The guest's disk size in bytes.
    pub virtual_size: u64,
    /// The least root disk in GiB.
    pub min_disk: u64,
    /// The least memory in MiB.
    pub min_ram: u64,
    /// Its properties.
    pub properties: Map<String, String>,
}

/// A key pair as it was when the server was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCopy {
    /// Its name.
    pub name: String,
    /// The public key.
    pub public_key: String,
    /// `ssh` or `x509`.
    pub kind: String,
}

/// Text of any length: in the record when short, else a blob of that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// The text.
    Here(String),
    /// The name of a blob.
    Blob(String),
}

impl Record for ServerRecord {
    const TABLE: &'static str = "compute.servers";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = INDEXES;
}

const INDEXES: &[Index<ServerRecord>] = &[
    // Newest first.
    Index { name: "project", keys: |s, _| vec![project_key(&s.project_id, s.created_at)] },
    Index { name: "created", keys: |s, _| vec![newest_first(s.created_at)] },
    Index { name: "host", keys: |s, _| s.place.iter().map(|place| place.node.clone()).collect() },
    Index { name: "group", keys: |s, _| s.group.iter().cloned().collect() },
    Index {
        name: "unsettled",
        keys: |s, _| if s.is_settled() { Vec::new() } else { vec![String::new()] },
    },
];

/// A text that sorts later times first.
pub(crate) fn newest_first(time: Timestamp) -> String {
    format!("{:016x}", i64::MAX - time.micros())
}

/// The text of the index "project".
pub(crate) fn project_key(project: &str, time: Timestamp) -> String {
    format!("{project}/{}", newest_first(time))
}

impl ServerRecord {
    /// What it takes of its project's quota.
    pub fn use_of_quota(&self) -> crate::quotas::actions::Delta {
        self.flavor.use_of_quota()
    }

    /// Whether no reconciler has anything to do here: at most its node has.
    pub fn is_settled(&self) -> bool {
        !self.is_deleted() && self.phase != Phase::New
    }

    /// Whether its owner wants it gone.
    pub fn is_deleted(&self) -> bool {
        self.intent.deleted_at.is_some()
    }

    /// What was asked for and is not answered yet.
    pub fn pending(&self) -> Option<Wish> {
        (self.intent.wishes > self.answered).then_some(self.intent.last)
    }

    /// The node that it is on.
    pub fn node(&self) -> Option<&str> {
        self.place.as_ref().map(|place| &*place.node)
    }
}

impl FlavorCopy {
    /// What a server of this size takes of its project's quota.
    pub fn use_of_quota(&self) -> crate::quotas::actions::Delta {
        crate::quotas::actions::Delta {
            instances: 1,
            cores: i64::from(self.vcpus),
            ram: i64::try_from(self.ram).unwrap_or(i64::MAX),
            ..Default::default()
        }
    }
}

/// The servers on a node, by id.
pub fn on_node(snapshot: &Snapshot, node: &str) -> Vec<Entry<ServerRecord>> {
    snapshot.by::<ServerRecord>("host", node)
}

/// The members of a server group, by id.
pub fn in_group(snapshot: &Snapshot, group: &str) -> Vec<Entry<ServerRecord>> {
    snapshot.by::<ServerRecord>("group", group)
}
