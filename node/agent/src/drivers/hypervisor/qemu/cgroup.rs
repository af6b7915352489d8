//! A control group for each machine, as far as the host allows: it bounds how many processes a machine
//! can have and shares processor time among machines. Best effort: what it could not do, it says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use orders::VmId;

use super::Hardening;

/// Where this node's groups are made.
#[derive(Clone, Debug)]
pub struct Cgroup {
    root: Option<PathBuf>,
    controllers: bool,
    how: String,
}

impl Cgroup {
    /// Looks for a unified hierarchy that may be written.
    pub fn choose(directory: &Path) -> Cgroup {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        match Cgroup::make(&mounts, directory) {
            Ok((root, controllers)) => {
                let how = if controllers {
                    "each machine has a control group with limits for processes and weights for \
                     processor time"
                } else {
                    "each machine has a control group, but the host gives it no controllers: \
                     nothing is limited"
                };
                Cgroup { root: Some(root), controllers, how: how.to_owned() }
            }
            Err(how) => Cgroup { root: None, controllers: false, how },
        }
    }

    fn make(mounts: &str, directory: &Path) -> Result<(PathBuf, bool), String> {
        let mount = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&"cgroup2"))
            .and_then(|fields| fields.get(1).map(PathBuf::from))
            .ok_or("no control groups: the host has no unified hierarchy (cgroup2)")?;
        // Several nodes may live on one host: each has its own, named by its directory.
        let name: String = directory
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let ours = mount.join("everstack");
        let root = ours.join(name.trim_matches('-'));
        fs::create_dir_all(&root)
            .map_err(|e| format!("no control groups: {} cannot be made: {e}", root.display()))?;
        let mut controllers = true;
        for group in [&mount, &ours, &root] {
            controllers &= fs::write(group.join("cgroup.subtree_control"), "+pids +cpu").is_ok();
        }
        Ok((root, controllers))
    }

    /// Whether it holds here.
    pub fn hardening(&self) -> Hardening {
        Hardening { what: "control group", holds: self.controllers, how: self.how.clone() }
    }

    /// Puts a machine's process into its group.
    pub fn enter(&self, id: &VmId, pid: u32, vcpus: u32) {
        let Some(root) = &self.root else { return };
        let group = root.join(id.as_str());
        let entered = fs::create_dir_all(&group).and_then(|()| {
            if self.controllers {
                // A machine has a thread for each processor and a few workers; a fork bomb has more.
                fs::write(group.join("pids.max"), (256 + vcpus).to_string())?;
                let weight = 100_u32.saturating_mul(vcpus).clamp(1, 10_000);
                fs::write(group.join("cpu.weight"), weight.to_string())?;
            }
            fs::write(group.join("cgroup.procs"), pid.to_string())
        });
        if let Err(error) = entered {
            tracing::warn!(server.id = %id, "its control group cannot be used: {error}");
        }
    }

    /// The machine ended.
    pub fn leave(&self, id: &VmId) {
        if let Some(root) = &self.root {
            // Busy for a moment after the process ended; the next launch uses it again.
            let _ = fs::remove_dir(root.join(id.as_str()));
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            // Only when empty: machines that run on keep theirs.
            let _ = fs::remove_dir(root);
            if let Some(ours) = root.parent() {
                let _ = fs::remove_dir(ours);
            }
        }
    }
}
