//! What is kept of regions, services and their endpoints.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use state::{Index, Record, Scope};

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// For people.
    pub description: Option<String>,
    /// The region above it.
    pub parent_id: Option<String>,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Region {
    const TABLE: &'static str = "identity.regions";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Region>] =
        &[Index { name: "parent", keys: |r, _| r.parent_id.iter().cloned().collect() }];
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its type: `compute`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the catalog shows it.
    pub enabled: bool,
    /// What else clients keep here: `name`, `description`.
    pub extra: Map<String, Value>,
}

impl Service {
    /// Its name; empty when it has none.
    pub fn name(&self) -> &str {
        self.extra.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Record for Service {
    const TABLE: &'static str = "identity.services";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Service>] =
        &[Index { name: "type", keys: |s, _| vec![s.kind.clone()] }];
}

/// An endpoint of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The service.
    pub service_id: String,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The region.
    pub region_id: Option<String>,
    /// Where it is. `$(public_url)s` stands for the address that this cloud is reached at.
    pub url: String,
    /// Whether the catalog shows it.
    pub enabled: bool,
    /// What else clients keep here.
    pub extra: Map<String, Value>,
}

impl Record for Endpoint {
    const TABLE: &'static str = "identity.endpoints";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Endpoint>] = &[
        Index { name: "service", keys: |e, _| vec![e.service_id.clone()] },
        Index { name: "region", keys: |e, _| e.region_id.iter().cloned().collect() },
    ];
}
