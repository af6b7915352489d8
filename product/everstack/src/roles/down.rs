//! `everstack down`: ends the cloud in the state directory and stops its machines; with `--wipe` deletes
//! its state.

use std::{fs, sync::Arc, time::Duration};

use agent::drivers::hypervisor::Hypervisor;
use base::{Error, Result, World};
use rustix::process::{Pid, Signal, kill_process};

use super::{node, up::say};
use crate::{config::Config, state_dir::StateDir};

/// How long the process may take to end in order.
const ORDERLY: Duration = Duration::from_secs(30);
/// How long guests may take to shut down.
const GRACE: Duration = Duration::from_secs(20);

/// Ends it all.
///
/// # Errors
/// When the process does not end, or a machine cannot be stopped.
pub async fn down(world: &World, config: &Config, wipe: bool) -> Result<()> {
    if !config.state_dir.exists() {
        return say(&format!("There is no cloud in {}.\n", config.state_dir.display()));
    }
    let dir = StateDir::open(&config.state_dir)?;
    if let Some(pid) = dir.running()? {
        say(&format!("Stopping the cloud (pid {pid}) …\n"))?;
        let process = Pid::from_raw(pid).ok_or_else(|| Error::internal("a strange pid"))?;
        match kill_process(process, Signal::TERM) {
            // Dead already: what it was starting as it died lets go of the directory in a moment.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(Error::forbidden(format!(
                    "the process {pid} cannot be told to end: {error}"
                )));
            }
        }
        let deadline = world.now() + ORDERLY;
        while dir.running()?.is_some() {
            if world.now() >= deadline {
                return Err(Error::unavailable(format!(
                    "the process {pid} did not end in {} s; look at its log, or end it by kill -9 {pid}",
                    ORDERLY.as_secs()
                )));
            }
            world.sleep(Duration::from_millis(50)).await;
        }
    }
    let running = dir.take()?;
    if dir.node().exists() {
        let driver = node::qemu(world, config, &dir, Arc::new(node::NoImages)).await?;
        let hypervisor: Arc<dyn Hypervisor> = Arc::new(driver);
        hypervisor.attach().await?;
        let grace = if wipe { Duration::ZERO } else { GRACE };
        let stopped = agent::park(world, &hypervisor, grace).await?;
        say(&format!("{stopped} machines were stopped.\n"))?;
    }
    drop(running);
    if wipe {
        fs::remove_dir_all(dir.path()).map_err(|error| {
            Error::internal(format!("{} cannot be deleted: {error}", dir.path().display()))
        })?;
        say(&format!("{} is deleted.\n", dir.path().display()))?;
    }
    Ok(())
}
