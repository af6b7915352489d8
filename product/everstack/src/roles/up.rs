//! `everstack up`: a controller and a node, or simulated nodes, in one process.

use std::{fmt::Write as _, io::Write as _, sync::Arc};

use agent::fake::{FakeNode, FakeSettings, fake_inventory};
use base::{Error, Result, World};
use state::Store;
use tokio::signal::unix::{SignalKind, signal};

use super::{controller, node};
use crate::{config::Config, local::LocalHub, sample, state_dir::StateDir};

/// Starts the cloud and serves until it is told to end; machines run on.
///
/// # Errors
/// When it cannot start.
pub async fn up(world: &World, config: &Config, with_sample: bool) -> Result<()> {
    up_on(world, config, with_sample, |store| store).await
}

/// As [`up`], on the configured store as `wrap` gives it back: for tests of what happens when this
/// process dies at some commit.
///
/// # Errors
/// When it cannot start.
pub async fn up_on(
    world: &World,
    config: &Config,
    with_sample: bool,
    wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
) -> Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let running = dir.take()?;
    let serving = controller::serve(world, config, &dir, wrap).await?;
    let hub = Arc::new(LocalHub::new(world, &serving.controller.hub));
    let mut simulated = Vec::new();
    if config.simulated.nodes > 0 {
        for number in 1..=config.simulated.nodes {
            let mut settings = FakeSettings {
                inventory: fake_inventory(
                    config.simulated.vcpus,
                    config.simulated.ram_mib,
                    config.simulated.disk_gib,
                ),
                ..FakeSettings::default()
            };
            settings.times.start = std::time::Duration::from_millis(config.simulated.start_ms);
            let node = FakeNode::new(world, &format!("node-{number}"), settings, hub.clone());
            node.start();
            simulated.push(node);
        }
    } else {
        let images = Arc::new(serving.controller.images.clone());
        node::start(world, config, &dir, hub, images).await?;
    }
    if with_sample {
        sample::make(world, &serving.url, serving.ca()?, &serving.passwords).await?;
    }
    say(&welcome(config, &dir, &serving.url))?;
    until_told(world).await;
    let machines = if config.simulated.nodes > 0 {
        "simulated machines end with this process and start again with the next"
    } else {
        "machines keep running; `everstack up` finds them again, `everstack down` stops them"
    };
    say(&format!("The cloud stops; {machines}.\n"))?;
    serving.end().await?;
    drop(running);
    Ok(())
}

fn welcome(config: &Config, dir: &StateDir, url: &str) -> String {
    let path = dir.path().display();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _never = write!(
        text,
        "The cloud is up at {url}\n\n\
         Use it:\n  export OS_CLIENT_CONFIG_FILE={path}/clouds.yaml OS_CLOUD=everstack\n  \
         openstack token issue\n\
         (the cloud `demo` in that file is an ordinary project's member; {path}/openrc is for older tools)\n\n\
         Stop it: Ctrl-C leaves machines running; `everstack down --state-dir {path}` stops them too.\n"
    );
    if config.simulated.nodes > 0 {
        let _never = writeln!(
            text,
            "Its {} nodes are simulated: servers become ACTIVE, but nothing runs.",
            config.simulated.nodes
        );
    } else if !rustix::process::geteuid().is_root() {
        text += "Not root: machines run as this user, without a user and a cgroup of their own.\n";
    }
    text
}

/// To standard output, at once.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match said {
        // Who reads may have gone; the cloud goes on.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::internal("standard output cannot be written").with_source(error))
        }
        _ => Ok(()),
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn until_told(world: &World) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be waited for; only SIGKILL ends this process");
        loop {
            world.sleep(std::time::Duration::from_secs(3600)).await;
        }
    };
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
