//! What the agent asks of a hypervisor, as data in and data out. A driver decides nothing: it does one
//! step when told, remembers on its own disk what it did, and says what it sees.
//!
//! Dropping the future of any call is like a crash at that point: the next call finishes what was begun
//! or undoes it. Calls that repeat what is already so do nothing.

#[cfg(any(test, feature = "real-tests"))]
pub mod conformance;
pub mod fake;
pub mod qemu;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base::{Epoch, Error, Result, Set};
use orders::{VmId, VmOrder};
use tokio::sync::Notify;

/// A machine as a driver sees it. None of this comes from orders: it is what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVm {
    /// Which machine.
    pub id: VmId,
    /// The epoch under which it was last prepared.
    pub epoch: Epoch,
    /// Its disks are whole: it can be started.
    pub prepared: bool,
    /// What it does.
    pub power: Power,
    /// How often it was started under this epoch.
    pub starts: u64,
    /// The number of the last reboot that it went through; a start counts as one.
    pub rebooted: u64,
}

/// What a machine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// Its process is there but the guest never ran: a start was cut short. Start again to go on.
    Loaded,
    /// It runs.
    Running,
    /// Its processors are held.
    Paused,
    /// No process, and why.
    Off(Exit),
}

impl Power {
    /// Whether no process of it is there.
    pub fn is_off(&self) -> bool {
        matches!(self, Power::Off(_))
    }
}

/// What a driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypervisorFacts {
    /// `QEMU` or `fake`.
    pub kind: String,
    /// Major * 1,000,000 + minor * 1,000 + micro.
    pub version: u64,
    /// `kvm`, `tcg` or `none`.
    pub acceleration: String,
    /// Disk formats that it boots.
    pub disk_formats: Vec<String>,
}

/// Why a machine is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was not started yet.
    NotYet,
    /// It was asked or made to stop.
    Ordered,
    /// The guest switched itself off, unasked.
    ByGuest,
    /// It was lost without its guest's wish, and how.
    Lost(String),
}

/// A hypervisor.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Finds again what an earlier agent left running. Called once, before anything else; touches no
    /// machine that runs.
    async fn attach(&self) -> Result<()>;

    /// All machines that are here, whatever orders say. From memory, at once.
    fn list(&self) -> Vec<SeenVm>;

    /// One of them.
    fn look(&self, id: &VmId) -> Option<SeenVm>;

    /// Which machines changed without being told to.
    fn changes(&self) -> &Changes;

    /// Makes what the machine needs to start: disks from its image. What is there stays, under the
    /// order's epoch from now on; starts are then counted anew. The machine must be off.
    ///
    /// An error of kind `BadRequest` says that trying again cannot help.
    async fn prepare(&self, order: &Arc<VmOrder>) -> Result<()>;

    /// Starts a prepared machine; returns when its guest runs. A start counts as the reboot of the
    /// order's number. The machine survives the end of this process.
    async fn start(&self, order: &Arc<VmOrder>) -> Result<()>;

    /// Resets a running machine, once for each number.
    async fn reset(&self, id: &VmId, number: u64) -> Result<()>;

    /// Presses the power button, and does not wait for the guest. An end that follows was ordered.
    async fn powerdown(&self, id: &VmId) -> Result<()>;

    /// Ends its process, whatever the guest does; returns when it is gone.
    async fn cut_off(&self, id: &VmId) -> Result<()>;

    /// Gives a machine that is here to another epoch without touching it: only right when the numbers
    /// of two lives of the store name the same place.
    async fn adopt(&self, id: &VmId, epoch: Epoch) -> Result<()>;

    /// Ends it and deletes its disks.
    async fn remove(&self, id: &VmId) -> Result<()>;

    /// The newest text of its serial console, over restarts; none if it is not here.
    async fn console_text(&self, id: &VmId) -> Result<Option<String>>;

    /// Counters of a running machine; none if it does not run here.
    async fn diagnostics(&self, id: &VmId) -> Result<Option<serde_json::Value>>;
}

/// Which machines changed: a set and a bell, so that a thousand events of one machine are one visit.
#[derive(Debug, Default)]
pub struct Changes {
    ids: Mutex<Set<VmId>>,
    bell: Notify,
}

impl Changes {
    /// This machine changed.
    pub fn mark(&self, id: &VmId) {
        lock(&self.ids).insert(id.clone());
        self.bell.notify_one();
    }

    /// Those that changed since the last call; waits for the first.
    pub async fn next(&self) -> Set<VmId> {
        loop {
            let ids = std::mem::take(&mut *lock(&self.ids));
            if !ids.is_empty() {
                return ids;
            }
            self.bell.notified().await;
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last `lines` lines of a text; all of it without a number.
pub fn tail(text: &str, lines: Option<u64>) -> &str {
    let Some(lines) = lines else { return text };
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    if lines == 0 {
        return "";
    }
    let end = text.strip_suffix('\n').unwrap_or(text);
    match end.rmatch_indices('\n').nth(lines - 1) {
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

/// No disk is larger, so that no arithmetic runs over.
const LARGEST_GIB: u64 = 1 << 20;

/// Refuses what cannot be a machine, on any hypervisor.
pub(crate) fn check(order: &VmOrder) -> Result<()> {
    let refuse = |why: &str| Err(Error::bad_request(format!("The machine cannot be made: {why}.")));
    let spec = &order.spec;
    if !plain_id(&order.id) {
        return refuse("its id may not name a directory");
    }
    if spec.vcpus == 0 || spec.vcpus > 255 {
        return refuse("it needs between 1 and 255 processors");
    }
    if spec.ram_mib == 0 || spec.ram_mib > 16 << 20 {
        return refuse("its memory is none or too much");
    }
    if spec.root_gib.max(spec.ephemeral_gib).max(spec.swap_mib / 1024) > LARGEST_GIB {
        return refuse("a disk is too large");
    }
    if spec.image.is_none() && spec.root_gib == 0 {
        return refuse("it has neither an image nor a size for its root disk");
    }
    Ok(())
}

/// Whether an id may name a directory: what controllers send is checked before it becomes a path.
pub(crate) fn plain_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !id.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_text() {
        assert_eq!(tail("a\nb\nc\n", Some(2)), "b\nc\n");
        assert_eq!(tail("a\nb\nc", Some(1)), "c");
        assert_eq!(tail("a\nb\n", Some(9)), "a\nb\n");
        assert_eq!(tail("a\nb\n", Some(0)), "");
        assert_eq!(tail("a\nb\n", None), "a\nb\n");
        assert_eq!(tail("", Some(3)), "");
    }

    #[test]
    fn what_cannot_be_a_machine() {
        let order = conformance::order("9c6d".into());
        check(&order).expect("good");
        let changes: [fn(&mut VmOrder); 8] = [
            |order| order.id = "../x".into(),
            |order| order.spec.vcpus = 0,
            |order| order.spec.vcpus = 256,
            |order| order.spec.ram_mib = 0,
            |order| order.spec.root_gib = 0,
            |order| order.spec.root_gib = u64::MAX,
            |order| order.spec.ephemeral_gib = u64::MAX,
            |order| order.spec.swap_mib = u64::MAX,
        ];
        for change in changes {
            let mut bad = order.clone();
            change(&mut bad);
            assert_eq!(check(&bad).expect_err("refused").kind(), base::Kind::BadRequest);
        }
    }

    #[test]
    fn ids_that_may_name_a_directory() {
        assert!(plain_id("9c6ddc5b-7e0a-4c8f-9d0f-2a1b3c4d5e6f"));
        for bad in ["", "..", "a/b", "a\0", ".hidden", "-x", "ä", &"a".repeat(65)] {
            assert!(!plain_id(bad), "{bad}");
        }
    }
}
