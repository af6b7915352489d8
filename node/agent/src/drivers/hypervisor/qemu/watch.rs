//! Watching a machine's process: its end, its events, its monitor. What is seen is written down and
//! told to the agent; what follows from it the agent decides.

use std::{sync::Arc, time::Duration};

use base::{Error, Result};
use serde_json::{Value, json};
use tokio::process::Child;

use super::{
    Shared, lock,
    machine::{Machine, Status},
    process::Process,
    record::{COMPLAINTS, Ended, Launch, Record},
    steps,
};
use crate::qmp::{Client, Event};

/// A guest that goes down within this time of the power button did so because of it.
const ASKED_COUNTS: Duration = Duration::from_secs(600);
/// Objects of this name in a QEMU say which reboot it went through.
const MARK: &str = "reboot-";

/// Begins to watch. `child`: it is this agent's own child, which must also be reaped.
pub fn begin(shared: &Arc<Shared>, machine: &Arc<Machine>, process: Process, child: Option<Child>) {
    let (inner, watched) = (shared.clone(), machine.clone());
    let own = process.clone();
    shared.world.spawn("qemu-end", async move { watch_end(inner, watched, own, child).await });
    let (inner, watched) = (shared.clone(), machine.clone());
    shared.world.spawn("qemu-events", async move { watch_events(inner, watched, process).await });
}

async fn watch_end(
    shared: Arc<Shared>,
    machine: Arc<Machine>,
    process: Process,
    child: Option<Child>,
) {
    let how = match child {
        Some(mut child) => match child.wait().await {
            Ok(status) => format!("QEMU ended: {status}"),
            Err(error) => format!("QEMU ended: {error}"),
        },
        None => {
            if let Err(error) = process.ended().await {
                tracing::error!(server.id = %machine.id, "its process cannot be watched: {error}");
                return;
            }
            "QEMU ended".to_owned()
        }
    };
    shared.cgroup.leave(&machine.id);
    let is_ours = || machine.running().is_some_and(|now| now.process.pid == process.pid);
    if !is_ours() {
        return;
    }
    let complaint = machine.directory.join(COMPLAINTS);
    let said = shared.world.blocking(move || super::console::last_line(&complaint)).await;
    let how = if said.is_empty() { how } else { format!("{how}, and said: {said}") };
    let over = |record: &mut Record| {
        record.launch = Launch::Over;
        if let Ended::Lost(lost) = &mut record.exit {
            lost.clone_from(&how);
        }
    };
    // Written down first: once the process is not there for others, the next launch may begin.
    if let Err(error) = machine.remember(&shared.world, false, over).await {
        tracing::error!(server.id = %machine.id, "its end cannot be written down: {error:?}");
        over(&mut lock(&machine.state).record);
    }
    lock(&machine.state).running = None;
    match &machine.record().exit {
        Ended::Lost(how) => tracing::warn!(server.id = %machine.id, "lost: {how}"),
        other => tracing::info!(server.id = %machine.id, "off: {other:?}"),
    }
    shared.changes.mark(&machine.id);
}

async fn watch_events(shared: Arc<Shared>, machine: Arc<Machine>, process: Process) {
    loop {
        let monitor = machine.running().filter(|r| r.process.pid == process.pid).map(|r| r.monitor);
        let monitor = match monitor {
            None => return,
            Some(Some(monitor)) => monitor,
            Some(None) => match machine.connect(&shared, &process).await {
                Ok(monitor) => {
                    machine.update(&process, |running| running.monitor = Some(monitor.clone()));
                    refresh(&shared, &machine, &process, &monitor).await;
                    monitor
                }
                Err(_) => {
                    shared.world.sleep(Duration::from_millis(500)).await;
                    continue;
                }
            },
        };
        let news = monitor.events().await;
        for event in &news.events {
            take_event(&shared, &machine, &process, event);
        }
        if news.missed {
            refresh(&shared, &machine, &process, &monitor).await;
        }
        if news.closed {
            machine.update(&process, |running| running.monitor = None);
            shared.world.sleep(Duration::from_millis(20)).await;
        }
    }
}

fn take_event(shared: &Arc<Shared>, machine: &Arc<Machine>, process: &Process, event: &Event) {
    let status = match &*event.name {
        "RESUME" => Status::Running,
        "STOP" => Status::Paused,
        "SHUTDOWN" if event.flag("guest") && event.text("reason") != Some("guest-panic") => {
            Status::Down
        }
        "SHUTDOWN" if event.flag("guest") => Status::Broken,
        "GUEST_PANICKED" => Status::Broken,
        _ => {
            tracing::debug!(server.id = %machine.id, "QEMU says {}", event.name);
            return;
        }
    };
    let mut ended = false;
    machine.update(process, |running| {
        let over = matches!(running.status, Status::Down | Status::Broken);
        // A guest that has gone down is then stopped too: that says nothing new. Before its first
        // run, only the step that starts it knows when it runs.
        if !over && running.status != Status::Loaded {
            running.status = status;
        }
        ended = !over && matches!(status, Status::Down | Status::Broken);
    });
    if ended {
        conclude(shared, machine);
    }
    shared.changes.mark(&machine.id);
}

/// Asks what the process does, when events were missed.
async fn refresh(
    shared: &Arc<Shared>,
    machine: &Arc<Machine>,
    process: &Process,
    monitor: &Client,
) {
    let Ok(status) = ask_status(shared, monitor).await else { return };
    let mut ended = false;
    machine.update(process, |running| {
        // A step that lets it run for the first time says so itself.
        if running.status != Status::Loaded || status != Status::Running {
            running.status = status;
            ended = matches!(status, Status::Down | Status::Broken);
        }
    });
    if ended {
        conclude(shared, machine);
    }
    shared.changes.mark(&machine.id);
}

/// The guest went down or broke: writes down why, and ends the process, which waits for that.
pub fn conclude(shared: &Arc<Shared>, machine: &Arc<Machine>) {
    let (inner, machine) = (shared.clone(), machine.clone());
    shared.world.spawn("qemu-down", async move {
        let _alone = machine.steps.lock().await;
        let Some(running) = machine.running() else { return };
        let exit = match running.status {
            Status::Down => {
                let asked = machine.record().asked_off;
                let asked = asked.is_some_and(|at| inner.world.wall().since(at) < ASKED_COUNTS);
                if asked { Ended::Ordered } else { Ended::ByGuest }
            }
            Status::Broken => Ended::Lost("the guest panicked or its processor gave up".to_owned()),
            // A step came first and changed that.
            Status::Loaded | Status::Running | Status::Paused => return,
        };
        let remembered = machine.remember(&inner.world, true, |record| record.exit = exit).await;
        if let Err(error) = remembered {
            tracing::error!(server.id = %machine.id, "its end cannot be written down: {error:?}");
        }
        if let Err(error) = steps::end(&inner, &machine, &running).await {
            tracing::error!(server.id = %machine.id, "its QEMU cannot be ended: {error:?}");
        }
    });
}

/// What the process does.
pub async fn ask_status(shared: &Shared, monitor: &Client) -> Result<Status> {
    let answer = monitor.ask("query-status", json!({}), shared.config.patience).await?;
    match answer.get("status").and_then(Value::as_str) {
        Some(name) => Ok(Status::from_qemu(name)),
        None => Err(Error::unavailable("QEMU's answer to query-status holds no status.")),
    }
}

/// The greatest number of a reboot that the process went through; 0 if none.
pub async fn ask_rebooted(shared: &Shared, monitor: &Client) -> Result<u64> {
    let objects = json!({"path": "/objects"});
    let answer = monitor.ask("qom-list", objects, shared.config.patience).await?;
    let numbers =
        answer.as_array().into_iter().flatten().filter_map(|object| {
            object.get("name")?.as_str()?.strip_prefix(MARK)?.parse::<u64>().ok()
        });
    Ok(numbers.max().unwrap_or(0))
}

/// The commands of a reset that leave its number in the process itself: it is known there for as long
/// as it matters, whatever becomes of the agent.
pub fn reset_commands(number: u64) -> [(&'static str, Value); 2] {
    let mark = json!({"qom-type": "rng-builtin", "id": format!("{MARK}{number}")});
    [("object-add", mark), ("system_reset", json!({}))]
}
