//! A reconciler takes no input: it is woken, looks at the state and takes one step, which is one commit.
//! The next wake is the retry. Several controllers may run the same key: conditions make that safe,
//! sharing only saves work.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base::{Map, Moment, Result, Set, World};
use serde::Serialize;
use state::{Notice, SessionRecord, Snapshot, State};
use tokio::sync::Notify;

/// What a step leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Settled,
    /// Look again at once: there is a further step.
    Again,
    /// Look again then: something may have run out.
    After(Duration),
}

/// A loop that keeps things so.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// Its name: `compute.servers`.
    fn name(&self) -> &'static str;

    /// The keys that a changed record wakes.
    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String>;

    /// All keys that are not settled: looked through at the start, after a reload and each period.
    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String>;

    /// Takes one step for one key.
    ///
    /// # Errors
    /// Whatever stands against the step; it is tried again after a growing wait.
    async fn step(&self, key: &str) -> Result<Next>;

    /// How many keys at once.
    fn width(&self) -> usize {
        16
    }

    /// How often all unsettled keys are looked through.
    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Whether any controller may run any key at once (else the one that the key is shared to goes
    /// first, and others take it over when they look through all).
    fn shared(&self) -> bool {
        true
    }
}

/// What a reconciler does, for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReconcilerStatus {
    /// Its name.
    pub name: String,
    /// Keys that wait to be run.
    pub waiting: usize,
    /// Keys under way.
    pub running: usize,
    /// Keys that failed and wait for their next try: key and reason.
    pub failing: Vec<(String, String)>,
    /// Steps taken since the start.
    pub steps: u64,
    /// Steps that failed since the start.
    pub failures: u64,
}

/// Runs reconcilers on one controller.
#[derive(Clone)]
pub struct Runtime {
    state: State,
    engines: Arc<Mutex<Vec<Arc<Engine>>>>,
}

impl Runtime {
    /// A runtime without reconcilers.
    pub fn new(state: &State) -> Runtime {
        Runtime { state: state.clone(), engines: Arc::default() }
    }

    /// Starts a reconciler. It runs until the world's scope ends.
    pub fn start(&self, reconciler: Arc<dyn Reconciler>) {
        let engine = Arc::new(Engine {
            world: self.state.world().clone(),
            state: self.state.clone(),
            reconciler,
            queue: Mutex::default(),
            wake: Notify::new(),
        });
        lock(&self.engines).push(engine.clone());
        let world = self.state.world();
        world.spawn("reconciler-wake", engine.clone().listen());
        world.spawn("reconciler", engine.drive());
    }

    /// What each reconciler does.
    pub fn status(&self) -> Vec<ReconcilerStatus> {
        lock(&self.engines).iter().map(|engine| engine.status()).collect()
    }

    /// Whether every key is settled as far as this controller knows.
    pub fn settled(&self) -> bool {
        lock(&self.engines).iter().all(|engine| engine.idle())
    }

    /// Waits until every key is settled: for tests in a simulated world, where it takes no real time.
    pub async fn settle(&self) {
        loop {
            self.state.world().sleep(Duration::from_millis(20)).await;
            if self.settled() {
                return;
            }
        }
    }
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<String>,
    queued: Set<String>,
    /// Woken while running: run again after.
    running: Map<String, bool>,
    later: Map<String, Later>,
    steps: u64,
    failures: u64,
}

struct Later {
    at: Moment,
    failed: Option<(u32, String)>,
}

struct Engine {
    world: World,
    state: State,
    reconciler: Arc<dyn Reconciler>,
    queue: Mutex<Queue>,
    wake: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

impl Queue {
    fn push(&mut self, key: String) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = true;
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn due(&mut self, now: Moment) {
        let due: Vec<_> = self
            .later
            .iter()
            .filter(|(_, later)| later.at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            // A failed key keeps its count until a step succeeds.
            if let Some(later) = self.later.get_mut(&key) {
                if later.failed.is_none() {
                    self.later.remove(&key);
                } else {
                    later.at = now + LONGEST_WAIT;
                }
            }
            self.push(key);
        }
    }
}

impl Engine {
    fn status(&self) -> ReconcilerStatus {
        let queue = lock(&self.queue);
        let failing = queue.later.iter().filter_map(|(key, later)| {
            later.failed.as_ref().map(|(_, why)| (key.clone(), why.clone()))
        });
        ReconcilerStatus {
            name: self.reconciler.name().to_owned(),
            waiting: queue.ready.len(),
            running: queue.running.len(),
            failing: failing.take(100).collect(),
            steps: queue.steps,
            failures: queue.failures,
        }
    }

    fn idle(&self) -> bool {
        let queue = lock(&self.queue);
        queue.ready.is_empty()
            && queue.running.is_empty()
            && !queue.later.values().any(|later| later.failed.is_some())
    }

    fn push_all(&self, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        let mut queue = lock(&self.queue);
        for key in keys {
            queue.push(key);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Whether this controller goes first for a key: the living controllers share keys by rendezvous.
    fn mine(&self, snapshot: &Snapshot, key: &str) -> bool {
        if !self.reconciler.shared() {
            return true;
        }
        let weight = |name: &str| {
            let mut hash = 0xcbf2_9ce4_8422_2325_u64;
            for byte in name.bytes().chain([0]).chain(key.bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            hash ^ (hash >> 31)
        };
        let own = weight(self.state.name());
        snapshot.all::<SessionRecord>().all(|session| weight(&session.id) <= own)
    }

    async fn listen(self: Arc<Engine>) {
        let mut notices = self.state.subscribe();
        loop {
            let known = self.state.known();
            self.push_all(self.reconciler.unsettled(&known));
            let deadline = self.world.now() + self.reconciler.period();
            loop {
                let left = deadline.since(self.world.now());
                match self.world.timeout(left, notices.recv()).await {
                    Err(_) | Ok(Some(Notice::Reset)) => break,
                    Ok(None) => return,
                    Ok(Some(Notice::Changed(changed))) => {
                        let known = self.state.known();
                        let mut keys = Vec::new();
                        for (table, id) in changed.iter() {
                            let woken = self.reconciler.keys(&known, table, id);
                            keys.extend(woken.into_iter().filter(|key| self.mine(&known, key)));
                        }
                        self.push_all(keys);
                    }
                }
            }
        }
    }

    async fn drive(self: Arc<Engine>) {
        loop {
            let (keys, wait) = {
                let mut queue = lock(&self.queue);
                let now = self.world.now();
                queue.due(now);
                let mut keys = Vec::new();
                while queue.running.len() < self.reconciler.width() {
                    let Some(key) = queue.ready.pop_front() else { break };
                    queue.queued.remove(&key);
                    queue.running.insert(key.clone(), false);
                    keys.push(key);
                }
                let next = queue.later.values().map(|later| later.at).min();
                (keys, next.map(|at| at.since(now)))
            };
            for key in keys {
                self.world.spawn("reconcile", self.clone().run(key));
            }
            let wait = wait.unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(1));
            // A wake that came meanwhile is kept by the notifier.
            let _woken_or_due = self.world.timeout(wait, self.wake.notified()).await;
        }
    }

    async fn run(self: Arc<Engine>, key: String) {
        let result = self.reconciler.step(&key).await;
        let mut queue = lock(&self.queue);
        let again = queue.running.remove(&key).unwrap_or(false);
        queue.steps += 1;
        let now = self.world.now();
        match result {
            Ok(next) => {
                queue.later.remove(&key);
                match next {
                    Next::Settled if again => queue.push(key),
                    Next::Settled => {}
                    Next::Again => queue.push(key),
                    Next::After(wait) => {
                        queue.later.insert(key.clone(), Later { at: now + wait, failed: None });
                        if again {
                            queue.push(key);
                        }
                    }
                }
            }
            Err(error) => {
                queue.failures += 1;
                let times = queue
                    .later
                    .get(&key)
                    .and_then(|later| later.failed.as_ref())
                    .map_or(0, |(times, _)| times + 1);
                let wait = (FIRST_WAIT * (1 << times.min(12))).min(LONGEST_WAIT);
                let wait = wait / 2 + self.world.jitter(wait / 2);
                tracing::warn!(
                    reconciler = self.reconciler.name(),
                    key,
                    "a step failed: {error:?}"
                );
                let failed = Some((times, error.to_string()));
                queue.later.insert(key, Later { at: now + wait, failed });
            }
        }
        drop(queue);
        self.wake.notify_one();
    }
}
