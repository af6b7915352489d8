//! The handle of the identity service: what its rooms share. Clones share everything.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Kind, Result, Revision, World};
use state::{Sealer, Snapshot, State};
use tokio::sync::{Semaphore, SemaphorePermit};
use web::{Actor, Authenticator};

use crate::{
    app_creds::record::{AccessRule, AppCred},
    assignments::record::Assignment,
    catalog::record::{Endpoint, Region, Service},
    config::Config,
    groups::record::{Group, Membership},
    passwords::record::Password,
    projects::record::Project,
    roles::record::{Implication, Role},
    tokens::{
        cache::{Cache, Validated},
        keys::Keyring,
        record::{KeyRecord, Revocation},
        resolve,
    },
    trusts::record::Trust,
    users::record::User,
    words,
};

/// The identity service.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    state: State,
    config: Config,
    sealer: Sealer,
    hashing: Semaphore,
    keyring: Keyring,
    cache: Cache,
}

impl Identity {
    /// On this state.
    pub fn new(state: &State, config: Config, sealer: &Sealer) -> Identity {
        Identity(Arc::new(Inner {
            state: state.clone(),
            hashing: Semaphore::new(config.hashes_at_once.max(1)),
            config,
            sealer: sealer.clone(),
            keyring: Keyring::default(),
            cache: Cache::default(),
        }))
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    pub(crate) fn world(&self) -> &World {
        self.0.state.world()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// A turn to compute a hash. The semaphore is never closed.
    pub(crate) async fn hashing_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.hashing.acquire().await.ok()
    }

    /// What a token is worth now; 404 when it is nothing (any more). `late`: how long after its end it
    /// is still taken.
    pub(crate) fn validate(
        &self,
        snapshot: &Snapshot,
        text: &str,
        late: Duration,
    ) -> Result<Arc<Validated>> {
        let now = self.world().wall();
        let stamp = stamp(snapshot);
        if let Some(found) = self.0.cache.get(text, stamp, now) {
            return Ok(found);
        }
        let token = Arc::new(self.open_token(snapshot, text)?);
        let in_time = now < token.expires;
        let resolved = resolve::resolve(snapshot, token, now, late)?;
        let ends = [
            Some(resolved.token.expires),
            resolved.app_cred.as_ref().and_then(|app_cred| app_cred.expires),
            resolved.trust.as_ref().and_then(|trust| trust.expires),
        ];
        let ends = ends.into_iter().flatten().min().unwrap_or(now);
        let actor = Arc::new(resolved.actor());
        let bodies = Default::default();
        let validated = Arc::new(Validated { resolved, actor, ends, stamp, bodies });
        if in_time {
            self.0.cache.put(text, validated.clone());
        }
        Ok(validated)
    }

    /// Who holds a token; 401 when it is nothing (any more).
    pub(crate) async fn holder(&self, text: &str) -> Result<Arc<Validated>> {
        let snapshot = self.state().fresh().await?;
        self.validate(&snapshot, text, Duration::ZERO).map_err(|error| match error.kind() {
            Kind::NotFound => words::unauthorized(),
            _ => error,
        })
    }
}

/// A revision since which nothing that a token's worth depends on has changed.
fn stamp(snapshot: &Snapshot) -> Revision {
    [
        snapshot.changed::<User>(),
        snapshot.changed::<Password>(),
        snapshot.changed::<Project>(),
        snapshot.changed::<Group>(),
        snapshot.changed::<Membership>(),
        snapshot.changed::<Role>(),
        snapshot.changed::<Implication>(),
        snapshot.changed::<Assignment>(),
        snapshot.changed::<AppCred>(),
        snapshot.changed::<AccessRule>(),
        snapshot.changed::<Trust>(),
        snapshot.changed::<KeyRecord>(),
        snapshot.changed::<Revocation>(),
        // The catalog is part of a token's body.
        snapshot.changed::<Region>(),
        snapshot.changed::<Service>(),
        snapshot.changed::<Endpoint>(),
    ]
    .into_iter()
    .max()
    .unwrap_or_default()
}

#[async_trait]
impl Authenticator for Identity {
    async fn authenticate(&self, token: &str) -> Result<Arc<Actor>> {
        let holder = self.holder(token).await?;
        // Rules narrow a token to some paths, which are not known here: better nothing than everything.
        if holder.resolved.app_cred.as_ref().is_some_and(|a| a.access_rules.is_some()) {
            return Err(words::unauthorized());
        }
        Ok(holder.actor.clone())
    }
}
