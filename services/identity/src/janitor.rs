//! Tidies up, from time to time and on every controller: purges that were left, revocations and keys
//! that matter to no token any more.

use std::time::Duration;

use base::Result;
use state::Txn;

use crate::{
    Identity,
    tokens::{keys, record::Revocation},
};

const PERIOD: Duration = Duration::from_secs(60);
/// So many revocations are forgotten in one transaction.
const MOST: usize = 50;

impl Identity {
    /// Starts tidying up, until the world's scope ends.
    pub fn start(&self) {
        let identity = self.clone();
        self.world().spawn("identity-janitor", async move {
            loop {
                if let Err(error) = identity.tidy().await {
                    tracing::warn!("tidying up after identity will go on later: {error:?}");
                }
                let world = identity.world();
                world.sleep(PERIOD + world.jitter(PERIOD)).await;
            }
        });
    }

    /// Tidies up once.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn tidy(&self) -> Result<()> {
        self.purge_all().await?;
        let config = self.config().clone();
        self.state()
            .transact("tokens::forget_keys", move |txn| keys::forget_old(txn, &config))
            .await?;
        while self.state().transact("tokens::forget_revocations", forget).await? {}
        Ok(())
    }
}

/// Forgets revocations whose tokens have all ended; whether there may be more.
fn forget(txn: &mut Txn) -> Result<bool> {
    let now = txn.now();
    let snapshot = txn.snapshot().clone();
    let over: Vec<_> = snapshot.all::<Revocation>().filter(|r| r.until < now).take(MOST).collect();
    for revocation in &over {
        txn.delete::<Revocation>(&revocation.id)?;
    }
    Ok(over.len() == MOST)
}
