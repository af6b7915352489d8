//! The driver's steps. Each runs to its end under the machine's own lock, whoever still waits for it;
//! each can be cut off at any point by a crash and then be repeated.

use std::{
    fs::{self, File},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base::{Epoch, Error, Result};
use orders::VmOrder;
use serde_json::json;
use tokio::process::{Child, Command};

use super::{
    Shared,
    arguments::{Launching, arguments},
    console, disks, lock,
    machine::{Machine, Running, Status, take_over},
    process::{self, Process},
    record::{COMPLAINTS, CONSOLE, Ended, Launch, RUN, Record, failed},
    watch,
};
use crate::{config_drive, images::Image, qmp::Client};

/// Directories of this name are being deleted.
pub const GONE: &str = ".gone-";

/// Makes what is missing of a machine, and puts it under the order's epoch.
pub async fn prepare(shared: Arc<Shared>, order: Arc<VmOrder>, image: Option<Image>) -> Result<()> {
    let known = lock(&shared.machines).get(&order.id).cloned();
    let machine = match known {
        Some(machine) => machine,
        None => {
            let directory = shared.config.directory.join(order.id.as_str());
            let record = Record::new(order.id.clone(), order.epoch);
            let (made, first) = (directory.clone(), record.clone());
            shared.world.blocking(move || disks::make_directory(&made, &first)).await?;
            let machine = Arc::new(Machine::new(directory, record, None));
            // Another preparation of the same machine may have come first.
            lock(&shared.machines).entry(order.id.clone()).or_insert(machine).clone()
        }
    };
    let _alone = machine.steps.lock().await;
    if machine.running().is_some() {
        return Err(Error::conflict(format!("{} runs and cannot be prepared.", machine.id)));
    }
    let mut record = machine.record();
    if !record.prepared {
        disks::make(&shared, &machine.directory, &order.spec, image.as_ref(), &mut record).await?;
    }
    let stands = record.base.is_some();
    let epoch = order.epoch;
    machine
        .remember(&shared.world, true, |kept| {
            *kept = record;
            kept.prepared = true;
            if kept.epoch != epoch {
                kept.epoch = epoch;
                kept.launches = 0;
                kept.rebooted = 0;
                kept.launch = Launch::Over;
                kept.exit = Ended::NotYet;
            }
        })
        .await?;
    if let Some(image) = image.filter(|_| stands) {
        let mut state = lock(&machine.state);
        if state.base.is_none() {
            state.base = Some(image.hold);
        }
    }
    Ok(())
}

/// Starts a prepared machine, or goes on with a start that was cut short.
pub async fn start(shared: Arc<Shared>, machine: Arc<Machine>, order: Arc<VmOrder>) -> Result<()> {
    let _alone = machine.steps.lock().await;
    let record = machine.record();
    if !record.prepared || record.epoch != order.epoch {
        return Err(Error::conflict(format!(
            "{} is not prepared under epoch {}.",
            machine.id, order.epoch
        )));
    }
    if machine.running().is_none() && record.launch == Launch::Begun {
        // An earlier start got so far that there may be a process.
        let directory = shared.config.directory.clone();
        let found = shared.world.blocking(move || process::find_all(&directory)).await;
        let found = found.map_err(|e| failed("list", "/proc".as_ref(), e))?;
        if let Some(pid) = found.get(machine.id.as_str())
            && let Some(process) = Process::open(*pid)?
        {
            take_over(&shared, &machine, process).await;
        }
    }
    match machine.running() {
        Some(running) => match running.status {
            Status::Running | Status::Paused => Ok(()),
            Status::Loaded => run(&shared, &machine, &running).await,
            Status::Down | Status::Broken => {
                Err(Error::unavailable(format!("{} is going down.", machine.id)))
            }
        },
        None => launch(&shared, &machine, &order).await,
    }
}

async fn launch(shared: &Arc<Shared>, machine: &Arc<Machine>, order: &VmOrder) -> Result<()> {
    let known = &shared.probe.machine_types;
    let machine_type = match machine.record().machine_type {
        Some(kept) if known.contains(&kept) => kept,
        Some(kept) => {
            tracing::warn!(
                server.id = %machine.id,
                "this QEMU has no machine type {kept}: its guest gets {}", shared.probe.machine_type
            );
            shared.probe.machine_type.clone()
        }
        None => shared.probe.machine_type.clone(),
    };
    let kept_type = machine_type.clone();
    machine
        .remember(&shared.world, true, |record| {
            // A launch of which no process came is not counted twice.
            if record.launch != Launch::Begun {
                record.launches += 1;
            }
            record.launch = Launch::Begun;
            record.exit = Ended::Lost("QEMU ended unexpectedly".to_owned());
            record.rebooted = record.rebooted.max(order.reboot.number);
            record.asked_off = None;
            record.machine_type = Some(kept_type);
        })
        .await?;
    let record = machine.record();
    let command = arguments(&Launching {
        record: &record,
        spec: &order.spec,
        machine_type: &machine_type,
        kvm: shared.probe.kvm,
        sandbox: shared.probe.sandbox,
        directory: &machine.directory,
    });
    let drive = order.spec.config_drive.as_ref().map(config_drive::build).transpose()?;
    let (inner, at) = (shared.clone(), machine.clone());
    let complaints = shared.world.blocking(move || lay_out(&inner, &at, drive.as_deref())).await?;
    let mut child = spawn(shared, machine, &command, complaints)?;
    let made = match child.id() {
        Some(pid) => Process::open(pid)?,
        None => None,
    };
    let Some(process) = made else {
        return Err(start_failed(shared, machine, "it ended at once").await);
    };
    let greeted = tokio::select! {
        biased;
        status = child.wait() => {
            let how = status.map_or_else(|e| e.to_string(), |status| status.to_string());
            Err(format!("it ended with {how}"))
        }
        greeted = greet(shared, machine, &process) => greeted.map_err(|e| e.message().to_owned()),
    };
    let monitor = match greeted {
        Ok(monitor) => monitor,
        Err(how) => {
            let _ = process.kill(&shared.world, shared.config.patience).await;
            let _ = child.wait().await;
            return Err(start_failed(shared, machine, &how).await);
        }
    };
    let running = Running { process, monitor: Some(monitor), status: Status::Loaded };
    lock(&machine.state).running = Some(running.clone());
    watch::begin(shared, machine, running.process.clone(), Some(child));
    let (inner, id) = (shared.clone(), machine.id.clone());
    let (pid, vcpus) = (running.process.pid, order.spec.vcpus);
    shared.world.blocking(move || inner.cgroup.enter(&id, pid, vcpus)).await;
    run(shared, machine, &running).await
}

/// Lets the guest of a loaded process run.
async fn run(shared: &Arc<Shared>, machine: &Arc<Machine>, running: &Running) -> Result<()> {
    let Some(monitor) = &running.monitor else {
        return Err(Error::unavailable(format!("The QEMU of {} does not answer.", machine.id)));
    };
    let Process { pid, ticks, .. } = running.process;
    let boot = shared.boot.clone();
    // Not synced: a loss of power ends the process as well.
    machine
        .remember(&shared.world, false, |record| {
            record.launch = Launch::Made { boot, pid, ticks };
        })
        .await?;
    monitor.ask("cont", json!({}), shared.config.patience).await?;
    machine.update(&running.process, |running| running.status = Status::Running);
    tracing::info!(server.id = %machine.id, process.id = pid, "started");
    Ok(())
}

/// Files that a launch needs; the one that takes QEMU's complaints.
fn lay_out(shared: &Shared, machine: &Machine, drive: Option<&[u8]>) -> Result<File> {
    let directory = &machine.directory;
    let account = &shared.account;
    let run = directory.join(RUN);
    fs::create_dir_all(&run).map_err(|e| failed("make", &run, e))?;
    account.give(&run, 0o700)?;
    for stale in ["qmp.sock", "serial.sock", "pid"] {
        let _ = fs::remove_file(run.join(stale));
    }
    if let Some(drive) = drive {
        let path = directory.join("config.iso");
        // The old one may belong to QEMU's user.
        let _ = fs::remove_file(&path);
        fs::write(&path, drive).map_err(|e| failed("write", &path, e))?;
        account.give(&path, 0o400)?;
    }
    let open = |name: &str, truncate: bool| {
        let path = directory.join(name);
        let file = File::options()
            .append(!truncate)
            .write(true)
            .truncate(truncate)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(|e| failed("open", &path, e))?;
        account.give(&path, 0o600)?;
        Ok::<_, Error>(file)
    };
    open(CONSOLE, false)?;
    open(COMPLAINTS, true)
}

fn spawn(
    shared: &Shared,
    machine: &Machine,
    arguments: &[String],
    complaints: File,
) -> Result<Child> {
    let again = complaints.try_clone().map_err(|e| failed("share", &machine.directory, e))?;
    // In a session of its own: what ends the agent, or the terminal that it was started from, does not
    // reach the machine. `setsid` becomes QEMU.
    let mut command = std::process::Command::new(&shared.programs.setsid);
    command
        .arg(&shared.programs.qemu)
        .args(arguments)
        .env_clear()
        .current_dir(&machine.directory)
        .stdin(Stdio::null())
        .stdout(complaints)
        .stderr(again);
    if let Some((uid, gid)) = shared.account.ids {
        // This also drops all other groups.
        command.uid(uid).gid(gid);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(false).spawn().map_err(|error| {
        let what = format!("{} cannot be started: {error}", shared.programs.qemu.display());
        Error::unavailable(what).with_source(error)
    })
}

/// Waits for QEMU's monitor.
async fn greet(shared: &Shared, machine: &Machine, process: &Process) -> Result<Client> {
    let world = &shared.world;
    let end = world.now() + shared.config.launch_patience;
    let mut wait = Duration::from_millis(2);
    loop {
        match machine.connect(shared, process).await {
            Ok(monitor) => return Ok(monitor),
            Err(error) if world.now() >= end => return Err(error),
            Err(_) => world.sleep(wait).await,
        }
        wait = (wait * 2).min(Duration::from_millis(20));
    }
}

async fn start_failed(shared: &Shared, machine: &Machine, how: &str) -> Error {
    let complaints = machine.directory.join(COMPLAINTS);
    let said = shared.world.blocking(move || console::last_line(&complaints)).await;
    let said = if said.is_empty() { String::new() } else { format!(", and said: {said}") };
    Error::unavailable(format!("QEMU did not start: {how}{said}."))
}

/// Resets it, once for each number.
pub async fn reset(shared: Arc<Shared>, machine: Arc<Machine>, number: u64) -> Result<()> {
    let _alone = machine.steps.lock().await;
    let running = machine
        .running()
        .ok_or_else(|| Error::conflict(format!("{} does not run.", machine.id)))?;
    if machine.record().rebooted >= number {
        return Ok(());
    }
    let patience = shared.config.patience;
    let monitor = answering(&machine, &running)?;
    monitor.ask_together(&watch::reset_commands(number), patience).await?;
    if running.status == Status::Paused {
        monitor.ask("cont", json!({}), patience).await?;
    }
    machine.remember(&shared.world, false, |record| record.rebooted = number).await
}

/// Presses its power button.
pub async fn powerdown(shared: Arc<Shared>, machine: Arc<Machine>) -> Result<()> {
    let _alone = machine.steps.lock().await;
    let Some(running) = machine.running() else { return Ok(()) };
    let monitor = answering(&machine, &running)?;
    let now = shared.world.wall();
    machine.remember(&shared.world, true, |record| record.asked_off = Some(now)).await?;
    monitor.ask("system_powerdown", json!({}), shared.config.patience).await?;
    Ok(())
}

fn answering<'a>(machine: &Machine, running: &'a Running) -> Result<&'a Client> {
    running
        .monitor
        .as_ref()
        .ok_or_else(|| Error::unavailable(format!("The QEMU of {} does not answer.", machine.id)))
}

/// Ends its process.
pub async fn cut_off(shared: Arc<Shared>, machine: Arc<Machine>) -> Result<()> {
    let _alone = machine.steps.lock().await;
    end_ordered(&shared, &machine).await
}

async fn end_ordered(shared: &Arc<Shared>, machine: &Arc<Machine>) -> Result<()> {
    let Some(running) = machine.running() else { return Ok(()) };
    machine.remember(&shared.world, true, |record| record.exit = Ended::Ordered).await?;
    end(shared, machine, &running).await
}

/// Ends a process: asked first, so that it writes back what it holds of its disks; then killed.
pub async fn end(shared: &Arc<Shared>, machine: &Arc<Machine>, running: &Running) -> Result<()> {
    let patience = shared.config.patience;
    let mut asked = false;
    if let Some(monitor) = &running.monitor {
        // It may be gone before it answers.
        let answer = monitor.ask("quit", json!({}), Duration::from_secs(3)).await;
        asked = answer.is_ok()
            || running.process.gone_within(&shared.world, Duration::ZERO).await.is_ok();
    }
    let gone = asked && running.process.gone_within(&shared.world, patience).await.is_ok();
    if !gone {
        running.process.kill(&shared.world, patience).await?;
    }
    // The one who watches writes its end down.
    let is_there = || machine.running().is_some_and(|now| now.process.pid == running.process.pid);
    let written = async {
        while is_there() {
            shared.world.sleep(Duration::from_millis(1)).await;
        }
    };
    shared
        .world
        .timeout(patience, written)
        .await
        .map_err(|_| Error::internal(format!("The end of {}'s QEMU is not noticed.", machine.id)))
}

/// Gives it to another epoch as it is.
pub async fn adopt(shared: Arc<Shared>, machine: Arc<Machine>, epoch: Epoch) -> Result<()> {
    let _alone = machine.steps.lock().await;
    machine.remember(&shared.world, true, |record| record.epoch = epoch).await
}

/// Ends it and deletes all of it.
pub async fn remove(shared: Arc<Shared>, machine: Arc<Machine>) -> Result<()> {
    let _alone = machine.steps.lock().await;
    end_ordered(&shared, &machine).await?;
    let directory = machine.directory.clone();
    let grave = shared.config.directory.join(format!("{GONE}{}", shared.world.hex_id()));
    shared
        .world
        .blocking(move || {
            // Renamed first: it is there as a whole or not at all.
            match fs::rename(&directory, &grave) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed("delete", &directory, error)),
            }
            if let Some(top) = grave.parent() {
                File::open(top).and_then(|d| d.sync_all()).map_err(|e| failed("sync", top, e))?;
            }
            fs::remove_dir_all(&grave).map_err(|e| failed("delete", &grave, e))
        })
        .await?;
    shared.cgroup.leave(&machine.id);
    lock(&shared.machines).remove(&machine.id);
    Ok(())
}
