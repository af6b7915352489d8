//! What is kept of a flavor.

use base::{Map, Set, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

use crate::servers::FlavorCopy;

/// A flavor. Its id in the table is the one in the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlavorRecord {
    /// Its name: unique, see the claims.
    pub name: String,
    /// Memory in MiB.
    pub ram: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Root disk in GiB; 0: as large as the image.
    pub disk: u64,
    /// Second disk in GiB.
    pub ephemeral: u64,
    /// Swap disk in MiB.
    pub swap: u64,
    /// Shown, and without effect since networks are Neutron's.
    pub rxtx_factor: f64,
    /// Every project may use it.
    pub is_public: bool,
    /// For people.
    pub description: Option<String>,
    /// Extra specs.
    pub extra_specs: Map<String, String>,
    /// The projects that may use it when it is not public.
    pub projects: Set<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

impl Record for FlavorRecord {
    const TABLE: &'static str = "compute.flavors";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Self>] = &[];
}

/// The space of claims that keeps names unique.
pub(super) const NAMES: &str = "compute.flavor-names";

impl FlavorRecord {
    /// Whether a project may see and use it.
    pub fn is_open_to(&self, project_id: &str) -> bool {
        self.is_public || self.projects.contains(project_id)
    }

    /// What a server keeps of it.
    pub fn copy(&self, id: &str) -> FlavorCopy {
        FlavorCopy {
            id: id.to_owned(),
            name: self.name.clone(),
            vcpus: self.vcpus,
            ram: self.ram,
            disk: self.disk,
            ephemeral: self.ephemeral,
            swap: self.swap,
            extra_specs: self.extra_specs.clone(),
        }
    }
}
