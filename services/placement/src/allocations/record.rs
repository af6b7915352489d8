//! What one consumer holds. Its id in the table is the consumer's UUID.

use base::{Map, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// Who takes resources: given by another service with its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its UUID: a server's.
    pub id: String,
    /// Whose it is.
    pub project_id: String,
    /// Who made it.
    pub user_id: String,
    /// Placement's consumer type: `INSTANCE`, `MIGRATION`.
    pub kind: String,
}

impl Consumer {
    /// A server.
    pub fn server(id: &str, project_id: &str, user_id: &str) -> Consumer {
        Consumer {
            id: id.to_owned(),
            project_id: project_id.to_owned(),
            user_id: user_id.to_owned(),
            kind: "INSTANCE".to_owned(),
        }
    }
}

/// Who may change an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A service of this cloud, in the transaction that changes the thing itself.
    Cloud,
    /// Whoever the API lets.
    Api,
}

/// Amounts by provider, then by class.
pub type Held = Map<String, Map<String, u64>>;

/// What one consumer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationRecord {
    /// Whose it is.
    pub project_id: String,
    /// Who made it.
    pub user_id: String,
    /// Placement's consumer type; none when it was made before there were such.
    pub consumer_type: Option<String>,
    /// Raised by each write.
    pub generation: u64,
    /// Who may change it.
    pub owner: Owner,
    /// By provider, then by class; no empty maps, no zeros.
    pub held: Held,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Record for AllocationRecord {
    const TABLE: &'static str = "placement.allocations";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "provider", keys: |record, _| record.held.keys().cloned().collect() },
        Index { name: "project", keys: |record, _| vec![record.project_id.clone()] },
    ];
}
