//! The checks, one function each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Finding, Verdict};
use crate::{config::Config, ports};

pub(super) fn all(config: &Config) -> Vec<Finding> {
    vec![
        program("QEMU", &config.node.qemu, "QEMU 7.2 or newer", "qemu-system-x86"),
        program("qemu-img", &config.node.qemu_img, "QEMU's image tool", "qemu-utils"),
        acceleration(),
        disk(&config.state_dir),
        memory(),
        port(config),
        clock(),
        foreign(),
        descriptors(),
        user(),
    ]
}

fn finding(
    what: &'static str,
    verdict: Verdict,
    found: impl Into<String>,
    needed: &'static str,
    mend: impl Into<String>,
) -> Finding {
    Finding { what, verdict, found: found.into(), needed, mend: mend.into() }
}

fn program(what: &'static str, path: &Path, needed: &'static str, package: &str) -> Finding {
    match Command::new(path).arg("--version").output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            finding(what, Verdict::Good, text.lines().next().unwrap_or_default(), needed, "")
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let found = format!("{}: {}", path.display(), text.lines().next().unwrap_or_default());
            finding(
                what,
                Verdict::Bad,
                found,
                needed,
                format!("apt-get install --reinstall {package}"),
            )
        }
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            finding(what, Verdict::Bad, found, needed, format!("apt-get install {package}"))
        }
    }
}

fn acceleration() -> Finding {
    let needed = "a processor with VT-x or AMD-V and /dev/kvm for full speed";
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let extension = flags.split_whitespace().find(|flag| matches!(*flag, "vmx" | "svm"));
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    match (extension, device) {
        (Some(extension), Ok(_)) => {
            finding("KVM", Verdict::Good, format!("{extension}, /dev/kvm"), needed, "")
        }
        (Some(extension), Err(error)) => finding(
            "KVM",
            Verdict::Limited,
            format!("{extension}, but /dev/kvm: {error}; machines run under TCG, slowly"),
            needed,
            "modprobe kvm_intel || modprobe kvm_amd; usermod -aG kvm $USER",
        ),
        (None, _) => finding(
            "KVM",
            Verdict::Limited,
            "the processor shows neither vmx nor svm; machines run under TCG, slowly",
            needed,
            "",
        ),
    }
}

fn existing(path: &Path) -> PathBuf {
    let mut path = path;
    loop {
        match path.parent() {
            Some(parent) if !path.exists() => path = parent,
            _ => return path.to_owned(),
        }
    }
}

fn disk(state_dir: &Path) -> Finding {
    let needed = "10 GiB free for images and machines";
    let place = existing(state_dir);
    match rustix::fs::statvfs(&place) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize / (1 << 30);
            let verdict = match free {
                0 => Verdict::Bad,
                1..10 => Verdict::Limited,
                _ => Verdict::Good,
            };
            finding("disk", verdict, format!("{free} GiB free at {}", place.display()), needed, "")
        }
        Err(error) => {
            finding("disk", Verdict::Bad, format!("{}: {error}", place.display()), needed, "")
        }
    }
}

fn memory() -> Finding {
    let needed = "1 GiB available";
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> u64 {
        let line = info.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let (available, total) = (kib("MemAvailable:") / 1024, kib("MemTotal:") / 1024);
    let verdict = if available < 1024 { Verdict::Limited } else { Verdict::Good };
    finding("memory", verdict, format!("{available} of {total} MiB available"), needed, "")
}

fn port(config: &Config) -> Finding {
    let address = config.listen;
    let needed = "a free port for the APIs";
    match std::net::TcpListener::bind(address) {
        Ok(_) => finding("port", Verdict::Good, format!("{address} is free"), needed, ""),
        Err(error) => {
            let (who, mend) = match ports::holder(address) {
                Some(holder) => (
                    format!("{address} is held by {} (pid {})", holder.program, holder.pid),
                    format!(
                        "choose another: --listen {}:{}",
                        address.ip(),
                        address.port().wrapping_add(1)
                    ),
                ),
                None => (format!("{address}: {error}"), String::new()),
            };
            finding("port", Verdict::Bad, who, needed, mend)
        }
    }
}

/// Whether something disciplines the clock: the processes that do so, since not all say it elsewhere.
fn clock() -> Finding {
    let needed = "a clock kept right by NTP (controllers more than 2 s apart stand aside)";
    let keepers = ["chronyd", "ntpd", "ntpsec", "systemd-timesyn", "openntpd"];
    match processes().into_iter().find(|(_, name)| keepers.contains(&name.as_str())) {
        Some((pid, name)) => {
            finding("clock", Verdict::Good, format!("{name} (pid {pid})"), needed, "")
        }
        None => finding(
            "clock",
            Verdict::Limited,
            "nothing seen that keeps the clock right",
            needed,
            "apt-get install chrony",
        ),
    }
}

fn processes() -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Ok(name) = fs::read_to_string(entry.path().join("comm"))
        {
            found.push((pid, name.trim().to_owned()));
        }
    }
    found.sort();
    found
}

fn foreign() -> Finding {
    let needed = "nothing else that runs machines or networks on this host";
    let others = [
        "libvirtd",
        "virtqemud",
        "nova-compute",
        "neutron-openvsw",
        "ovn-controller",
        "cinder-volume",
    ];
    let found: Vec<_> = processes()
        .into_iter()
        .filter(|(_, name)| others.contains(&name.as_str()))
        .map(|(pid, name)| format!("{name} (pid {pid})"))
        .collect();
    if found.is_empty() {
        finding("other daemons", Verdict::Good, "none", needed, "")
    } else {
        let text = format!("{}; they are left alone, but share memory and disk", found.join(", "));
        finding("other daemons", Verdict::Limited, text, needed, "")
    }
}

fn descriptors() -> Finding {
    let needed = "4,096 file descriptors (131,072 for a controller of 16,000 nodes)";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let verdict = if most < 4096 { Verdict::Limited } else { Verdict::Good };
    let text = match limit.maximum {
        Some(most) => format!("at most {most}"),
        None => "no limit".to_owned(),
    };
    finding("file descriptors", verdict, text, needed, "LimitNOFILE=131072 in the service's unit")
}

fn user() -> Finding {
    let needed = "root, for machines under a user of their own and cgroups";
    if rustix::process::geteuid().is_root() {
        finding("user", Verdict::Good, "root", needed, "")
    } else {
        let text = "an ordinary user: machines run as this user, without a cgroup of their own";
        finding("user", Verdict::Limited, text, needed, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_says_what_is_needed() {
        let config = Config::defaults(true, None, String::new());
        for finding in all(&config) {
            assert!(!finding.found.is_empty() && !finding.needed.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let found = program("QEMU", Path::new("/nowhere/qemu"), "x", "qemu-system-x86");
        assert_eq!(found.verdict, Verdict::Bad);
        assert_eq!(found.mend, "apt-get install qemu-system-x86");
    }
}
