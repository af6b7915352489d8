//! `everstack admin`: what must be possible on the host even when nobody can log in.

use base::{Error, Result, Secret, World};
use state::{Sealer, State, backend::EmbeddedStore};

use super::up::say;
use crate::{
    cloud,
    config::{Config, StoreKind},
    credentials::{self, Passwords},
    pki::Authority,
    state_dir::StateDir,
};

/// Gives a user of the default domain a new password and prints it.
///
/// # Errors
/// When the cloud runs on an embedded store (which one process has), or there is no such user.
pub async fn password(world: &World, config: &Config, user: &str) -> Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    if config.controller.store != StoreKind::Embedded {
        return Err(Error::bad_request("only for the embedded store so far"));
    }
    let running = dir.take()?;
    let store = EmbeddedStore::open(world.clone(), &dir.store()).await?;
    let state = State::open(
        world.clone(),
        std::sync::Arc::new(store.clone()),
        cloud::schema(),
        "admin-tool",
    )
    .await?;
    let sealer = Sealer::open_or_create(world, &dir.sealing_key())?;
    let new: Secret = credentials::password(world);
    let mut identity = identity::Config::default();
    if config.simulated.nodes > 0 {
        identity = identity.with_cheap_hashes();
    }
    let identity = identity::Identity::new(&state, identity, &sealer);
    identity.reset_password("default", user, &new).await?;
    let mut kept = Passwords::open_or_make(world, dir.path())?;
    match user {
        "admin" => kept.admin = new.clone(),
        "demo" => kept.demo = new.clone(),
        _ => {}
    }
    kept.write(dir.path())?;
    store.close().await?;
    drop(running);
    say(&format!("The new password of {user} is {}\n", new.expose()))?;
    say("clouds.yaml and openrc follow at the next `everstack up`.\n")
}

/// Issues a certificate for a node and prints the CA, the certificate and the key.
///
/// # Errors
/// When the CA cannot be opened.
pub fn node_certificate(config: &Config, name: &str) -> Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let authority = Authority::open_or_make(&dir.pki())?;
    let issued = authority.issue(name, &[name.to_owned()])?;
    say(&format!("{}{}{}", authority.cert()?, issued.cert, issued.key))
}
