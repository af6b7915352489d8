//! The orders that a node holds, kept on its disk so that it knows after a restart what it shall do,
//! and the rules by which a newer order replaces an older one. The rules do no I/O.

mod directory;
mod memory;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use base::{Epoch, Era, Result, Timestamp};
use orders::{VmId, VmOrder};
use serde::{Deserialize, Serialize};

pub use directory::Directory;
pub use memory::MemoryDisk;
pub use rules::{Verdict, judge};

/// An order as a node holds it, and what the node itself must remember with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The newest order.
    pub order: Arc<VmOrder>,
    /// The host's boot in which a controller last sent it: the permit to start, void after the next.
    #[serde(default)]
    pub permit: Option<Arc<str>>,
    /// What ended this order's errand before a newer one came.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Starts up to this one ended before the order came: that their guest switched itself off does
    /// not stand against starting again.
    #[serde(default)]
    pub forgiven: u64,
    /// The epoch of another life of the store under which the machine was here before.
    #[serde(default)]
    pub was: Option<Epoch>,
    /// A predecessor of this order said `Gone` and was not carried out: its disk goes first.
    #[serde(default)]
    pub clear_first: bool,
    /// A controller sent all its orders and this was not among them.
    #[serde(default)]
    pub stranger: bool,
    /// It was carried out to its end and forgotten by the controllers. Kept a while, so that a
    /// controller that lags behind cannot bring the machine back.
    #[serde(default)]
    pub forgotten: Option<Timestamp>,
}

/// What ended an order's errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The guest switched itself off, and stays so.
    OffByGuest,
    /// It cannot be made to run.
    Failed(String),
}

/// The lives of the store that this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eras {
    /// Whose orders are taken.
    pub current: Option<Era>,
    /// Those that were left for a newer one: never taken again. The newest last.
    #[serde(default)]
    pub left: Vec<Era>,
}

impl Eras {
    /// A controller that the link vouches for names the store's era. Says whether this is a new one.
    pub fn welcome(&mut self, era: &Era) -> Result<bool, String> {
        if self.current.as_ref() == Some(era) {
            return Ok(false);
        }
        if self.left.contains(era) {
            return Err(format!(
                "the controller serves the store's era {era}, which this node has left for {}",
                self.current.as_ref().map_or("another", |era| &era.0),
            ));
        }
        if let Some(old) = self.current.replace(era.clone()) {
            self.left.push(old);
            // Each restore leaves one; nobody restores so often that an older one is still about.
            if self.left.len() > 64 {
                self.left.remove(0);
            }
        }
        Ok(true)
    }
}

/// All that a [`Disk`] keeps.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The eras.
    pub eras: Eras,
    /// The orders.
    pub held: Vec<Held>,
}

/// Where a node keeps its orders. What was kept is there after a crash; a write is whole or not at all.
#[async_trait]
pub trait Disk: Send + Sync {
    /// Everything.
    async fn load(&self) -> Result<Kept>;
    /// Keeps these, each in place of what is held for its machine.
    async fn keep(&self, held: &[Held]) -> Result<()>;
    /// Keeps nothing for these any more.
    async fn discard(&self, ids: &[VmId]) -> Result<()>;
    /// Keeps the eras.
    async fn keep_eras(&self, eras: &Eras) -> Result<()>;
}
