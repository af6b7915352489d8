//! A disk in memory, for simulated nodes: it outlives the agent on it, as a disk outlives a process.

use std::sync::Mutex;

use async_trait::async_trait;
use base::{Map, Result};
use orders::VmId;

use super::{Disk, Eras, Held, Kept};
use crate::drivers::hypervisor::lock;

/// The disk of a simulated node.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    kept: Mutex<(Eras, Map<VmId, Held>)>,
}

#[async_trait]
impl Disk for MemoryDisk {
    async fn load(&self) -> Result<Kept> {
        let kept = lock(&self.kept);
        Ok(Kept { eras: kept.0.clone(), held: kept.1.values().cloned().collect() })
    }

    async fn keep(&self, held: &[Held]) -> Result<()> {
        let mut kept = lock(&self.kept);
        for one in held {
            kept.1.insert(one.id().clone(), one.clone());
        }
        Ok(())
    }

    async fn discard(&self, ids: &[VmId]) -> Result<()> {
        let mut kept = lock(&self.kept);
        for id in ids {
            kept.1.remove(id);
        }
        Ok(())
    }

    async fn keep_eras(&self, eras: &Eras) -> Result<()> {
        lock(&self.kept).0 = eras.clone();
        Ok(())
    }
}
