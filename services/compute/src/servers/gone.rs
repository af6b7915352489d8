//! What is still to be cleared away on a node: machines whose server was deleted, or moved, without
//! waiting for the node. Kept until the node says that nothing is left, or is itself removed.

use base::{Epoch, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Snapshot};

/// A machine that shall be gone from a node. Its id: the node's name, a slash, the server's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneRecord {
    /// The server's id.
    pub server: String,
    /// The node's name.
    pub node: String,
    /// The last epoch that the node may have it under.
    pub epoch: Epoch,
    /// Since when.
    pub since: Timestamp,
    /// What the machine holds of the node is still claimed in the server's name.
    pub holds: bool,
}

impl Record for GoneRecord {
    const TABLE: &'static str = "compute.gone";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "node", keys: |gone, _| vec![gone.node.clone()] },
        Index { name: "server", keys: |gone, _| vec![gone.server.clone()] },
    ];
}

impl GoneRecord {
    /// Its id.
    pub(super) fn id(node: &str, server: &str) -> String {
        format!("{node}/{server}")
    }
}

/// Whether anything is still to be cleared away on a node.
pub fn any_on_node(snapshot: &Snapshot, node: &str) -> bool {
    snapshot.index_range::<GoneRecord>("node", node).any(|(found, _)| &*found == node)
}
