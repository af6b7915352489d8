//! A node: the agent on this host's QEMU.

use std::{fs, ops::Range, path::Path, sync::Arc};

use agent::{
    Agent, AgentConfig, HostFacts,
    drivers::hypervisor::qemu::{Acceleration, Qemu, QemuConfig},
    images::{CacheLimits, ImageCache},
    orders_store::Directory,
};
use async_trait::async_trait;
use base::{Error, Result, Secret, World};
use bytes::Bytes;
use carrier::{Controllers, Identity, RemoteImages};
use orders::{Connector, ImageRef, ImageSource};

use super::controller::host_name;
use crate::{config::Config, state_dir::StateDir};

/// `everstack node`.
///
/// # Errors
/// When it cannot start.
pub async fn node(world: &World, config: &Config) -> Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let running = dir.take()?;
    let identity = identity(config)?;
    let controllers =
        || Controllers::new(world, config.node.controllers.clone(), Some(identity.clone()));
    let images = Arc::new(RemoteImages::new(controllers()));
    start(world, config, &dir, Arc::new(controllers()), images).await?;
    tracing::info!(node = node_name(config), "the node runs");
    super::up::until_told(world).await;
    tracing::info!("the node stops; its machines keep running");
    drop(running);
    Ok(())
}

/// Starts the agent; it ends with the world's scope.
///
/// # Errors
/// When QEMU or the directory cannot be used.
pub async fn start(
    world: &World,
    config: &Config,
    dir: &StateDir,
    connector: Arc<dyn Connector>,
    images: Arc<dyn ImageSource>,
) -> Result<()> {
    let driver = qemu(world, config, dir, images).await?;
    for hardening in driver.hardening().iter().filter(|hardening| !hardening.holds) {
        tracing::warn!("not in force here: {}: {}", hardening.what, hardening.how);
    }
    tracing::info!(
        "machines run under {}: {}",
        driver.facts().acceleration,
        driver.acceleration_reason()
    );
    let path = dir.node();
    let free = world.blocking({
        let path = path.clone();
        move || agent::disk_gib(&path)
    });
    let free = free.await?;
    let mut inventory = agent::inventory(&HostFacts::read()?, free, &driver.facts());
    inventory.vcpus = config.node.vcpus.unwrap_or(inventory.vcpus);
    inventory.ram_mib = config.node.ram_mib.unwrap_or(inventory.ram_mib);
    inventory.disk_gib = config.node.disk_gib.unwrap_or(inventory.disk_gib);
    let disk = Directory::open(world, &path.join("orders")).await?;
    let settings = AgentConfig {
        name: node_name(config),
        address: config.node.address.clone(),
        boot: agent::boot_id()?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        level: 1,
        inventory,
        manners: Arc::default(),
        pace: Arc::default(),
    };
    let agent = Agent::new(world.clone(), settings, Arc::new(driver), connector, Arc::new(disk));
    let running = agent.run();
    world.spawn("agent", async move {
        if let Err(error) = running.await {
            tracing::error!("the agent ended: {error:?}");
        }
    });
    Ok(())
}

/// The driver for the machines below the state directory; starts none.
///
/// # Errors
/// When QEMU or the directory cannot be used.
pub async fn qemu(
    world: &World,
    config: &Config,
    dir: &StateDir,
    images: Arc<dyn ImageSource>,
) -> Result<Qemu> {
    let path = dir.node();
    let cache = path.join("images");
    fs::create_dir_all(&cache)
        .map_err(|error| Error::internal(format!("{}: {error}", cache.display())))?;
    let images = ImageCache::open(world, &cache, images, CacheLimits::default()).await?;
    let mut settings = QemuConfig::new(path.join("machines"), config.node.path.clone());
    settings.qemu = config.node.qemu.clone();
    settings.qemu_img = config.node.qemu_img.clone();
    settings.acceleration = match config.node.acceleration.as_str() {
        "auto" => Acceleration::Auto,
        "kvm" => Acceleration::Kvm,
        "tcg" => Acceleration::Tcg,
        other => {
            return Err(Error::bad_request(format!(
                "node.acceleration = {other:?}: auto, kvm or tcg is wanted"
            )));
        }
    };
    if let Some(user) = &config.node.user {
        settings.user = user.clone();
    }
    Qemu::open(world, settings, &HostFacts::read()?, images).await
}

fn node_name(config: &Config) -> String {
    config.node.name.clone().unwrap_or_else(host_name)
}

fn identity(config: &Config) -> Result<Identity> {
    let file = |option: &str, path: &Option<std::path::PathBuf>| match path {
        Some(path) => read(path),
        None => Err(Error::bad_request(format!(
            "{option} is not set; `everstack admin node-certificate NAME` on a controller's host makes \
             the node's files"
        ))),
    };
    Ok(Identity {
        ca: file("node.ca", &config.node.ca)?,
        cert: file("node.cert", &config.node.cert)?,
        key: Secret::new(file("node.key", &config.node.key)?),
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Error::bad_request(format!("{}: {error}", path.display())))
}

/// For commands that start no machine.
pub struct NoImages;

#[async_trait]
impl ImageSource for NoImages {
    async fn fetch(&self, image: &ImageRef, _: Range<u64>) -> Result<Bytes> {
        Err(Error::unavailable(format!("the image {} cannot be fetched by this command", image.id)))
    }
}
