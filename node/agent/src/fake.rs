//! Simulated nodes: the real agent on a fake host with a disk in memory. Thousands fit in one process.

use std::sync::{Arc, Mutex};

use base::World;
use orders::{Connector, Inventory};

use crate::{
    Agent, AgentConfig, Manners, Pace,
    agent::AgentStatus,
    drivers::hypervisor::{
        fake::{FakeHost, FakeTimes},
        lock,
    },
    orders_store::MemoryDisk,
};

/// What simulated nodes are like.
#[derive(Clone, Debug)]
pub struct FakeSettings {
    /// What each node has.
    pub inventory: Inventory,
    /// How long things take.
    pub times: FakeTimes,
    /// How patient its agent is.
    pub manners: Arc<Manners>,
    /// The rhythm of its link.
    pub pace: Arc<Pace>,
}

impl Default for FakeSettings {
    fn default() -> FakeSettings {
        FakeSettings {
            inventory: fake_inventory(64, 256 * 1024, 10_000),
            times: FakeTimes::default(),
            manners: Arc::default(),
            // Nothing wears out a computer that is not there.
            pace: Arc::new(Pace { steps: 256, preparations: 256, ..Pace::default() }),
        }
    }
}

/// What a fake node of this size says that it has.
pub fn fake_inventory(vcpus: u32, ram_mib: u64, disk_gib: u64) -> Inventory {
    Inventory {
        vcpus,
        ram_mib,
        disk_gib,
        hypervisor_type: "fake".to_owned(),
        hypervisor_version: 1_000_000,
        acceleration: "none".to_owned(),
        architecture: "x86_64".to_owned(),
        cpu_model: "simulated".to_owned(),
        disk_formats: ["qcow2", "raw"].map(str::to_owned).to_vec(),
    }
}

/// A simulated node. It outlives its agent, which can be killed and started again.
pub struct FakeNode {
    world: World,
    name: String,
    settings: FakeSettings,
    connector: Arc<dyn Connector>,
    host: FakeHost,
    disk: Arc<MemoryDisk>,
    process: Mutex<Option<Process>>,
}

struct Process {
    world: World,
    status: Arc<Mutex<AgentStatus>>,
}

impl FakeNode {
    /// A node that was just switched on; its agent does not run yet.
    pub fn new(
        world: &World,
        name: &str,
        settings: FakeSettings,
        connector: Arc<dyn Connector>,
    ) -> FakeNode {
        FakeNode {
            world: world.clone(),
            name: name.to_owned(),
            host: FakeHost::new(world, settings.times.clone()),
            settings,
            connector,
            disk: Arc::default(),
            process: Mutex::new(None),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The computer, to look at and to break.
    pub fn host(&self) -> &FakeHost {
        &self.host
    }

    /// The orders that it keeps.
    pub fn disk(&self) -> &Arc<MemoryDisk> {
        &self.disk
    }

    /// What its agent is about; none when it does not run.
    pub fn status(&self) -> Option<AgentStatus> {
        let process = lock(&self.process);
        process.as_ref().map(|process| lock(&process.status).clone())
    }

    /// Starts its agent, after ending the one that may run.
    pub fn start(&self) {
        self.kill();
        let world = self.world.scope(&self.name);
        let config = AgentConfig {
            name: self.name.clone(),
            address: String::new(),
            boot: self.host.boot(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: 1,
            inventory: self.settings.inventory.clone(),
            manners: self.settings.manners.clone(),
            pace: self.settings.pace.clone(),
        };
        let agent = Agent::new(
            world.clone(),
            config,
            Arc::new(self.host.clone()),
            self.connector.clone(),
            self.disk.clone(),
        );
        let status = agent.status();
        world.spawn("agent", agent.run());
        *lock(&self.process) = Some(Process { world, status });
    }

    /// `kill -9` of the agent: its machines run on.
    pub fn kill(&self) {
        if let Some(process) = lock(&self.process).take() {
            process.world.kill();
        }
    }

    /// The computer reboots: the agent and all machines end, and the agent comes back.
    pub fn reboot(&self) {
        self.kill();
        self.host.reboot();
        self.start();
    }
}
