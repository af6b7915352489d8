//! The embedded store: conforms, survives a restart, keeps others out, is copied while it runs.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use base::{Kind, Revision, World};
use bytes::Bytes;
use state::{
    Batch, Change, Condition, Key, LeaseId, Outcome, Store, Transaction, WatchEnd, Write,
    backend::{EmbeddedStore, embedded::Options},
    conformance,
};

async fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(World::real(), dir).await.expect("opened")
}

fn put(key: &str, value: &str, lease: Option<LeaseId>) -> Write {
    Write::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), lease }
}

async fn commit(store: &EmbeddedStore, writes: Vec<Write>) -> Revision {
    let transaction = Transaction { label: "test", conditions: vec![], writes };
    match store.commit(&transaction).await {
        Ok(Outcome::Done(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

async fn batches(store: &EmbeddedStore, after: Revision) -> Result<Vec<Batch>, WatchEnd> {
    let newest = store.revision().await.expect("a revision");
    let mut watch = store.watch(after).await.expect("a watch");
    let mut batches = Vec::new();
    while after.0 + (batches.len() as u64) < newest.0 {
        batches.push(watch.next().await?);
    }
    Ok(batches)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_in_the_real_world() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    conformance::run_all(&World::real(), async || shared.clone()).await;
    store.close().await.expect("closed");
}

#[test]
fn conforms_whatever_the_order() {
    for seed in 0..2 {
        println!("seed {seed}");
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let world = World::simulated(seed);
            let store = EmbeddedStore::open(world.clone(), dir.path()).await.expect("opened");
            let store: Arc<dyn Store> = Arc::new(store);
            conformance::run_all(&world, async || store.clone()).await;
        });
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep/down");
    let store = open(&path).await;
    assert_eq!(fs::metadata(&path).expect("made").mode() & 0o777, 0o700);
    let short = store.grant(Duration::from_secs(1)).await.expect("granted");
    let long = store.grant(Duration::from_secs(600)).await.expect("granted");
    commit(&store, vec![put("/a", "1", None), put("/b", "1", None)]).await;
    commit(&store, vec![put("/short", "x", Some(short)), put("/long", "x", Some(long))]).await;
    commit(&store, vec![Write::Delete { key: "/a".into() }, put("/b", "2", None)]).await;
    store.compact(Revision(1)).await.expect("compacted");
    let before = store.load("").await.expect("loaded");
    let told = batches(&store, Revision(1)).await.expect("told");
    for entry in fs::read_dir(&path).expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("a file").mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    store.close().await.expect("closed");
    assert!(!path.join("store.db-wal").exists(), "closed cleanly");

    let store = open(&path).await;
    let after = store.load("").await.expect("loaded");
    assert_eq!((after.revision, &after.items), (before.revision, &before.items));
    assert_eq!(batches(&store, Revision(1)).await.expect("told"), told);
    assert_eq!(batches(&store, Revision(0)).await, Err(WatchEnd::Compacted));
    // Leases get their whole time again, then end.
    assert!(store.renew(long).await.expect("asked"));
    let mut watch = store.watch(before.revision).await.expect("a watch");
    let end = watch.next().await.expect("told");
    assert_eq!(end.changes, [Change::Deleted("/short".into())]);
    assert!(!store.renew(short).await.expect("asked"));
    let next = store.grant(Duration::from_secs(1)).await.expect("granted");
    assert!(next != short && next != long, "a lease's id is used once");
    store.close().await.expect("closed");
    let store = open(&path).await;
    assert!(!store.renew(short).await.expect("asked"), "ended for good");
    assert_eq!(store.revision().await.expect("asked"), end.revision);
}

#[tokio::test]
async fn one_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    commit(&store, vec![put("/a", "1", None)]).await;
    let error = EmbeddedStore::open(World::real(), dir.path()).await.err().expect("refused");
    assert_eq!(error.kind(), Kind::Conflict);
    let pid = format!("in use by process {}", std::process::id());
    assert!(error.message().contains(&pid), "{error}");

    let mut watch = store.watch(Revision(1)).await.expect("a watch");
    let other = store.clone();
    store.close().await.expect("closed");
    assert!(matches!(watch.next().await, Err(WatchEnd::Lost(_))));
    let transaction =
        Transaction { label: "test", conditions: vec![], writes: vec![put("/a", "2", None)] };
    assert_eq!(other.commit(&transaction).await.expect_err("closed").kind(), Kind::Unavailable);
    assert!(other.revision().await.is_err() && other.load("").await.is_err());
    assert!(other.get(&["/a".into()]).await.is_err() && other.watch(Revision(0)).await.is_err());
    assert!(other.grant(Duration::from_secs(1)).await.is_err() && other.close().await.is_err());

    // Closed when the last clone goes, too.
    let store = open(dir.path()).await;
    assert_eq!(store.revision().await.expect("asked"), Revision(1));
    drop(store.clone());
    drop(store);
    let world = World::real();
    while let Err(error) = EmbeddedStore::open(world.clone(), dir.path()).await {
        assert_eq!(error.kind(), Kind::Conflict);
        world.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_while_it_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("store")).await;
    let world = World::real();
    commit(&store, vec![put("/a", "0", None), put("/b", "0", None)]).await;
    let writer = world.spawn("writer", {
        let store = store.clone();
        async move {
            for n in 0..1_000 {
                let text = n.to_string();
                commit(&store, vec![put("/a", &text, None), put("/b", &text, None)]).await;
            }
        }
    });
    let mut copies = 0;
    while copies < 3 || !writer.is_finished() {
        let copy = dir.path().join(format!("copy-{copies}/store.db"));
        fs::create_dir(copy.parent().expect("a parent")).expect("made");
        let revision = store.backup(&copy).await.expect("copied");
        assert_eq!(fs::metadata(&copy).expect("made").mode() & 0o777, 0o600);
        let error = store.backup(&copy).await.expect_err("it is there");
        assert!(error.message().contains("there already"), "{error}");
        let copied = open(copy.parent().expect("a parent")).await;
        assert_eq!(copied.revision().await.expect("asked"), revision);
        let items = copied.load("/").await.expect("loaded").items;
        assert_eq!((items.len(), &items[0].value), (2, &items[1].value), "at one revision");
        assert_eq!(items[0].modified, revision);
        let told = batches(&copied, Revision(0)).await.expect("the history is copied too");
        assert_eq!(told.len() as u64, revision.0);
        // A copy is a store.
        commit(&copied, vec![put("/c", "x", None)]).await;
        copied.close().await.expect("closed");
        copies += 1;
    }
    assert_eq!(writer.await, Some(()));
}

#[tokio::test]
async fn a_database_of_others_is_not_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.db");
    let foreign = rusqlite::Connection::open(&path).expect("made");
    foreign.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)").expect("made");
    let error = EmbeddedStore::open(World::real(), dir.path()).await.err().expect("refused");
    assert!(error.message().contains("some other program"), "{error}");
    foreign.execute_batch("DROP TABLE t; PRAGMA user_version=0; VACUUM").expect("emptied");
    drop(foreign);
    open(dir.path()).await.close().await.expect("closed");

    let newer = rusqlite::Connection::open(&path).expect("opened");
    newer.execute_batch("PRAGMA user_version=7").expect("changed");
    drop(newer);
    let error = EmbeddedStore::open(World::real(), dir.path()).await.err().expect("refused");
    assert!(error.message().contains("format 7"), "{error}");
    fs::write(&path, "this is no database, but long enough to be taken for one".repeat(100))
        .expect("written");
    let error = EmbeddedStore::open(World::real(), dir.path()).await.err().expect("refused");
    assert!(error.message().contains("not a database"), "{error}");
}

#[tokio::test]
async fn history_is_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let by_revisions = Options { keep_revisions: 100, ..Options::default() };
    let by_bytes = Options { keep_bytes: 100_000, ..Options::default() };
    for (name, options) in [("revisions", by_revisions), ("bytes", by_bytes)] {
        let path = dir.path().join(name);
        let open = async || {
            let options = options.clone();
            EmbeddedStore::open_with(World::real(), &path, options).await.expect("opened")
        };
        let store = open().await;
        let mut watch = store.watch(Revision(0)).await.expect("a watch");
        for n in 0..700u64 {
            let writes = (0..3).map(|k| put(&format!("/{k}"), &"x".repeat(1_000), None)).collect();
            assert_eq!(commit(&store, writes).await.0, n + 1);
            // Who keeps up misses nothing.
            assert_eq!(watch.next().await.expect("told").revision.0, n + 1);
        }
        assert_eq!(batches(&store, Revision(0)).await, Err(WatchEnd::Compacted));
        assert_eq!(batches(&store, Revision(690)).await.expect("told").len(), 10);
        store.close().await.expect("closed");
        let store = open().await;
        assert_eq!(batches(&store, Revision(690)).await.expect("told").len(), 10);
        store.close().await.expect("closed");
        let database = rusqlite::Connection::open(path.join("store.db")).expect("opened");
        let read = |sql| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
        let rows = read("SELECT count(*) FROM log");
        assert!(rows > 30 && rows <= 303, "{name}: {rows} rows");
        let counted = read("SELECT log_bytes FROM meta");
        let real = read("SELECT sum(length(key) + coalesce(length(value), 0) + 32) FROM log");
        assert_eq!(counted, real, "{name}: what is counted is what is there");
        assert!(fs::metadata(path.join("store.db")).expect("a file").len() < 2_000_000);
    }
}

/// Conditions are judged with what stands before them in the same group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_a_row_of_transactions() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    let world = World::real();
    for round in 0..30u64 {
        let key = Key::from(format!("/round/{round}"));
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let (store, key) = (store.clone(), key.clone());
                world.spawn("racer", async move {
                    let transaction = Transaction {
                        label: "race",
                        conditions: vec![Condition::Absent { key: key.clone() }],
                        writes: vec![put(&key, &n.to_string(), None)],
                    };
                    store.commit(&transaction).await.expect("answered")
                })
            })
            .collect();
        let mut done = Vec::new();
        for task in tasks {
            match task.await.expect("an outcome") {
                Outcome::Done(revision) => done.push(revision),
                other => assert_eq!(other, Outcome::Conflict),
            }
        }
        assert_eq!(done, [Revision(round + 1)]);
    }
}
