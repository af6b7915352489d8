//! What a node has, measured. Reads /proc and asks the file system; no configuration.

use std::{path::Path, sync::Arc};

use base::{Error, Result};
use orders::Inventory;

use crate::drivers::hypervisor::HypervisorFacts;

/// What the host's kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Processors that this process may use.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// The processors' name.
    pub cpu_model: String,
    /// The processors can run virtual machines: `vmx` or `svm` is among their flags. That `/dev/kvm`
    /// opens is no proof: on some virtual machines it does and is useless.
    pub virtualization: bool,
}

impl HostFacts {
    /// Of this host.
    pub fn read() -> Result<HostFacts> {
        let cpus = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let vcpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut facts = HostFacts::parse(&cpus, &memory);
        facts.vcpus = u32::try_from(vcpus).unwrap_or(u32::MAX);
        Ok(facts)
    }

    fn parse(cpus: &str, memory: &str) -> HostFacts {
        let field = |text: &str, name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let flags = field(cpus, "flags").unwrap_or_default();
        let kib = field(memory, "MemTotal").unwrap_or_default();
        let kib = kib.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        HostFacts {
            vcpus: 1,
            ram_mib: kib / 1024,
            cpu_model: field(cpus, "model name").unwrap_or_else(|| "unknown".to_owned()),
            virtualization: flags.split(' ').any(|flag| flag == "vmx" || flag == "svm"),
        }
    }
}

/// What a node on this host tells of itself.
pub fn inventory(host: &HostFacts, disk_gib: u64, hypervisor: &HypervisorFacts) -> Inventory {
    Inventory {
        vcpus: host.vcpus,
        ram_mib: host.ram_mib,
        disk_gib,
        hypervisor_type: hypervisor.kind.clone(),
        hypervisor_version: hypervisor.version,
        acceleration: hypervisor.acceleration.clone(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpu_model: host.cpu_model.clone(),
        disk_formats: hypervisor.disk_formats.clone(),
    }
}

/// The size in GiB of the file system that this directory is on. May block.
pub fn disk_gib(directory: &Path) -> Result<u64> {
    let fs = rustix::fs::statvfs(directory).map_err(|error| {
        Error::internal(format!("cannot measure the disk of {}: {error}", directory.display()))
    })?;
    Ok(fs.f_blocks.saturating_mul(fs.f_frsize) >> 30)
}

/// A name of the host's present boot: new after each reboot.
pub fn boot_id() -> Result<Arc<str>> {
    Ok(read("/proc/sys/kernel/random/boot_id")?.trim().into())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::internal(format!("cannot read {path}: {error}")).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says() {
        let cpus =
            "processor\t: 0\nmodel name\t: Some CPU @ 2.70GHz\nflags\t\t: fpu vme svm_lock sse\n";
        let memory = "MemTotal:       24689508 kB\nMemFree:        1 kB\n";
        let facts = HostFacts::parse(cpus, memory);
        assert_eq!(facts.cpu_model, "Some CPU @ 2.70GHz");
        assert_eq!(facts.ram_mib, 24_110);
        assert!(!facts.virtualization, "svm_lock alone is not svm");
        assert!(HostFacts::parse("flags : fpu vmx\n", "").virtualization);
        assert_eq!(HostFacts::parse("", "").cpu_model, "unknown");
    }

    #[test]
    fn this_host_has_something() {
        let facts = HostFacts::read().expect("facts");
        assert!(facts.vcpus >= 1 && facts.ram_mib > 0);
        assert!(!boot_id().expect("a boot").is_empty());
        assert!(disk_gib(Path::new("/")).expect("a disk") > 0);
    }
}
