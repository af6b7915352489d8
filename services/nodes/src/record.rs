//! A node of the cloud, as the store knows it: written when it changes, never on a heartbeat.

use base::Timestamp;
use orders::Inventory;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot};

/// A node. Its id in the table is its name: the one in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its UUID: the hypervisor's, the service's and the resource provider's id.
    pub uuid: String,
    /// Where other nodes reach it.
    pub address: String,
    /// Its boot: changes when the host was restarted.
    pub boot: String,
    /// The program's version on it.
    pub version: String,
    /// The newest level of records and messages that it understands.
    pub level: u32,
    /// What it has.
    pub inventory: Inventory,
    /// When it joined.
    pub created_at: Timestamp,
    /// When an operator last changed it, or its inventory changed.
    pub updated_at: Timestamp,
    /// No new machines are placed here, and why.
    pub disabled: Option<String>,
    /// An operator said that it is down.
    pub forced_down: bool,
    /// Whether it is there.
    pub presence: Presence,
}

/// Whether a node is there: a durable record, written when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The controller that holds its link, by name; none when it is away.
    pub controller: Option<String>,
    /// The incarnation of that controller: another one has no link to it.
    pub incarnation: String,
    /// Since when it is so.
    pub since: Timestamp,
}

impl Record for NodeRecord {
    const TABLE: &'static str = "nodes.nodes";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "uuid", keys: |node, _| vec![node.uuid.clone()] },
        Index {
            name: "controller",
            keys: |node, _| node.presence.controller.iter().cloned().collect(),
        },
    ];
}

impl NodeRecord {
    /// Whether it can be given work: linked to a controller and not said to be down.
    pub fn is_up(&self) -> bool {
        !self.forced_down && self.presence.controller.is_some()
    }
}

/// The node with that UUID: its name and record.
pub fn by_uuid(snapshot: &Snapshot, uuid: &str) -> Option<state::Entry<NodeRecord>> {
    snapshot.by::<NodeRecord>("uuid", uuid).into_iter().next()
}
