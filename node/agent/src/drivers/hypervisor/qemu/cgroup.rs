//! A control group for each machine, as far as the host allows: it bounds how many processes a machine
//! can have and shares processor time among machines. Best effort: what it could not do, it says. Groups
//! are there while a machine runs, and no longer.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use orders::VmId;

use super::Hardening;

/// Where this node's groups are made.
#[derive(Debug)]
pub struct Cgroup {
    place: Option<Place>,
    how: String,
}

#[derive(Debug)]
struct Place {
    /// The hierarchy's root, the cloud's group in it, this node's group in that.
    groups: [PathBuf; 3],
    controllers: bool,
}

impl Cgroup {
    /// Looks for a unified hierarchy that may be written.
    pub fn choose(directory: &Path) -> Cgroup {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let Some(mount) = unified(&mounts) else {
            let how = "no control groups: the host has no unified hierarchy (cgroup2)";
            return Cgroup { place: None, how: how.to_owned() };
        };
        // Several nodes may live on one host: each has its own group, named by its directory.
        let name: String = directory
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let ours = mount.join("everstack");
        let node = ours.join(name.trim_matches('-'));
        let mut place = Place { groups: [mount, ours, node], controllers: false };
        match place.make() {
            Ok(controllers) => {
                place.controllers = controllers;
                place.leave();
                let how = if controllers {
                    "each machine has a control group that limits its processes and shares \
                     processor time"
                } else {
                    "each machine has a control group, but the host gives it no controllers: \
                     nothing is limited"
                };
                Cgroup { place: Some(place), how: how.to_owned() }
            }
            Err(error) => {
                let group = place.groups[2].display();
                Cgroup { how: format!("no control groups: {group}: {error}"), place: None }
            }
        }
    }

    /// Whether it holds here.
    pub fn hardening(&self) -> Hardening {
        let holds = self.place.as_ref().is_some_and(|place| place.controllers);
        Hardening { what: "control group", holds, how: self.how.clone() }
    }

    /// Puts a machine's process into its group.
    pub fn enter(&self, id: &VmId, pid: u32, vcpus: u32) {
        let Some(place) = &self.place else { return };
        // The last machine's end may take the groups away while they are made here.
        let again = |_| place.enter(id, pid, vcpus);
        if let Err(error) = again(()).or_else(|_| again(())) {
            tracing::warn!(server.id = %id, "its control group cannot be used: {error}");
        }
    }

    /// The machine's process ended.
    pub fn leave(&self, id: &VmId) {
        if let Some(place) = &self.place {
            let _ = fs::remove_dir(place.groups[2].join(id.as_str()));
            place.leave();
        }
    }
}

fn unified(mounts: &str) -> Option<PathBuf> {
    let mut all = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    all.find(|fields| fields.get(2) == Some(&"cgroup2"))
        .and_then(|fields| fields.get(1).map(PathBuf::from))
}

impl Place {
    /// Makes the groups. Says whether the host lets them limit anything.
    fn make(&self) -> io::Result<bool> {
        fs::create_dir_all(&self.groups[2])?;
        let enable =
            |group: &PathBuf| fs::write(group.join("cgroup.subtree_control"), "+pids +cpu").is_ok();
        Ok(self.groups.iter().all(enable))
    }

    /// Takes away the groups in which nothing is left.
    fn leave(&self) {
        for group in self.groups[1..].iter().rev() {
            if fs::remove_dir(group).is_err() {
                return;
            }
        }
    }

    fn enter(&self, id: &VmId, pid: u32, vcpus: u32) -> io::Result<()> {
        self.make()?;
        let group = self.groups[2].join(id.as_str());
        fs::create_dir_all(&group)?;
        if self.controllers {
            // A machine has a thread for each processor and some workers; a fork bomb has more.
            fs::write(group.join("pids.max"), (256 + vcpus).to_string())?;
            let weight = 100_u32.saturating_mul(vcpus).clamp(1, 10_000);
            fs::write(group.join("cpu.weight"), weight.to_string())?;
        }
        fs::write(group.join("cgroup.procs"), pid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_hierarchy_is() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(unified(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(unified("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn groups_come_and_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path();
        let groups = [top.to_path_buf(), top.join("everstack"), top.join("everstack/node")];
        let place = Place { groups, controllers: true };
        assert!(place.make().expect("made"));
        // In a real hierarchy these files are not left over.
        for group in &place.groups {
            fs::remove_file(group.join("cgroup.subtree_control")).expect("a file");
        }
        place.leave();
        assert!(!top.join("everstack").exists());
        place.enter(&"a".into(), 1, 4).expect("entered");
        assert_eq!(fs::read_to_string(top.join("everstack/node/a/pids.max")).expect("text"), "260");
        place.leave();
        assert!(top.join("everstack/node/a").exists(), "what is used stays");
    }
}
