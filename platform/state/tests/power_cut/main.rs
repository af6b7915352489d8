//! The embedded store on a disk that forgets what was not synced, whose syncs and writes fail: nothing
//! acknowledged is lost, nothing is half there, nothing that was said not to be done is done, log and
//! keys agree. Everything is decided by the seed.
//!
//! `EVERSTACK_POWER_CUTS=5000` tries more seeds.

#![expect(
    clippy::print_stdout,
    clippy::await_holding_lock,
    reason = "it says what it did; the lock keeps its tests, which share one SQLite, apart"
)]

mod disk;
mod vfs;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base::{Map, Revision, Set, World};
use bytes::Bytes;
use disk::{Dice, Disk, Failure};
use state::{
    Change, Condition, Item, Key, Outcome, Store, Transaction, Write,
    backend::{
        EmbeddedStore,
        embedded::{Files, Options},
    },
};

const PRODUCERS: u64 = 3;
const PARTS: u64 = 3;
const TRAIL: u64 = 4;

/// What a producer knows of its own keys.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last attempt that was acknowledged: its number, its try.
    done: Option<(u64, u64)>,
    /// Attempts since whose end is not known; all with the next number.
    unsure: Set<u64>,
    /// Tries that were said not to be done.
    refused: Set<u64>,
}

#[derive(Default)]
struct Ledger {
    known: Map<u64, Known>,
    /// Of the newest acknowledged commit.
    revision: u64,
    /// Revisions that were acknowledged.
    given: Set<u64>,
    tries: u64,
    commits: u64,
    unknowns: u64,
    refusals: u64,
}

type Shared = Arc<Mutex<Ledger>>;

fn locked(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("not poisoned")
}

fn part(producer: u64, part: u64) -> Key {
    format!("/cut/{producer}/part-{part}").into()
}

fn trail(producer: u64, number: u64) -> Key {
    format!("/cut/{producer}/trail/{number:09}").into()
}

/// The number and the try that a value was written by.
fn written(item: &Item) -> (u64, u64) {
    let text = std::str::from_utf8(&item.value).expect("text");
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
    (numbers.next().expect("a number"), numbers.next().expect("a try"))
}

/// Commits one number after the other until the disk is dead. After an unknown outcome it tries again
/// with the same condition: only one of the tries can come true.
async fn produce(world: World, store: EmbeddedStore, disk: Disk, ledger: Shared, producer: u64) {
    while !disk.dead() {
        let Ok(reading) = store.get(&[part(producer, 0)]).await else { return };
        let found = reading.items.into_iter().next().flatten();
        let number = {
            let mut ledger = locked(&ledger);
            let known = ledger.known.entry(producer).or_default();
            let found = found.as_ref().map(written);
            check_found(known, found, producer);
            if found > known.done {
                // An earlier try came true.
                known.done = found;
                known.unsure.clear();
            }
            known.done.map_or(0, |(number, _)| number) + 1
        };
        let key = part(producer, 0);
        let condition = match found {
            Some(item) => Condition::Unchanged { key, modified: item.modified },
            None => Condition::Absent { key },
        };
        attempt(&world, &store, &ledger, producer, number, condition).await;
        world.breathe().await;
    }
}

async fn attempt(
    world: &World,
    store: &EmbeddedStore,
    ledger: &Shared,
    producer: u64,
    number: u64,
    condition: Condition,
) {
    let this = {
        let mut ledger = locked(ledger);
        ledger.tries += 1;
        let this = ledger.tries;
        // Until it is answered it may be either.
        ledger.known.entry(producer).or_default().unsure.insert(this);
        this
    };
    let filling = match world.below(12) {
        0 => 30_000,
        1..4 => 5_000,
        _ => world.below(300),
    };
    let value = Bytes::from(format!("{number} {this} {}", "x".repeat(filling as usize)));
    let mut writes: Vec<_> = (0..PARTS)
        .map(|n| Write::Put { key: part(producer, n), value: value.clone(), lease: None })
        .collect();
    let short = Bytes::from(format!("{number} {this}"));
    writes.push(Write::Put { key: trail(producer, number), value: short, lease: None });
    if number > TRAIL {
        writes.push(Write::Delete { key: trail(producer, number - TRAIL) });
    }
    let transaction = Transaction { label: "cut", conditions: vec![condition], writes };
    let answer = store.commit(&transaction).await;
    let mut ledger = locked(ledger);
    match &answer {
        Ok(Outcome::Done(revision)) => {
            assert!(ledger.given.insert(revision.0), "{revision} was given before");
            ledger.revision = ledger.revision.max(revision.0);
            ledger.commits += 1;
        }
        Ok(Outcome::Unknown(_)) => ledger.unknowns += 1,
        Ok(Outcome::Conflict) => {}
        Err(_) => ledger.refusals += 1,
    }
    let known = ledger.known.entry(producer).or_default();
    match answer {
        Ok(Outcome::Done(_)) => {
            known.done = Some((number, this));
            known.unsure.clear();
        }
        Ok(Outcome::Unknown(_)) => {}
        Ok(Outcome::Conflict) | Err(_) => {
            known.unsure.remove(&this);
            known.refused.insert(this);
        }
    }
}

fn check_found(known: &Known, found: Option<(u64, u64)>, producer: u64) {
    if found == known.done {
        return;
    }
    let next = known.done.map_or(0, |(number, _)| number) + 1;
    let Some((number, this)) = found else { panic!("{producer} lost everything: {known:?}") };
    assert!(
        !known.refused.contains(&this),
        "{producer}: {this} was said not to be done: {known:?}"
    );
    assert!(
        number == next && known.unsure.contains(&this),
        "{producer}: found {found:?}, knows {known:?}"
    );
}

async fn check(store: &EmbeddedStore, ledger: &mut Ledger) {
    let reading = store.load("").await.expect("loaded");
    let revision = reading.revision;
    assert!(revision.0 >= ledger.revision, "{revision} is older than {}", ledger.revision);
    let items: Map<Key, Item> =
        reading.items.into_iter().map(|item| (item.key.clone(), item)).collect();
    let mut expected = Set::new();
    for producer in 0..PRODUCERS {
        let known = ledger.known.entry(producer).or_default();
        let first = items.get(&part(producer, 0));
        let found = first.map(written);
        check_found(known, found, producer);
        // What is found now is how it ended.
        known.done = found;
        known.unsure.clear();
        let (Some(first), Some((number, _))) = (first, found) else { continue };
        for n in 0..PARTS {
            let item = items.get(&part(producer, n)).expect("all parts");
            assert_eq!((&item.value, item.modified), (&first.value, first.modified), "torn");
            expected.insert(part(producer, n));
        }
        let trails = number.saturating_sub(TRAIL - 1).max(1)..=number;
        expected.extend(trails.map(|n| trail(producer, n)));
    }
    assert_eq!(items.keys().cloned().collect::<Set<_>>(), expected);
    ledger.revision = revision.0;

    let mut after = Revision(revision.0.saturating_sub(40));
    let (first, mut last) = (after, Map::new());
    let mut watch = store.watch(after).await.expect("a watch");
    while after < revision {
        let batch = watch.next().await.expect("so much is kept");
        assert_eq!(batch.revision.0, after.0 + 1, "the log has a hole");
        after = batch.revision;
        last.extend(batch.changes.into_iter().map(|change| (change.key().clone(), change)));
    }
    for (key, change) in &last {
        match change {
            Change::Put(item) => assert_eq!(items.get(key), Some(item), "log and keys differ"),
            Change::Deleted(_) => assert!(!items.contains_key(key), "log and keys differ"),
        }
    }
    for item in items.values().filter(|item| item.modified > first) {
        assert!(last.contains_key(&item.key), "{} is not in the log", item.key);
    }
}

/// For a VFS name of its own each.
static BENCHES: AtomicU64 = AtomicU64::new(0);

/// A disk, its VFS, and a directory for the lock.
struct Bench {
    disk: Disk,
    options: Options,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(name: &str, seed: u64, files: impl Fn(Disk) -> Arc<dyn Files>) -> Bench {
        let disk = Disk::new(seed);
        let vfs = format!("{name}-{seed}");
        let vfs = format!("{vfs}-{}", BENCHES.fetch_add(1, Ordering::SeqCst));
        vfs::register(&disk, &vfs);
        let options = Options {
            keep_revisions: 60,
            vfs: Some(vfs),
            files: files(disk.clone()),
            ..Options::default()
        };
        Bench { disk, options, dir: tempfile::tempdir().expect("a directory") }
    }

    async fn open(&self, world: &World) -> base::Result<EmbeddedStore> {
        EmbeddedStore::open_with(world.clone(), self.dir.path(), self.options.clone()).await
    }

    fn wal(&self) -> String {
        let path: PathBuf = self.dir.path().join("store.db-wal");
        path.to_string_lossy().into_owned()
    }

    /// SQLite's own opinion, of what would be there after a power cut.
    fn integrity(&self) {
        self.disk.cut();
        let database = rusqlite::Connection::open_with_flags_and_vfs(
            self.dir.path().join("store.db"),
            rusqlite::OpenFlags::default(),
            self.options.vfs.as_deref().expect("a vfs"),
        )
        .expect("opened");
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        assert_eq!(verdict, "ok");
    }
}

fn simulated<T>(seed: u64, test: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::simulated(seed)).await })
}

/// One life of the store: it works until something happens to it.
async fn live(world: &World, bench: &Bench, ledger: &Shared, most: Duration) {
    let process = world.scope("process");
    let Ok(store) = bench.open(&process).await else { return };
    if let Ok(reading) = store.load("").await {
        drop(reading);
        check(&store, &mut locked(ledger)).await;
    }
    let tasks: Vec<_> = (0..PRODUCERS)
        .map(|n| {
            let (store, disk) = (store.clone(), bench.disk.clone());
            process.spawn("producer", produce(process.clone(), store, disk, ledger.clone(), n))
        })
        .collect();
    let _ = world
        .timeout(most, async {
            for task in tasks {
                assert_eq!(task.await, Some(()), "a producer failed");
            }
        })
        .await;
    process.kill();
    // The killed tasks let go of the store when they are next looked at.
    world.sleep(Duration::from_millis(1)).await;
}

fn run(seed: u64, totals: &mut Ledger) -> u64 {
    println!("seed {seed}");
    let bench = Bench::new("cut", seed, |disk| Arc::new(disk));
    let ledger = Shared::default();
    let mut dice = Dice::new(seed ^ 0xdead);
    simulated(seed, async |world| {
        for _ in 0..5 {
            // Sometimes syncs and writes fail first, and the store goes on.
            for failure in [Failure::Sync, Failure::Sync, Failure::Write, Failure::Full] {
                if dice.below(3) == 0 {
                    bench.disk.fail(1 + dice.below(400), failure);
                }
            }
            match dice.below(3) {
                // Killed, the kernel lives on.
                0 => {
                    let most = Duration::from_millis(1 + dice.below(200));
                    live(&world, &bench, &ledger, most).await;
                    bench.disk.kill();
                }
                _ => {
                    bench.disk.fail(1 + dice.below(600), Failure::PowerCut);
                    live(&world, &bench, &ledger, Duration::from_secs(20)).await;
                    bench.disk.cut();
                }
            }
        }
        // At last it is all there on a healthy disk.
        let store = bench.open(&world).await.expect("opened");
        check(&store, &mut locked(&ledger)).await;
        store.close().await.expect("closed");
    });
    bench.integrity();
    let ledger = locked(&ledger);
    totals.commits += ledger.commits;
    totals.unknowns += ledger.unknowns;
    totals.refusals += ledger.refusals;
    // The VFS stays registered; what it holds need not.
    bench.disk.forget();
    bench.disk.operations()
}

/// A sync fails and the process is killed at once: the kernel shows a WAL that the platters do not hold.
/// The next process opens the store and commits, and the power is cut somewhere there. Whether anything was
/// lost; `None` when the disk did not lie this time.
fn lied_to(name: &str, seed: u64, files: impl Fn(Disk) -> Arc<dyn Files>) -> Option<bool> {
    let bench = Bench::new(name, seed, files);
    let ledger = Shared::default();
    let mut dice = Dice::new(seed ^ 0xbeef);
    let lied = simulated(seed, async |world| {
        live(&world, &bench, &ledger, Duration::from_millis(60)).await;
        bench.disk.kill();
        bench.disk.die_of_a_sync_after(dice.below(10));
        live(&world, &bench, &ledger, Duration::from_millis(100 + dice.below(300))).await;
        bench.disk.kill();
        let lied = bench.disk.lies(&bench.wal());
        bench.disk.fail(1 + dice.below(100), Failure::PowerCut);
        live(&world, &bench, &ledger, Duration::from_millis(20 + dice.below(20))).await;
        bench.disk.cut();
        lied
    });
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        simulated(seed, async |world| {
            let store = bench.open(&world).await.expect("opened");
            check(&store, &mut locked(&ledger)).await;
        });
    }));
    lied.then_some(looked.is_err())
}

#[test]
fn a_kernel_that_lies_after_a_failed_sync_loses_nothing() {
    let lost: Vec<_> =
        (0..80).filter_map(|seed| lied_to("lie", seed, |disk| Arc::new(disk))).collect();
    assert!(lost.len() > 10, "the disk lied {} times only", lost.len());
    assert!(lost.iter().all(|lost| !lost), "{lost:?}");
}

/// The control: this is what [`Files::rewrite`] is for, and these tests would see it missing.
#[test]
fn without_rewriting_it_would_lose() {
    struct Trusting(Disk);
    impl Files for Trusting {
        fn rewrite(&self, _: &std::path::Path) -> std::io::Result<()> {
            Ok(())
        }
        fn sync_name(&self, path: &std::path::Path) -> std::io::Result<()> {
            self.0.sync_name(path)
        }
    }
    let lost = |seed: u64| lied_to("trust", seed, |disk| Arc::new(Trusting(disk))) == Some(true);
    assert!((0..80).any(lost), "nothing was lost");
}

#[test]
fn one_seed_one_run() {
    let run = |seed| {
        let mut totals = Ledger::default();
        (run(seed, &mut totals), totals.commits, totals.unknowns, totals.refusals)
    };
    let seed = 1_000_000;
    assert_eq!(run(seed), run(seed));
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn seeds() -> u64 {
    std::env::var("EVERSTACK_POWER_CUTS").map_or(150, |seeds| seeds.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost() {
    let mut totals = Ledger::default();
    // 361: the disk was full when WAL was turned on, and SQLite went on without.
    for seed in (0..seeds()).chain([361]) {
        run(seed, &mut totals);
    }
    let Ledger { commits, unknowns, refusals, .. } = totals;
    println!("{commits} commits, {unknowns} unknown, {refusals} refused");
    assert!(commits > 1_000 && unknowns > 20 && refusals > 20, "the faults did not happen");
}
