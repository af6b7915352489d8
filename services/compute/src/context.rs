//! What every handler and reconciler of this service is given.

use std::time::Duration;

use base::World;
use nodes::Hub;
use state::State;

/// The compute service of one controller. Clones share everything.
#[derive(Clone)]
pub struct Compute {
    /// The state of the cloud.
    pub state: State,
    /// The links to nodes.
    pub hub: Hub,
    /// How it behaves.
    pub config: ComputeConfig,
}

/// How the compute service behaves.
#[derive(Clone, Debug)]
pub struct ComputeConfig {
    /// Deleted servers are shown to those who ask for them (and counted by usage) for so long.
    pub keep_deleted: Duration,
    /// And at most so many of one project.
    pub keep_deleted_per_project: usize,
    /// Every server gets a config drive.
    pub force_config_drive: bool,
    /// The longest page of a list.
    pub max_limit: usize,
    /// The zone of hosts that no aggregate puts into one.
    pub default_zone: String,
}

impl Default for ComputeConfig {
    fn default() -> ComputeConfig {
        ComputeConfig {
            keep_deleted: Duration::from_secs(30 * 24 * 3600),
            keep_deleted_per_project: 1000,
            force_config_drive: false,
            max_limit: 1000,
            default_zone: "nova".to_owned(),
        }
    }
}

impl Compute {
    /// The world that it lives in.
    pub fn world(&self) -> &World {
        self.state.world()
    }
}
