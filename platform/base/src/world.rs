//! The one handle through which time, randomness, ids, spawning and blocking work are reached, so that
//! a whole cloud can run in one thread, on a virtual clock, the same way again for the same seed.
//!
//! A *simulated* world must run inside a tokio `current_thread` runtime with `start_paused`: the
//! virtual clock is tokio's. Dropping into `tokio::time` or `tokio::spawn` directly is banned by clippy.

use std::{
    future::Future,
    ops::Add,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use uuid::Uuid;

use crate::Timestamp;

/// A moment of the world's own clock (CLOCK_BOOTTIME when real). Only differences mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Time since `earlier`, zero if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(by))
    }
}

/// The time of [`World::timeout`] ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// The handle. Clones share one world and one scope; see [`World::scope`].
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
}

struct Shared {
    kind: WorldKind,
    trace: Mutex<Trace>,
}

enum WorldKind {
    Real,
    Simulated { seed: u64, rng: Box<Mutex<ChaCha12Rng>>, start: tokio::time::Instant },
}

#[derive(Default)]
struct Trace {
    hash: u64,
    lines: u64,
    kept: Option<Vec<String>>,
}

/// The tasks of one simulated process, so that it can be killed as a whole.
#[derive(Default)]
struct Scope {
    name: String,
    dead: AtomicBool,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
    children: Mutex<Vec<Arc<Scope>>>,
}

impl Scope {
    fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for child in lock(&self.children).drain(..) {
            child.kill();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wall clock of every simulated world starts here: 2026-01-01T00:00:00Z.
const SIMULATED_START_MICROS: i64 = 1_767_225_600_000_000;

impl World {
    /// The real world: boot-time clock, the system's randomness, threads.
    pub fn real() -> World {
        World::of(WorldKind::Real)
    }

    /// A world that does the same again for the same seed. Call inside a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "the virtual clock is tokio's")]
    pub fn simulated(seed: u64) -> World {
        World::of(WorldKind::Simulated {
            seed,
            rng: Box::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed))),
            start: tokio::time::Instant::now(),
        })
    }

    fn of(kind: WorldKind) -> World {
        World { shared: Arc::new(Shared { kind, trace: Mutex::default() }), scope: Arc::default() }
    }

    /// A part of this world whose tasks end together, as a process's do: see [`World::kill`].
    #[must_use]
    pub fn scope(&self, name: &str) -> World {
        let scope = Arc::new(Scope { name: name.to_owned(), ..Scope::default() });
        lock(&self.scope.children).push(scope.clone());
        World { shared: self.shared.clone(), scope }
    }

    /// The name given to [`World::scope`].
    pub fn name(&self) -> &str {
        &self.scope.name
    }

    /// Ends every task of this scope at its next await, and every later one at once.
    pub fn kill(&self) {
        self.scope.kill();
    }

    /// Whether [`World::kill`] was called.
    pub fn killed(&self) -> bool {
        self.scope.dead.load(Ordering::SeqCst)
    }

    /// The seed, when simulated.
    pub fn seed(&self) -> Option<u64> {
        match self.shared.kind {
            WorldKind::Real => None,
            WorldKind::Simulated { seed, .. } => Some(seed),
        }
    }

    /// The clock for durations, deadlines and leases. Runs on while the machine sleeps.
    pub fn now(&self) -> Moment {
        match &self.shared.kind {
            WorldKind::Real => {
                let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Moment(Duration::new(
                    u64::try_from(t.tv_sec).unwrap_or(0),
                    u32::try_from(t.tv_nsec).unwrap_or(0),
                ))
            }
            WorldKind::Simulated { start, .. } => Moment(start.elapsed()),
        }
    }

    /// The clock for display and expiry.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(&self) -> Timestamp {
        match &self.shared.kind {
            WorldKind::Real => Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()),
            WorldKind::Simulated { start, .. } => {
                Timestamp::from_micros(SIMULATED_START_MICROS).plus(start.elapsed())
            }
        }
    }

    /// Random bytes, fit for keys when the world is real.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.shared.kind {
            WorldKind::Real => {
                #[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
                getrandom::fill(bytes).expect("the system gives randomness");
            }
            WorldKind::Simulated { rng, .. } => lock(rng).fill_bytes(bytes),
        }
    }

    /// A random array.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number below `bound` (0 when `bound` is 0).
    pub fn below(&self, bound: u64) -> u64 {
        u64::from_le_bytes(self.random()) % bound.max(1)
    }

    /// A random duration below `bound`, for jitter.
    pub fn jitter(&self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }

    /// A random UUID (version 4).
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random()).into_uuid()
    }

    /// A random id of 32 hex digits: Keystone's form.
    pub fn hex_id(&self) -> String {
        self.uuid().simple().to_string()
    }

    /// Waits.
    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets others run: in a simulated world for a random moment, so that a seed explores an order.
    pub async fn breathe(&self) {
        match &self.shared.kind {
            WorldKind::Real => {}
            WorldKind::Simulated { .. } => {
                let wait = self.jitter(Duration::from_millis(3));
                self.sleep(wait).await;
            }
        }
    }

    /// Waits for `future`, for at most `duration`.
    #[expect(clippy::disallowed_methods, reason = "the one place that bounds a wait")]
    pub async fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(duration, future).await.map_err(|_| Elapsed)
    }

    /// Starts a task in this scope. Dropping the [`Task`] lets it run on.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(future);
        if self.killed() {
            handle.abort();
        } else {
            let mut tasks = lock(&self.scope.tasks);
            if tasks.len() >= 64 && tasks.len().is_power_of_two() {
                tasks.retain(|task| !task.is_finished());
            }
            tasks.push(handle.abort_handle());
        }
        Task { name, handle }
    }

    /// Runs work that blocks (files, hashes) off the async threads; inline when simulated.
    #[expect(clippy::disallowed_methods, reason = "the one place that blocks")]
    pub async fn blocking<T, F>(&self, work: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match &self.shared.kind {
            WorldKind::Real => match tokio::task::spawn_blocking(work).await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is going away: so is whoever waits for this.
                    Err(_) => std::future::pending().await,
                },
            },
            WorldKind::Simulated { .. } => work(),
        }
    }

    /// Adds a line to the trace of a simulated world; free in the real one.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        if let WorldKind::Simulated { start, .. } = &self.shared.kind {
            let line = format!("{:>9} {} {}", start.elapsed().as_micros(), self.scope.name, line());
            let mut trace = lock(&self.shared.trace);
            for byte in line.bytes() {
                trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            trace.lines += 1;
            if let Some(kept) = &mut trace.kept {
                kept.push(line);
            }
        }
    }

    /// Keeps the trace's lines from here on, to compare two runs.
    pub fn keep_trace(&self) {
        lock(&self.shared.trace).kept = Some(Vec::new());
    }

    /// The lines since [`World::keep_trace`].
    pub fn kept_trace(&self) -> Vec<String> {
        lock(&self.shared.trace).kept.clone().unwrap_or_default()
    }

    /// The trace's hash and number of lines: equal for equal seeds.
    pub fn trace_hash(&self) -> (u64, u64) {
        let trace = lock(&self.shared.trace);
        (trace.hash, trace.lines)
    }
}

/// A running task. Awaiting it gives its value, or `None` when it was killed or panicked.
pub struct Task<T> {
    name: &'static str,
    handle: tokio::task::JoinHandle<T>,
}

impl<T> Task<T> {
    /// Ends it at its next await.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether it ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.handle).poll(context).map(|joined| match joined {
            Ok(value) => Some(value),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(task = self.name, "a task panicked: {error}");
                }
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(seed: u64, test: impl AsyncFnOnce(World) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("runtime");
        runtime.block_on(async { test(World::simulated(seed)).await })
    }

    #[test]
    fn one_seed_one_trace() {
        let once = |seed| {
            run(seed, async |world| {
                for n in 0..20 {
                    let inner = world.clone();
                    world.spawn("t", async move {
                        inner.breathe().await;
                        inner.trace(|| format!("{n} {}", inner.uuid()));
                    });
                }
                world.sleep(Duration::from_secs(1)).await;
                world.trace_hash()
            })
        };
        assert_eq!(once(7), once(7));
        assert_ne!(once(7), once(8));
    }

    #[test]
    fn a_killed_scope_does_nothing_more() {
        run(1, async |world| {
            let process = world.scope("p");
            let task = {
                let inner = process.clone();
                process.spawn("t", async move { inner.sleep(Duration::from_secs(5)).await })
            };
            process.kill();
            assert_eq!(task.await, None);
            assert_eq!(process.spawn("late", async { 1 }).await, None);
            assert_eq!(world.spawn("other", async { 1 }).await, Some(1));
        });
    }
}
