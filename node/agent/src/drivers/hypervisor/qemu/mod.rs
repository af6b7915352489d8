//! Machines as QEMU processes: one each, started detached, driven over QMP, found again by an agent
//! that comes back. No daemon stands between.
//!
//! ```text
//!   machines/<id>/machine.json        what this driver remembers (synced before each launch)
//!                 root.qcow2 …        disks, owned by QEMU's user
//!                 config.iso          the config drive
//!                 console.log         the serial console, bounded
//!                 qemu.log            what QEMU complained of, last launch
//!                 run/                QEMU's own: qmp.sock, serial.sock, pid
//! ```

mod account;
mod arguments;
mod cgroup;
mod console;
mod diagnostics;
mod disks;
mod machine;
mod probe;
mod process;
mod record;
mod steps;
mod watch;

use std::{
    ffi::OsString,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base::{Epoch, Error, Map, Result, World};
use futures_util::{StreamExt, stream::FuturesUnordered};
use orders::{VmId, VmOrder};

use self::{account::Account, cgroup::Cgroup, machine::Machine, probe::Probe};
use super::{Changes, Hypervisor, HypervisorFacts, SeenVm, check, lock};
use crate::{HostFacts, images::ImageCache};

pub use probe::Acceleration;

/// How machines are run.
#[derive(Clone, Debug)]
pub struct QemuConfig {
    /// Where machines are kept: their disks, records and sockets.
    pub directory: PathBuf,
    /// Where programs are looked for, as in `PATH`.
    pub path: OsString,
    /// QEMU: a name to look for or a path.
    pub qemu: PathBuf,
    /// The program that makes disks: a name to look for or a path.
    pub qemu_img: PathBuf,
    /// Whether to use the processors' virtualization.
    pub acceleration: Acceleration,
    /// The versioned machine type of new machines; none: QEMU's newest `pc-i440fx-…`.
    pub machine_type: Option<String>,
    /// As root, QEMU runs as this user: a name, or `uid:gid`. `root` keeps root.
    pub user: String,
    /// Root disks stand on the cached image; otherwise they are copies of it.
    pub overlay: bool,
    /// So much of a console's text is kept.
    pub console_bytes: u64,
    /// How long QEMU may take to answer.
    pub patience: Duration,
    /// How long QEMU may take from its launch to its greeting.
    pub launch_patience: Duration,
}

impl QemuConfig {
    /// The usual, with machines below this directory.
    pub fn new(directory: impl Into<PathBuf>, path: impl Into<OsString>) -> QemuConfig {
        QemuConfig {
            directory: directory.into(),
            path: path.into(),
            qemu: "qemu-system-x86_64".into(),
            qemu_img: "qemu-img".into(),
            acceleration: Acceleration::Auto,
            machine_type: None,
            user: account::USUAL.to_owned(),
            overlay: true,
            console_bytes: 1 << 20,
            patience: Duration::from_secs(15),
            launch_patience: Duration::from_secs(60),
        }
    }
}

/// One means of keeping a machine's QEMU from the host, and whether it holds here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Which.
    pub what: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// How, or why not and what would mend that.
    pub how: String,
}

/// The driver. Clones are the same driver.
#[derive(Clone)]
pub struct Qemu {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    config: QemuConfig,
    probe: Probe,
    programs: Programs,
    account: Account,
    cgroup: Cgroup,
    images: ImageCache,
    boot: Arc<str>,
    changes: Changes,
    machines: Mutex<Map<VmId, Arc<Machine>>>,
}

/// Programs that were found.
#[derive(Clone, Debug)]
struct Programs {
    qemu: PathBuf,
    qemu_img: PathBuf,
    /// Starts a program in a session of its own.
    setsid: PathBuf,
    /// Makes the file system of an ephemeral disk.
    mke2fs: Option<PathBuf>,
}

impl Qemu {
    /// A driver for the machines of a directory, which is made if it is missing. Asks QEMU what it
    /// can. Its tasks run in `world`'s scope.
    pub async fn open(
        world: &World,
        mut config: QemuConfig,
        host: &HostFacts,
        images: ImageCache,
    ) -> Result<Qemu> {
        let programs = Programs {
            qemu: need(&config.qemu, &config.path, "qemu-system-x86")?,
            qemu_img: need(&config.qemu_img, &config.path, "qemu-utils")?,
            setsid: need(Path::new("setsid"), &config.path, "util-linux")?,
            mke2fs: find(Path::new("mke2fs"), &config.path)
                .or_else(|| find(Path::new("mke2fs"), &"/sbin:/usr/sbin".into())),
        };
        let directory = config.directory.clone();
        config.directory = world.blocking(move || make_directory(&directory)).await?;
        let probe = Probe::ask(world, &programs.qemu, &config, host).await?;
        let places = [config.directory.as_path(), images.path(), programs.qemu.as_path()];
        let account = Account::choose(&config.user, &places, probe.kvm);
        let cgroup = Cgroup::choose(&config.directory);
        let shared = Shared {
            world: world.clone(),
            config,
            probe,
            programs,
            account,
            cgroup,
            images,
            boot: crate::boot_id()?,
            changes: Changes::default(),
            machines: Mutex::default(),
        };
        Ok(Qemu { shared: Arc::new(shared) })
    }

    /// What it is.
    pub fn facts(&self) -> HypervisorFacts {
        self.shared.probe.facts()
    }

    /// Why this acceleration was chosen.
    pub fn acceleration_reason(&self) -> &str {
        &self.shared.probe.reason
    }

    /// What keeps a machine's QEMU from the host here, and what does not.
    pub fn hardening(&self) -> Vec<Hardening> {
        let shared = &self.shared;
        let sandbox = Hardening {
            what: "system call filter",
            holds: shared.probe.sandbox,
            how: if shared.probe.sandbox {
                "QEMU may not start programs, change its user or use obsolete system calls".into()
            } else {
                "this QEMU was built without seccomp".into()
            },
        };
        let devices = Hardening {
            what: "few devices",
            holds: true,
            how: "no display, sound, USB or default devices; a pinned, versioned machine type"
                .into(),
        };
        let images = Hardening {
            what: "images",
            holds: true,
            how: "read-only, hash-checked, refused if they name other files".into(),
        };
        let mut all = vec![sandbox, devices, images];
        all.push(shared.account.hardening());
        all.push(shared.cgroup.hardening());
        all
    }

    fn machine(&self, id: &VmId) -> Result<Arc<Machine>> {
        lock(&self.shared.machines)
            .get(id)
            .cloned()
            .ok_or_else(|| Error::not_found(format!("There is no machine {id} on this node.")))
    }

    /// Carries out a step to its end, whether or not the caller still waits: a launch must not be cut
    /// in half by a newer order. Steps of one machine follow each other.
    async fn step<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.shared.world.spawn("qemu", work).await {
            Some(done) => done,
            None => Err(Error::internal("A step of the QEMU driver failed; see the log.")),
        }
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    async fn attach(&self) -> Result<()> {
        let shared = self.shared.clone();
        let found = self.shared.world.blocking(move || machine::find_all(&shared)).await?;
        let attached = FuturesUnordered::new();
        for found in found {
            let shared = self.shared.clone();
            attached.push(async move { machine::attach(shared, found).await });
        }
        let attached = attached.collect::<Vec<_>>().await;
        let mut machines = lock(&self.shared.machines);
        for machine in attached {
            machines.insert(machine.id.clone(), machine);
        }
        drop(machines);
        self.shared.world.spawn("consoles", console::keep_short(self.clone()));
        Ok(())
    }

    fn list(&self) -> Vec<SeenVm> {
        lock(&self.shared.machines).values().map(|machine| machine.seen()).collect()
    }

    fn look(&self, id: &VmId) -> Option<SeenVm> {
        lock(&self.shared.machines).get(id).map(|machine| machine.seen())
    }

    fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    async fn prepare(&self, order: &Arc<VmOrder>) -> Result<()> {
        check(order)?;
        // May take long, and may be given up.
        let image = match &order.spec.image {
            Some(image) => Some(self.shared.images.ensure(image).await?),
            None => None,
        };
        self.step(steps::prepare(self.shared.clone(), order.clone(), image)).await
    }

    async fn start(&self, order: &Arc<VmOrder>) -> Result<()> {
        let machine = self.machine(&order.id)?;
        self.step(steps::start(self.shared.clone(), machine, order.clone())).await
    }

    async fn reset(&self, id: &VmId, number: u64) -> Result<()> {
        let machine = self.machine(id)?;
        self.step(steps::reset(self.shared.clone(), machine, number)).await
    }

    async fn powerdown(&self, id: &VmId) -> Result<()> {
        let machine = self.machine(id)?;
        self.step(steps::powerdown(self.shared.clone(), machine)).await
    }

    async fn cut_off(&self, id: &VmId) -> Result<()> {
        let machine = self.machine(id)?;
        self.step(steps::cut_off(self.shared.clone(), machine)).await
    }

    async fn adopt(&self, id: &VmId, epoch: Epoch) -> Result<()> {
        let machine = self.machine(id)?;
        self.step(steps::adopt(self.shared.clone(), machine, epoch)).await
    }

    async fn remove(&self, id: &VmId) -> Result<()> {
        let Ok(machine) = self.machine(id) else { return Ok(()) };
        self.step(steps::remove(self.shared.clone(), machine)).await
    }

    async fn console_text(&self, id: &VmId) -> Result<Option<String>> {
        let Ok(machine) = self.machine(id) else { return Ok(None) };
        let path = machine.directory.join(record::CONSOLE);
        let most = self.shared.config.console_bytes;
        self.shared.world.blocking(move || console::read(&path, most)).await.map(Some)
    }

    async fn diagnostics(&self, id: &VmId) -> Result<Option<serde_json::Value>> {
        let Ok(machine) = self.machine(id) else { return Ok(None) };
        diagnostics::ask(&self.shared, &machine).await
    }
}

/// A program by its path or, for a bare name, in the directories of `path`.
fn find(program: &Path, path: &OsString) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.exists().then(|| program.to_path_buf());
    }
    std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn need(program: &Path, path: &OsString, package: &str) -> Result<PathBuf> {
    find(program, path).ok_or_else(|| {
        Error::unavailable(format!(
            "The program {} was not found; on Debian the package {package} has it.",
            program.display()
        ))
    })
}

fn make_directory(directory: &Path) -> Result<PathBuf> {
    let fail = |e: std::io::Error| {
        Error::internal(format!("cannot make {}: {e}", directory.display())).with_source(e)
    };
    // QEMU's user passes through it to its own machine's directory.
    DirBuilder::new().recursive(true).mode(0o711).create(directory).map_err(fail)?;
    // Processes are recognised by this path: one way of writing it.
    fs::canonicalize(directory).map_err(fail)
}
