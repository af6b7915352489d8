//! The embedded store under `kill -9`: a child commits as fast as it can and tells what was
//! acknowledged; it is killed at a random moment, again and again on the same directory. Nothing
//! acknowledged is lost, nothing is half there, nothing is done twice, log and keys agree.
//!
//! `EVERSTACK_KILLS=1000` kills more often.

#![expect(clippy::print_stdout, reason = "a child tells its parent what it wrote")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use base::{Map, Revision, Set, World};
use bytes::Bytes;
use state::{
    Change, Condition, Item, Key, Outcome, Store, Transaction, WatchEnd, Write,
    backend::{EmbeddedStore, embedded::Options},
};

const PRODUCERS: u64 = 5;
/// Each commit writes its number into so many keys of its producer.
const PARTS: u64 = 4;
/// And keeps a trail of so many.
const TRAIL: u64 = 5;

#[expect(clippy::disallowed_methods, reason = "a test's own switch, and how it tells its child")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn open(dir: &Path) -> EmbeddedStore {
    // Little history, so that it is trimmed all the time.
    let options = Options { keep_revisions: 300, ..Options::default() };
    EmbeddedStore::open_with(World::real(), dir, options).await.expect("opened")
}

fn part(producer: u64, part: u64) -> Key {
    format!("/kill/{producer}/part-{part}").into()
}

fn trail(producer: u64, number: u64) -> Key {
    format!("/kill/{producer}/trail/{number:09}").into()
}

fn number(item: &Item) -> u64 {
    let text = std::str::from_utf8(&item.value).expect("text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Commits until it is killed. Each line that it prints was acknowledged before.
async fn produce(world: World, store: EmbeddedStore, producer: u64) {
    let found = store.get(&[part(producer, 0)]).await.expect("read").items.pop().flatten();
    let (mut count, mut modified) = found.map_or((0, None), |i| (number(&i), Some(i.modified)));
    loop {
        count += 1;
        let filling = match world.below(20) {
            0 => 200_000,
            1..5 => 6_000,
            _ => world.below(300),
        };
        let value = Bytes::from(format!("{count} {}", "x".repeat(filling as usize)));
        let mut writes: Vec<_> = (0..PARTS)
            .map(|n| Write::Put { key: part(producer, n), value: value.clone(), lease: None })
            .collect();
        let short = Bytes::from(count.to_string());
        writes.push(Write::Put { key: trail(producer, count), value: short, lease: None });
        if count > TRAIL {
            writes.push(Write::Delete { key: trail(producer, count - TRAIL) });
        }
        let key = part(producer, 0);
        let conditions = vec![match modified {
            Some(modified) => Condition::Unchanged { key, modified },
            None => Condition::Absent { key },
        }];
        let transaction = Transaction { label: "kill", conditions, writes };
        match store.commit(&transaction).await {
            Ok(Outcome::Done(revision)) => {
                modified = Some(revision);
                let line = format!("{producer} {count} {revision}\n");
                std::io::stdout().write_all(line.as_bytes()).expect("told");
            }
            other => panic!("producer {producer}: {other:?}"),
        }
    }
}

fn child(dir: &Path) {
    runtime().block_on(async {
        let store = open(dir).await;
        let world = World::real();
        let tasks: Vec<_> = (0..PRODUCERS)
            .map(|n| world.spawn("producer", produce(world.clone(), store.clone(), n)))
            .collect();
        println!("ready");
        for task in tasks {
            task.await;
        }
    });
}

/// Runs a child, kills it after `life`, and gives what it said was acknowledged.
fn run_and_kill(dir: &Path, life: Duration) -> Vec<[u64; 3]> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "nothing_acknowledged_is_lost", "--nocapture"])
        .env("EVERSTACK_KILL_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    // The test harness of the child says its own.
    let ready = lines.by_ref().any(|line| line.expect("read").ends_with("ready"));
    assert!(ready, "the child ended: {:?}", child.wait());

    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            for line in lines {
                // The last may be torn.
                let numbers: Vec<u64> = line
                    .expect("read")
                    .split(' ')
                    .map_while(|number| number.parse().ok())
                    .collect();
                acknowledged.extend(<[u64; 3]>::try_from(numbers));
            }
            acknowledged
        });
        let world = World::real();
        runtime().block_on(world.sleep(life));
        child.kill().expect("killed");
        let status = child.wait().expect("dead");
        assert_eq!(status.signal(), Some(9), "the child ended by itself: {status}");
        reader.join().expect("read")
    })
}

/// What was acknowledged so far, per producer: its last number. And the newest revision.
#[derive(Default)]
struct Acknowledged {
    counts: Map<u64, u64>,
    revision: u64,
}

async fn check(dir: &Path, acknowledged: &mut Acknowledged) {
    let store = open(dir).await;
    let reading = store.load("").await.expect("loaded");
    let revision = reading.revision;
    assert!(revision.0 >= acknowledged.revision, "{revision} < {}", acknowledged.revision);
    let items: Map<Key, Item> =
        reading.items.into_iter().map(|item| (item.key.clone(), item)).collect();
    let mut expected = Set::new();
    for producer in 0..PRODUCERS {
        let told = acknowledged.counts.get(&producer).copied().unwrap_or(0);
        let Some(first) = items.get(&part(producer, 0)) else {
            assert_eq!(told, 0, "producer {producer} lost everything");
            continue;
        };
        let count = number(first);
        // At most one more was under way.
        assert!((told..=told + 1).contains(&count), "{producer}: told {told}, found {count}");
        acknowledged.counts.insert(producer, count);
        for n in 0..PARTS {
            let item = &items[&part(producer, n)];
            assert_eq!((&item.value, item.modified), (&first.value, first.modified), "torn");
            expected.insert(part(producer, n));
        }
        expected
            .extend((count.saturating_sub(TRAIL - 1).max(1)..=count).map(|n| trail(producer, n)));
    }
    assert_eq!(items.keys().cloned().collect::<Set<_>>(), expected);
    agree(&store, revision, &items).await;
    acknowledged.revision = revision.0;
    store.close().await.expect("closed");
}

/// The log is whole, and its last word on each key is what is there.
async fn agree(store: &EmbeddedStore, revision: Revision, items: &Map<Key, Item>) {
    let mut after = Revision(revision.0.saturating_sub(100));
    let mut last: Map<Key, Change> = Map::new();
    let first = after;
    let mut watch = store.watch(after).await.expect("a watch");
    while after < revision {
        let batch = match watch.next().await {
            Ok(batch) => batch,
            Err(WatchEnd::Compacted) => panic!("at least 225 revisions are kept"),
            Err(end) => panic!("{end:?}"),
        };
        assert_eq!(batch.revision.0, after.0 + 1, "the log has a hole");
        after = batch.revision;
        last.extend(batch.changes.into_iter().map(|change| (change.key().clone(), change)));
    }
    for (key, change) in &last {
        match change {
            Change::Put(item) => assert_eq!(items.get(key), Some(item)),
            Change::Deleted(_) => assert!(!items.contains_key(key)),
        }
    }
    for item in items.values().filter(|item| item.modified > first) {
        assert!(last.contains_key(&item.key), "{} is not in the log", item.key);
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    if let Some(dir) = environment("EVERSTACK_KILL_DIR") {
        return child(&PathBuf::from(dir));
    }
    let kills = environment("EVERSTACK_KILLS").map_or(200, |count| count.parse().expect("a count"));
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::real();
    let mut acknowledged = Acknowledged::default();
    let mut told = 0;
    for kill in 0..kills {
        // Often within the first commits, sometimes after checkpoints.
        let life = world.jitter(Duration::from_millis(if kill % 4 == 0 { 120 } else { 25 }));
        let lines = run_and_kill(dir.path(), life);
        told += lines.len();
        for [producer, count, revision] in lines {
            let last = acknowledged.counts.entry(producer).or_default();
            *last = (*last).max(count);
            acknowledged.revision = acknowledged.revision.max(revision);
        }
        runtime().block_on(check(dir.path(), &mut acknowledged));
    }
    let database = rusqlite::Connection::open(dir.path().join("store.db")).expect("opened");
    let verdict: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(verdict, "ok");
    println!("{kills} kills, {told} commits acknowledged, revision {}", acknowledged.revision);
    assert!(told as u64 > kills, "the children were killed before they did anything");
}
