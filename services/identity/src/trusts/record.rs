//! What is kept of a trust.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A trust: one user lets another use some of its roles in a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Who gives.
    pub trustor_id: String,
    /// Who may use it.
    pub trustee_id: String,
    /// Where; none: nowhere in particular.
    pub project_id: Option<String>,
    /// Whether the trustee acts under the trustor's name.
    pub impersonation: bool,
    /// The roles, by id.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// So many tokens may still be made from it; none: any number.
    pub remaining_uses: Option<u32>,
    /// Whether the trustee may pass it on.
    pub allow_redelegation: bool,
    /// How often it may be passed on.
    pub redelegation_count: u32,
    /// The trust that it was made from.
    pub redelegated_from: Option<String>,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Trust {
    const TABLE: &'static str = "identity.trusts";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Trust>] = &[
        Index { name: "trustor", keys: |t, _| vec![t.trustor_id.clone()] },
        Index { name: "trustee", keys: |t, _| vec![t.trustee_id.clone()] },
        Index { name: "project", keys: |t, _| t.project_id.iter().cloned().collect() },
        Index { name: "from", keys: |t, _| t.redelegated_from.iter().cloned().collect() },
    ];
}
