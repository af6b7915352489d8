//! A store that fails as networks and disks do: at random by the world's seed, or where a script says.
//! Wraps any store. Never lies beyond what [`Store`] allows: what it calls refused was not done, what
//! it calls done was.
//!
//! Crash tests: run once without faults and count [`FaultyStore::commits`]; then run again for each
//! commit `n` and each [`Fault::EACH`] with `faulty.script(At::Nth(n), fault)` and compare the ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Beacon, Error, Map, Result, Revision, Watcher, World};

use crate::store::{
    Batch, Item, Key, LeaseId, Outcome, Reading, Store, Transaction, Watch, WatchEnd,
};

/// What goes wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store could not be asked: an error, certainly not done.
    Refused,
    /// It takes longer.
    Delayed(Duration),
    /// Answered unknown, and was not done.
    UnknownBefore,
    /// Answered unknown, and was done.
    UnknownAfter,
    /// Answered unknown at once, and carried out this much later (if its conditions hold then).
    UnknownLate(Duration),
    /// The asking process ([`FaultyStore::process`]) dies before the commit.
    CrashBefore,
    /// The asking process dies when the commit is done, before it learns so.
    CrashAfter,
}

impl Fault {
    /// One of each kind that a workflow must survive.
    pub const EACH: [Fault; 6] = [
        Fault::Refused,
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::UnknownLate(Duration::from_millis(300)),
        Fault::CrashBefore,
        Fault::CrashAfter,
    ];
}

/// Which commit a script means; counted from 1, over all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The n-th commit of all.
    Nth(u64),
    /// The n-th commit with that label.
    Labeled(&'static str, u64),
    /// Every commit with that label.
    Every(&'static str),
}

/// A commit about to be carried out, as a hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What is asked for.
    pub transaction: &'a Transaction,
    /// Its number among all commits, from 1.
    pub number: u64,
    /// Its number among those with its label, from 1.
    pub of_label: u64,
}

/// How often, per thousand, something goes wrong at random. All zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the faults are")]
pub struct Rates {
    pub refused: u64,
    pub delayed: u64,
    pub unknown_before: u64,
    pub unknown_after: u64,
    pub unknown_late: u64,
    /// Readings, revision probes and leases that could not be asked.
    pub unreadable: u64,
    /// Of each batch that a watch would show.
    pub watch_cut: u64,
    /// Of each batch that a watch would show.
    pub watch_compacted: u64,
}

impl Rates {
    /// A bad day.
    pub const BAD: Rates = Rates {
        refused: 20,
        delayed: 50,
        unknown_before: 20,
        unknown_after: 20,
        unknown_late: 20,
        unreadable: 10,
        watch_cut: 10,
        watch_compacted: 3,
    };
}

/// How the commits of one label ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Asked for.
    pub asked: u64,
    /// Carried out, whatever was answered, and changed something or not.
    pub done: u64,
    /// Refused by their conditions.
    pub conflicts: u64,
    /// Answered unknown.
    pub unknown: u64,
}

type Hook = Arc<dyn Fn(&Sight<'_>) -> Option<Fault> + Send + Sync>;

/// The faulty store. Clones and [`FaultyStore::process`]es share the script, the counts and the faults.
#[derive(Clone)]
pub struct FaultyStore {
    /// Where the network lives: late commits land even when who asked has died.
    network: World,
    /// Who asks, and dies.
    process: Option<World>,
    inner: Arc<dyn Store>,
    shared: Arc<Shared>,
}

struct Shared {
    plan: Mutex<Plan>,
    counts: Mutex<Map<&'static str, Count>>,
    commits: AtomicU64,
    watches: Beacon<Watches>,
}

#[derive(Default)]
struct Plan {
    rates: Rates,
    script: Vec<(At, Fault)>,
    hook: Option<Hook>,
    down: bool,
}

/// What all watches are told.
#[derive(Clone, Default)]
struct Watches {
    stalled: bool,
    cuts: u64,
    compactions: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultyStore {
    /// Wraps a store. `network` outlives the processes that ask: the simulated world itself.
    pub fn new(network: World, inner: Arc<dyn Store>) -> FaultyStore {
        let shared = Shared {
            plan: Mutex::default(),
            counts: Mutex::default(),
            commits: AtomicU64::new(0),
            watches: Beacon::default(),
        };
        FaultyStore { network, process: None, inner, shared: Arc::new(shared) }
    }

    /// The same store as a process sees it: [`Fault::CrashBefore`] and [`Fault::CrashAfter`] kill that
    /// scope, and nothing that a killed scope still asks is carried out or answered.
    #[must_use]
    pub fn process(&self, process: &World) -> FaultyStore {
        FaultyStore { process: Some(process.clone()), ..self.clone() }
    }

    /// Random faults from here on.
    pub fn rates(&self, rates: Rates) {
        lock(&self.shared.plan).rates = rates;
    }

    /// This fault at that commit. The first entry that fits is taken, and used up unless it is
    /// [`At::Every`].
    pub fn script(&self, at: At, fault: Fault) {
        lock(&self.shared.plan).script.push((at, fault));
    }

    /// Asks this before each commit; it may also look, count or kill.
    pub fn hook(&self, hook: impl Fn(&Sight<'_>) -> Option<Fault> + Send + Sync + 'static) {
        lock(&self.shared.plan).hook = Some(Arc::new(hook));
    }

    /// No faults any more: no rates, script or hook, not down, watches not stalled.
    pub fn calm(&self) {
        *lock(&self.shared.plan) = Plan::default();
        self.stall_watches(false);
    }

    /// No quorum: nothing can be asked, watches are cut.
    pub fn down(&self, down: bool) {
        lock(&self.shared.plan).down = down;
        if down {
            self.cut_watches();
        }
    }

    /// Watches show nothing while this is on: caches fall behind.
    pub fn stall_watches(&self, stalled: bool) {
        self.shared.watches.light(|watches| {
            watches.stalled = stalled;
            true
        });
    }

    /// Ends all watches as lost.
    pub fn cut_watches(&self) {
        self.shared.watches.light(|watches| {
            watches.cuts += 1;
            true
        });
    }

    /// Ends all watches as compacted.
    pub fn compact_watches(&self) {
        self.shared.watches.light(|watches| {
            watches.compactions += 1;
            true
        });
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    /// How the commits ended, by label.
    pub fn counts(&self) -> Map<&'static str, Count> {
        lock(&self.shared.counts).clone()
    }

    /// How the commits with this label ended.
    pub fn count(&self, label: &str) -> Count {
        lock(&self.shared.counts).get(label).copied().unwrap_or_default()
    }

    /// Counts from zero again; scripts count anew too.
    pub fn reset_counts(&self) {
        lock(&self.shared.counts).clear();
        self.shared.commits.store(0, Ordering::SeqCst);
    }

    fn counted(&self, label: &'static str, change: impl FnOnce(&mut Count)) {
        change(lock(&self.shared.counts).entry(label).or_default());
    }

    /// What was decided for this commit.
    fn fault(&self, transaction: &Transaction) -> (u64, Option<Fault>) {
        let number = self.shared.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let mut of_label = 0;
        self.counted(transaction.label, |count| {
            count.asked += 1;
            of_label = count.asked;
        });
        let sight = Sight { transaction, number, of_label };
        // The hook may call us, so it is asked without the lock.
        let hook = lock(&self.shared.plan).hook.clone();
        if let Some(fault) = hook.and_then(|hook| hook(&sight)) {
            return (number, Some(fault));
        }
        let mut plan = lock(&self.shared.plan);
        let fits = |at: &At| match *at {
            At::Nth(n) => n == number,
            At::Labeled(label, n) => label == transaction.label && n == of_label,
            At::Every(label) => label == transaction.label,
        };
        if let Some(found) = plan.script.iter().position(|(at, _)| fits(at)) {
            let (at, fault) = plan.script[found];
            if !matches!(at, At::Every(_)) {
                plan.script.remove(found);
            }
            return (number, Some(fault));
        }
        if plan.down {
            return (number, Some(Fault::Refused));
        }
        (number, self.random_fault(plan.rates))
    }

    fn random_fault(&self, rates: Rates) -> Option<Fault> {
        let later = |most| Duration::from_millis(1 + self.network.below(most));
        let all = [
            rates.refused,
            rates.delayed,
            rates.unknown_before,
            rates.unknown_after,
            rates.unknown_late,
        ];
        if all == [0; 5] {
            return None;
        }
        let mut dice = self.network.below(1_000);
        for (kind, rate) in all.into_iter().enumerate() {
            if dice < rate {
                return Some(match kind {
                    0 => Fault::Refused,
                    1 => Fault::Delayed(later(200)),
                    2 => Fault::UnknownBefore,
                    3 => Fault::UnknownAfter,
                    _ => Fault::UnknownLate(later(2_000)),
                });
            }
            dice -= rate;
        }
        None
    }

    /// The dead ask nothing.
    async fn living(&self) {
        if self.process.as_ref().is_some_and(World::killed) {
            std::future::pending::<()>().await;
        }
    }

    async fn crash(&self, label: &str) {
        let Some(process) = &self.process else {
            // Without a process there is nobody to kill; the answer never comes all the same.
            tracing::warn!("{label}: a crash was scripted on a store that is no process's");
            return std::future::pending().await;
        };
        process.kill();
        self.living().await;
    }

    /// Before and after whatever is asked: time passes, the order is the seed's.
    async fn travel(&self) {
        self.network.breathe().await;
        self.living().await;
    }

    /// For everything but commits.
    async fn ask(&self, what: &str) -> Result<()> {
        self.living().await;
        self.travel().await;
        let (down, rate) = {
            let plan = lock(&self.shared.plan);
            (plan.down, plan.rates.unreadable)
        };
        if down || (rate > 0 && self.network.below(1_000) < rate) {
            self.network.trace(|| format!("store {what}: unreachable"));
            return Err(unreachable());
        }
        Ok(())
    }

    async fn answer<T>(&self, result: Result<T>) -> Result<T> {
        self.travel().await;
        result
    }

    async fn carry_out(&self, transaction: &Transaction) -> Result<Outcome> {
        let outcome = self.inner.commit(transaction).await;
        self.counted(transaction.label, |count| match &outcome {
            Ok(Outcome::Done(_)) => count.done += 1,
            Ok(Outcome::Conflict) => count.conflicts += 1,
            Ok(Outcome::Unknown(_)) | Err(_) => {}
        });
        outcome
    }

    async fn commit_with(
        &self,
        transaction: &Transaction,
        fault: Option<Fault>,
    ) -> Result<Outcome> {
        let unknown = |when: &str| Ok(Outcome::Unknown(format!("a fault was injected {when}")));
        match fault {
            Some(Fault::Refused) => return Err(unreachable()),
            Some(Fault::UnknownBefore) => return unknown("before the commit"),
            Some(Fault::UnknownLate(late)) => {
                let (store, transaction) = (self.clone(), transaction.clone());
                self.network.spawn("late-commit", async move {
                    store.network.sleep(late).await;
                    let outcome = store.carry_out(&transaction).await;
                    let label = transaction.label;
                    store.network.trace(|| format!("store commit {label} late: {outcome:?}"));
                });
                return unknown("and the commit comes later");
            }
            Some(Fault::CrashBefore) => self.crash(transaction.label).await,
            Some(Fault::Delayed(wait)) => {
                self.network.sleep(wait).await;
                self.living().await;
            }
            Some(Fault::UnknownAfter | Fault::CrashAfter) | None => {}
        }
        let outcome = self.carry_out(transaction).await;
        match fault {
            Some(Fault::CrashAfter) => self.crash(transaction.label).await,
            // What was refused was refused in any case; the answer is lost like any other.
            Some(Fault::UnknownAfter) => return unknown("after the commit"),
            _ => {}
        }
        outcome
    }
}

fn unreachable() -> Error {
    Error::unavailable("The store cannot be reached. Try again.")
}

#[async_trait]
impl Store for FaultyStore {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.living().await;
        self.travel().await;
        transaction.check()?;
        let (number, fault) = self.fault(transaction);
        // The hook may have killed who asks.
        self.living().await;
        let outcome = self.commit_with(transaction, fault).await;
        if let Ok(Outcome::Unknown(_)) = &outcome {
            self.counted(transaction.label, |count| count.unknown += 1);
        }
        self.network.trace(|| {
            let who = self.process.as_ref().map_or("", World::name);
            let fault = fault.map(|fault| format!(" with {fault:?}")).unwrap_or_default();
            format!("store commit {number} {} by {who}{fault}: {outcome:?}", transaction.label)
        });
        self.answer(outcome).await
    }

    async fn revision(&self) -> Result<Revision> {
        self.ask("revision").await?;
        self.answer(self.inner.revision().await).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        self.ask("get").await?;
        self.answer(self.inner.get(keys).await).await
    }

    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        self.ask("load").await?;
        self.answer(self.inner.load(prefix).await).await
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        let mut told = self.shared.watches.watch();
        self.ask("watch").await?;
        let seen = told.look(Clone::clone);
        let watch = self.inner.watch(after).await?;
        let faulty =
            FaultyWatch { store: self.clone(), watch, told, seen, ready: None, ended: None };
        self.answer(Ok(Box::new(faulty) as Box<dyn Watch>)).await
    }

    async fn compact(&self, upto: Revision) -> Result<()> {
        self.ask("compact").await?;
        self.answer(self.inner.compact(upto).await).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.ask("grant").await?;
        self.answer(self.inner.grant(ttl).await).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        self.ask("renew").await?;
        self.answer(self.inner.renew(lease).await).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.ask("revoke").await?;
        self.answer(self.inner.revoke(lease).await).await
    }
}

struct FaultyWatch {
    store: FaultyStore,
    watch: Box<dyn Watch>,
    told: Watcher<Watches>,
    seen: Watches,
    /// Taken from the watch, not shown yet: a wait that is dropped loses nothing.
    ready: Option<Batch>,
    ended: Option<WatchEnd>,
}

impl FaultyWatch {
    /// Waits while stalled; an end that was asked for is told.
    async fn obey(&mut self) -> Result<(), WatchEnd> {
        loop {
            self.store.living().await;
            let now = self.told.look(Clone::clone);
            if now.cuts != self.seen.cuts {
                return Err(WatchEnd::Lost("the watch was cut".into()));
            }
            if now.compactions != self.seen.compactions {
                return Err(WatchEnd::Compacted);
            }
            if !now.stalled {
                return Ok(());
            }
            self.told.changed().await;
        }
    }

    fn random_end(&self) -> Result<(), WatchEnd> {
        let rates = lock(&self.store.shared.plan).rates;
        if rates.watch_cut + rates.watch_compacted == 0 {
            return Ok(());
        }
        let dice = self.store.network.below(1_000);
        if dice < rates.watch_cut {
            return Err(WatchEnd::Lost("the watch was cut at random".into()));
        }
        if dice < rates.watch_cut + rates.watch_compacted {
            return Err(WatchEnd::Compacted);
        }
        Ok(())
    }

    async fn show(&mut self) -> Result<Batch, WatchEnd> {
        while self.ready.is_none() {
            self.obey().await?;
            let changed = self.told.changed();
            tokio::select! {
                biased;
                () = changed => {}
                batch = self.watch.next() => {
                    self.ready = Some(batch?);
                    self.random_end()?;
                }
            }
        }
        self.store.network.breathe().await;
        self.obey().await?;
        let Some(batch) = self.ready.take() else {
            return Err(WatchEnd::Lost("nothing is ready".into()));
        };
        let revision = batch.revision;
        self.store.network.trace(|| {
            let who = self.store.process.as_ref().map_or("", World::name);
            format!("store watch of {who} shows {revision}")
        });
        Ok(batch)
    }
}

#[async_trait]
impl Watch for FaultyWatch {
    async fn next(&mut self) -> Result<Batch, WatchEnd> {
        if let Some(end) = &self.ended {
            return Err(end.clone());
        }
        let shown = self.show().await;
        if let Err(end) = &shown {
            self.ended = Some(end.clone());
        }
        shown
    }
}
