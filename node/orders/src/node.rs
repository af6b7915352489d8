//! What a node says of itself.

use serde::{Deserialize, Serialize};

/// The first message on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHello {
    /// The node's name, as in its certificate.
    pub name: String,
    /// Where other nodes reach it.
    pub address: String,
    /// Changes at each boot of the host: permits given before it are void.
    pub boot: String,
    /// This program's version.
    pub version: String,
    /// The newest level of records and messages that this node understands.
    pub level: u32,
    /// What it has.
    pub inventory: Inventory,
}

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Processors to schedule on.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// Disk for machines in GiB.
    pub disk_gib: u64,
    /// `QEMU` or `fake`.
    pub hypervisor_type: String,
    /// Major * 1,000,000 + minor * 1,000 + micro, as Nova shows it.
    pub hypervisor_version: u64,
    /// `kvm`, `tcg` or `none`.
    pub acceleration: String,
    /// `x86_64`.
    pub architecture: String,
    /// As in /proc/cpuinfo.
    pub cpu_model: String,
    /// Disk formats that its driver boots.
    pub disk_formats: Vec<String>,
}
