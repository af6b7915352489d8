//! What goes with a thing that was deleted. The thing itself goes in one transaction, which leaves a
//! purge here; from then on nothing new can hang on it, since all that do read it as alive. What hung on
//! it already is taken away in steps, by whoever deleted it or, after a crash, by the janitor.
//!
//! ```text
//! deleted + purge -> sweep, sweep, ... -> nothing left, purge gone
//! ```
//! Guards: an id with a purge is not given out again (domains may be made with a wanted id).

pub mod record;
mod sweep;

use base::Result;
use state::Txn;

use crate::Identity;
use record::{Kind, Purge};

/// Leaves a purge, in the transaction that deletes the thing.
pub(crate) fn request(txn: &mut Txn, kind: Kind, id: &str) -> Result<()> {
    txn.put(&kind.key(id), Purge { kind, of: id.to_owned() })
}

/// Whether something of that kind and id is still being taken away; the answer holds at the commit.
pub(crate) fn pending(txn: &mut Txn, kind: Kind, id: &str) -> Result<bool> {
    Ok(txn.get::<Purge>(&kind.key(id))?.is_some())
}

impl Identity {
    /// Takes away what hung on a deleted thing. Failing is fine: the janitor goes on.
    pub(crate) async fn purge(&self, kind: Kind, id: &str) {
        if let Err(error) = self.sweep_all(&kind.key(id)).await {
            tracing::warn!(purge = kind.key(id), "a purge will go on later: {error:?}");
        }
    }

    /// Goes on with every purge that was left.
    pub(crate) async fn purge_all(&self) -> Result<()> {
        loop {
            let left: Vec<_> = self.state().known().all::<Purge>().map(|p| p.id.clone()).collect();
            if left.is_empty() {
                return Ok(());
            }
            for id in left {
                self.sweep_all(&id).await?;
            }
        }
    }

    async fn sweep_all(&self, key: &str) -> Result<()> {
        loop {
            let owned = key.to_owned();
            let step = move |txn: &mut Txn| sweep::step(txn, &owned);
            if self.state().transact("purge::sweep", step).await? {
                return Ok(());
            }
        }
    }
}
