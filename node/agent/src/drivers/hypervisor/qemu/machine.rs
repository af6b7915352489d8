//! One machine as the driver holds it in memory: its record, its process, its monitor. Also how all of
//! them are found again after a restart of the agent.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base::{Result, World};
use orders::VmId;
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsRawFd;
use tokio::net::UnixStream;

use super::{
    super::{Exit, Power, SeenVm},
    Shared, lock,
    process::{self, Process},
    record::{Ended, Launch, RUN, Record, failed},
    steps, watch,
};
use crate::{images::Hold, qmp::Client};

/// An agent that comes back waits so long for a monitor; without one the machine counts as running.
const REATTACH: Duration = Duration::from_secs(5);

pub struct Machine {
    pub id: VmId,
    pub directory: PathBuf,
    /// One step at a time.
    pub steps: tokio::sync::Mutex<()>,
    /// One change of the record at a time, whoever makes it.
    writing: tokio::sync::Mutex<()>,
    pub state: Mutex<State>,
}

pub struct State {
    pub record: Record,
    pub running: Option<Running>,
    /// Keeps the image that the root disk stands on.
    pub base: Option<Hold>,
}

#[derive(Clone)]
pub struct Running {
    pub process: Process,
    pub monitor: Option<Client>,
    pub status: Status,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its guest never ran.
    Loaded,
    /// Its guest runs.
    Running,
    /// Its processors are held.
    Paused,
    /// Its guest went down; the process is about to be ended.
    Down,
    /// Its guest cannot go on (it panicked, or the processor gave up); about to be ended.
    Broken,
}

impl Status {
    /// From QEMU's name of it.
    pub fn from_qemu(name: &str) -> Status {
        match name {
            "running" => Status::Running,
            "prelaunch" => Status::Loaded,
            "shutdown" => Status::Down,
            "guest-panicked" | "internal-error" => Status::Broken,
            _ => Status::Paused,
        }
    }
}

impl Machine {
    pub fn new(directory: PathBuf, record: Record, base: Option<Hold>) -> Machine {
        Machine {
            id: record.id.clone(),
            directory,
            steps: tokio::sync::Mutex::new(()),
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::new(State { record, running: None, base }),
        }
    }

    pub fn seen(&self) -> SeenVm {
        let state = lock(&self.state);
        let record = &state.record;
        let power = match state.running.as_ref().map(|running| running.status) {
            Some(Status::Loaded) => Power::Loaded,
            // About to be off: said once it is.
            Some(Status::Running | Status::Down | Status::Broken) => Power::Running,
            Some(Status::Paused) => Power::Paused,
            None if record.launch == Launch::Begun => Power::Off(Exit::NotYet),
            None => Power::Off((&record.exit).into()),
        };
        SeenVm {
            id: self.id.clone(),
            epoch: record.epoch,
            prepared: record.prepared,
            power,
            starts: record.launches,
            rebooted: record.rebooted,
        }
    }

    pub fn running(&self) -> Option<Running> {
        lock(&self.state).running.clone()
    }

    pub fn record(&self) -> Record {
        lock(&self.state).record.clone()
    }

    /// Changes the record on disk and then in memory.
    pub async fn remember(
        &self,
        world: &World,
        durable: bool,
        change: impl FnOnce(&mut Record),
    ) -> Result<()> {
        let _alone = self.writing.lock().await;
        let mut record = self.record();
        change(&mut record);
        let (directory, written) = (self.directory.clone(), record.clone());
        world.blocking(move || written.write(&directory, durable)).await?;
        lock(&self.state).record = record;
        Ok(())
    }

    /// Changes what is known of this very process; nothing if another took its place.
    pub fn update(&self, process: &Process, change: impl FnOnce(&mut Running)) -> bool {
        let mut state = lock(&self.state);
        match &mut state.running {
            Some(running) if running.process.pid == process.pid => {
                change(running);
                true
            }
            _ => false,
        }
    }

    /// Opens a session with the process's monitor, once.
    pub async fn connect(&self, shared: &Shared, process: &Process) -> Result<Client> {
        let fail = |e: &dyn std::fmt::Display| {
            base::Error::unavailable(format!("The monitor of {} cannot be reached: {e}", self.id))
        };
        // The path of a socket is short; that of a directory need not be.
        let directory = rustix::fs::open(
            self.directory.join(RUN),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| fail(&e))?;
        let path = format!("/proc/self/fd/{}/qmp.sock", directory.as_raw_fd());
        let stream = UnixStream::connect(path).await.map_err(|e| fail(&e))?;
        // QEMU's user may write in that directory: it must not lead us to another's monitor.
        let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|e| fail(&e))?;
        let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or(0);
        if pid != process.pid {
            return Err(fail(&format!("process {pid} answers, not {}", process.pid)));
        }
        Client::greet(&shared.world, stream, shared.config.patience).await
    }
}

/// A machine found on disk, and the process found for it.
pub struct Found {
    record: Record,
    directory: PathBuf,
    process: Option<Process>,
}

/// Looks for machines on disk and for their processes. Blocks.
pub fn find_all(shared: &Shared) -> Result<Vec<Found>> {
    let top = &shared.config.directory;
    let processes = process::find_all(top).map_err(|e| failed("list", "/proc".as_ref(), e))?;
    let mut all = Vec::new();
    for entry in fs::read_dir(top).map_err(|e| failed("list", top, e))? {
        let directory = entry.map_err(|e| failed("list", top, e))?.path();
        let Some(name) = directory.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with(steps::GONE) {
            // Its deletion was under way.
            let _ = fs::remove_dir_all(&directory);
            continue;
        }
        let record = match Record::read(&directory) {
            Ok(Some(record)) => record,
            Ok(None) => {
                // Empty: a preparation had just begun. Anything else is left for a person to look at.
                if fs::remove_dir(&directory).is_err() {
                    tracing::error!("{} holds no machine's record", directory.display());
                }
                continue;
            }
            Err(error) => {
                tracing::error!("a machine is left alone: {error:?}");
                continue;
            }
        };
        let process = match processes.get(name) {
            Some(pid) => Process::open(*pid)?,
            None => None,
        };
        all.push(Found { record, directory, process });
    }
    Ok(all)
}

/// Takes a found machine over as it is.
pub async fn attach(shared: Arc<Shared>, found: Found) -> Arc<Machine> {
    let Found { mut record, directory, process } = found;
    let base = record.base.as_deref().map(|hash| shared.images.hold(hash));
    match &process {
        Some(process) => {
            record.launch =
                Launch::Made { boot: shared.boot.clone(), pid: process.pid, ticks: process.ticks };
            // Whatever was about to be done to it was not done.
            record.exit = Ended::Lost("QEMU ended unexpectedly".to_owned());
        }
        None => {
            if let Launch::Made { boot, .. } = &record.launch {
                if let Ended::Lost(how) = &mut record.exit {
                    let rebooted = *boot != shared.boot;
                    let what = if rebooted { "the host was rebooted" } else { "QEMU was gone" };
                    *how = format!("{what} while the agent was away");
                }
                record.launch = Launch::Over;
            }
            shared.cgroup.leave(&record.id);
        }
    }
    let machine = Arc::new(Machine::new(directory, record, base));
    if let Some(process) = process {
        take_over(&shared, &machine, process).await;
    }
    machine
}

/// Takes over a process that is there: connects to it, asks what it does, and watches it.
pub async fn take_over(shared: &Arc<Shared>, machine: &Arc<Machine>, process: Process) {
    let world = &shared.world;
    let connecting = async {
        loop {
            // It may be starting still.
            match machine.connect(shared, &process).await {
                Ok(client) => return client,
                Err(_) => world.sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let monitor = world.timeout(REATTACH, connecting).await.ok();
    let mut status = Status::Running;
    if let Some(monitor) = &monitor {
        match watch::ask_status(shared, monitor).await {
            Ok(found) => status = found,
            Err(error) => tracing::warn!(server.id = %machine.id, "{error:?}"),
        }
        if let Ok(number) = watch::ask_rebooted(shared, monitor).await {
            let mut state = lock(&machine.state);
            state.record.rebooted = state.record.rebooted.max(number);
        }
    } else {
        tracing::warn!(server.id = %machine.id, "its QEMU does not answer; it is left running");
    }
    tracing::info!(server.id = %machine.id, process.id = process.pid, "found running: {status:?}");
    lock(&machine.state).running = Some(Running { process: process.clone(), monitor, status });
    watch::begin(shared, machine, process, None);
    if matches!(status, Status::Down | Status::Broken) {
        watch::conclude(shared, machine);
    }
}
