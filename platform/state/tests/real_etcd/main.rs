//! The store in a real etcd: the suite that all stores pass, and what happens when members and
//! connections fail. Started by `cargo xtask test`, in a network and process space of its own.

#![expect(clippy::print_stdout, reason = "it says how much it did")]

mod cluster;
mod proxy;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use base::{Kind, Revision, Set, World};
use bytes::Bytes;
use cluster::Cluster;
use proxy::{Mode, Proxy};
use state::{
    Change, Condition, Key, Outcome, Store, Transaction, Watch, WatchEnd, Write,
    backend::{
        EtcdStore,
        etcd::{Options, Tls},
    },
    conformance,
};

fn run<T>(test: impl AsyncFnOnce(World) -> T) -> T {
    assert!(
        std::env::var_os("EVERSTACK_REAL").is_some(),
        "This test starts real etcd members: run it by `cargo xtask test`."
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::real()).await })
}

fn put(key: &str, value: &str) -> Write {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Write::Put { key: key.into(), value, lease: None }
}

fn make(key: &str, value: &str) -> Transaction {
    let conditions = vec![Condition::Absent { key: key.into() }];
    Transaction { label: "make", conditions, writes: vec![put(key, value)] }
}

async fn done(store: &EtcdStore, writes: Vec<Write>) -> Revision {
    let transaction = Transaction { label: "test", conditions: vec![], writes };
    match store.commit(&transaction).await {
        Ok(Outcome::Done(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn conforms_with_one_member() {
    run(async |world| {
        let cluster = Cluster::start(1, false);
        let store: Arc<dyn Store> = Arc::new(cluster.store(&world).await);
        conformance::run_all(&world, async || store.clone()).await;
    });
}

#[test]
fn conforms_with_three_members_and_tls() {
    run(async |world| {
        let cluster = Cluster::start(3, true);
        let store: Arc<dyn Store> = Arc::new(cluster.store(&world).await);
        conformance::run_all(&world, async || store.clone()).await;
    });
}

/// What one member has acknowledged is there at once at every other.
#[test]
fn members_agree_at_once() {
    run(async |world| {
        let cluster = Cluster::start(3, false);
        cluster.healthy(&world).await;
        let mut stores = Vec::new();
        for n in 0..3 {
            let options = Options::new([cluster.endpoint(n)]);
            stores.push(cluster.store_with(&world, options).await);
        }
        for n in 0..300 {
            let (writer, reader) = (&stores[n % 3], &stores[(n + 1 + n / 3 % 2) % 3]);
            let revision = done(writer, vec![put("/k", &n.to_string())]).await;
            assert!(reader.revision().await.expect("asked") >= revision);
            let reading = reader.get(&["/k".into()]).await.expect("read");
            let item = reading.items[0].as_ref().expect("there");
            assert_eq!(item.value, n.to_string());
            assert!(reading.revision >= revision);
        }
    });
}

#[test]
fn it_is_ours_alone() {
    run(async |world| {
        let cluster = Cluster::start(1, false);
        // Several that start at once on an empty one agree.
        let (one, two, three) =
            tokio::join!(cluster.store(&world), cluster.store(&world), cluster.store(&world));
        let start = one.revision().await.expect("asked");
        assert_eq!(start, Revision(2), "claimed once");
        done(&two, vec![put("/a", "1")]).await;
        assert_eq!(three.load("").await.expect("loaded").items.len(), 1, "no marker among ours");

        // Somebody else writes all the same: no watch waits for a revision that it is not shown.
        let raw = |arguments: &[&str]| {
            let status = std::process::Command::new("etcdctl")
                .env("ETCDCTL_API", "3")
                .args(["--endpoints", &cluster.endpoint(0)])
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .status();
            assert!(status.expect("etcdctl is installed").success());
        };
        let mut watch = one.watch(start).await.expect("a watch");
        raw(&["put", "foreign", "x"]);
        raw(&["put", "foreign", "y"]);
        let last = done(&one, vec![put("/b", "1")]).await;
        assert_eq!(last.0, start.0 + 4);
        let mut shown = Vec::new();
        for revision in start.0 + 1..=last.0 {
            let batch = watch.next().await.expect("shown");
            assert_eq!(batch.revision, Revision(revision));
            shown.push(batch.changes.len());
        }
        assert_eq!(shown, [1, 0, 0, 1]);
        assert_eq!(three.load("").await.expect("loaded").items.len(), 2);

        raw(&["put", "!everstack", "everstack store, format 9"]);
        let error = EtcdStore::open(world.clone(), cluster.options()).await.err();
        let error = error.expect("refused");
        assert!(error.message().contains("format 9"), "{error}");
        raw(&["del", "!everstack"]);
        let error = EtcdStore::open(world.clone(), cluster.options()).await.err();
        let error = error.expect("refused");
        assert!(error.message().contains("3 keys of some other program"), "{error}");
    });
}

#[test]
fn wrong_options_are_named() {
    run(async |world| {
        let cluster = Cluster::start(1, true);
        cluster.healthy(&world).await;
        let error = async |options: Options| {
            let opened = EtcdStore::open(world.clone(), options).await;
            opened.err().expect("refused")
        };
        let https = cluster.endpoint(0);
        let http = https.replace("https", "http");
        let tls = cluster.tls();
        let plain = error(Options { tls: tls.clone(), ..Options::new([&http]) }).await;
        assert!(plain.message().contains("https://"), "{plain}");
        let no_ca = error(Options::new([&https])).await;
        assert!(no_ca.message().contains("CA"), "{no_ca}");
        assert_eq!(error(Options::new(["127.0.0.1:2379"])).await.kind(), Kind::BadRequest);
        assert_eq!(error(Options::new(Vec::<String>::new())).await.kind(), Kind::BadRequest);
        // etcd wants a certificate of ours, signed by its CA.
        let tls = tls.expect("TLS");
        let nameless = Some(Tls { identity: None, ..tls.clone() });
        let nameless = error(Options { tls: nameless, ..Options::new([&https]) }).await;
        assert_eq!(nameless.kind(), Kind::Unavailable);
        // And we check its certificate against our CA.
        let other = Cluster::start(1, true);
        let foreign = Some(Tls { ca: other.tls().expect("TLS").ca, ..tls });
        let foreign = error(Options { tls: foreign, ..Options::new([&https]) }).await;
        assert!(foreign.message().contains("certificate"), "{foreign}");
        // A plain client at a TLS port.
        let plain = error(Options::new([&http])).await;
        assert_eq!(plain.kind(), Kind::Unavailable);
    });
}

/// Asks until it is answered: a refusal is allowed while a connection comes about, and only then.
async fn until_answered<T>(world: &World, ask: impl AsyncFn() -> base::Result<T>) -> T {
    for _ in 0..200 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error:?}"),
        }
        world.sleep(Duration::from_millis(50)).await;
    }
    panic!("never answered");
}

#[test]
fn a_lost_answer_is_unknown_and_never_asked_again() {
    run(async |world| {
        let cluster = Cluster::start(1, false);
        let direct = cluster.store(&world).await;
        let proxy = Proxy::start(&world, cluster.port(0)).await;
        let options = Options::new([format!("http://{}", proxy.address)]);
        let store = cluster.store_with(&world, options).await;
        let mut cuts = 0;
        for round in 0..6 {
            for mode in [Mode::CutQuestion, Mode::CutAnswer, Mode::Swallow] {
                if mode == Mode::Swallow && round > 0 {
                    continue; // It takes a whole deadline.
                }
                // The connection is there, and idle.
                let before = store.revision().await.expect("asked");
                proxy.next(mode);
                // Without a condition: each time that it is carried out makes a revision.
                let writes = vec![put("/k", &format!("{round} {mode:?}"))];
                let transaction = Transaction { label: "test", conditions: vec![], writes };
                let outcome = store.commit(&transaction).await.expect("an outcome");
                assert!(matches!(outcome, Outcome::Unknown(_)), "{mode:?}: {outcome:?}");
                cuts += 1;
                assert_eq!(proxy.cuts(), cuts);
                let after = direct.revision().await.expect("asked");
                let expected = before.0 + u64::from(mode == Mode::CutAnswer);
                assert_eq!(after.0, expected, "{mode:?}: carried out once or not at all");
            }
        }
        // A reading whose answer is lost is asked again; while the connection is made anew it may be
        // refused, never wrong.
        for mode in [Mode::CutQuestion, Mode::CutAnswer, Mode::Swallow] {
            proxy.next(mode);
            until_answered(&world, async || store.revision().await).await;
            proxy.next(mode);
            let all = until_answered(&world, async || store.load("").await).await;
            assert_eq!(all.items.len(), 1);
            proxy.next(mode);
            let one = until_answered(&world, async || store.get(&["/k".into()]).await).await;
            assert!(one.items[0].is_some());
        }
        // A watch that is cut says so, and goes on where it was.
        let start = until_answered(&world, async || store.revision().await).await;
        let mut watch = store.watch(start).await.expect("a watch");
        done(&direct, vec![put("/k", "1")]).await;
        assert_eq!(watch.next().await.expect("shown").revision.0, start.0 + 1);
        proxy.next(Mode::CutQuestion);
        until_answered(&world, async || store.revision().await).await;
        assert!(matches!(watch.next().await, Err(WatchEnd::Lost(_))));
        let mut watch = store.watch(Revision(start.0 + 1)).await.expect("a watch");
        done(&direct, vec![put("/k", "2")]).await;
        assert_eq!(watch.next().await.expect("shown").revision.0, start.0 + 2);
    });
}

/// Makes keys one after the other; after an unknown outcome it looks, by trying the same again: its
/// condition holds only if it was not done.
async fn make_keys(world: World, store: EtcdStore, writer: u64, facts: Arc<Facts>) -> u64 {
    let mut made = 0;
    while !facts.stop.load(Ordering::SeqCst) {
        let transaction = make(&format!("/{writer}/{made:06}"), "x");
        let mut unknown = false;
        loop {
            match store.commit(&transaction).await {
                Ok(Outcome::Done(revision)) => {
                    facts.newest.fetch_max(revision.0, Ordering::SeqCst);
                    break;
                }
                Ok(Outcome::Conflict) => {
                    assert!(unknown, "{writer}/{made}: a commit was carried out twice");
                    break;
                }
                Ok(Outcome::Unknown(_)) => {
                    unknown = true;
                    facts.unknowns.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
                    facts.refusals.fetch_add(1, Ordering::SeqCst);
                    world.sleep(Duration::from_millis(20)).await;
                }
            }
        }
        made += 1;
        facts.made.fetch_add(1, Ordering::SeqCst);
    }
    made
}

/// What writers, readers and watchers tell each other.
#[derive(Default)]
struct Facts {
    stop: AtomicBool,
    /// The newest revision acknowledged to anybody.
    newest: AtomicU64,
    made: AtomicU64,
    unknowns: AtomicU64,
    refusals: AtomicU64,
    probes: AtomicU64,
}

/// Asks for revisions: each must be as new as what was acknowledged before it was asked.
async fn probe(world: World, store: EtcdStore, facts: Arc<Facts>) {
    while !facts.stop.load(Ordering::SeqCst) {
        let acknowledged = facts.newest.load(Ordering::SeqCst);
        match store.revision().await {
            Ok(revision) => {
                assert!(revision.0 >= acknowledged, "{revision} is older than {acknowledged}");
                facts.probes.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error:?}"),
        }
        world.sleep(Duration::from_millis(1)).await;
    }
}

/// Follows from `start` to the end, and gives the keys that it was shown.
async fn follow(
    world: World,
    store: EtcdStore,
    start: Revision,
    end: impl Fn() -> Option<u64>,
) -> Set<Key> {
    let mut last = start;
    let mut keys = Set::new();
    let mut watch: Option<Box<dyn Watch>> = None;
    while end().is_none_or(|end| last.0 < end) {
        let Some(open) = &mut watch else {
            match store.watch(last).await {
                Ok(opened) => watch = Some(opened),
                Err(_) => world.sleep(Duration::from_millis(50)).await,
            }
            continue;
        };
        match world.timeout(Duration::from_millis(500), open.next()).await {
            Ok(Ok(batch)) => {
                assert_eq!(batch.revision.0, last.0 + 1, "the watch left out some");
                last = batch.revision;
                for change in batch.changes {
                    match change {
                        Change::Put(item) => assert!(keys.insert(item.key), "shown twice"),
                        Change::Deleted(key) => panic!("{key} was not deleted"),
                    }
                }
            }
            Ok(Err(WatchEnd::Lost(_))) => watch = None,
            Ok(Err(WatchEnd::Compacted)) => panic!("nothing was compacted"),
            Err(_) => {}
        }
    }
    keys
}

/// Writers, readers and watchers through all members while `trouble` makes some.
async fn under(tls: bool, world: World, trouble: impl AsyncFnOnce(&World, &mut Cluster, &Facts)) {
    let mut cluster = Cluster::start(3, tls);
    cluster.healthy(&world).await;
    let first = cluster.store(&world).await;
    let start = first.revision().await.expect("asked");
    let facts = Arc::new(Facts::default());
    let (mut writers, mut others) = (Vec::new(), Vec::new());
    let end = Arc::new(AtomicU64::new(0));
    let mut watchers = Vec::new();
    for n in 0..4 {
        // Each as a controller of its own, with connections of its own.
        let store = cluster.store(&world).await;
        let work = make_keys(world.clone(), store.clone(), n, facts.clone());
        writers.push(world.spawn("writer", work));
        others.push(world.spawn("probe", probe(world.clone(), store.clone(), facts.clone())));
        if n < 2 {
            let end = end.clone();
            let end = move || Some(end.load(Ordering::SeqCst)).filter(|end| *end > 0);
            watchers.push(world.spawn("watch", follow(world.clone(), store, start, end)));
        }
    }
    trouble(&world, &mut cluster, &facts).await;
    progress(&world, &facts, 50).await;
    facts.stop.store(true, Ordering::SeqCst);
    let mut made = Set::new();
    for (n, writer) in writers.into_iter().enumerate() {
        let count = writer.await.expect("a writer");
        made.extend((0..count).map(|number| Key::from(format!("/{n}/{number:06}"))));
    }
    for other in others {
        other.await.expect("a probe");
    }
    let reading = first.load("").await.expect("loaded");
    let there: Set<_> = reading.items.iter().map(|item| item.key.clone()).collect();
    assert_eq!(there, made, "all that was acknowledged, and nothing else");
    let revisions = reading.revision.0 - start.0;
    assert_eq!(revisions, made.len() as u64, "each was carried out once");
    end.store(reading.revision.0, Ordering::SeqCst);
    for watcher in watchers {
        assert_eq!(watcher.await.expect("a watcher"), made, "the watch showed them all");
    }
    println!(
        "{} commits, {} unknown, {} refused, {} probes",
        made.len(),
        facts.unknowns.load(Ordering::SeqCst),
        facts.refusals.load(Ordering::SeqCst),
        facts.probes.load(Ordering::SeqCst)
    );
}

/// Waits until so many more commits are done.
async fn progress(world: &World, facts: &Facts, count: u64) {
    let made = || facts.made.load(Ordering::SeqCst);
    let (target, started) = (made() + count, world.now());
    while made() < target {
        assert!(world.now().since(started) < Duration::from_secs(60), "nothing goes on");
        world.sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn members_are_killed() {
    run(async |world| {
        under(true, world, async |world, cluster, facts| {
            for n in [0, 1, 2, 0] {
                progress(world, facts, 100).await;
                cluster.kill(n);
                progress(world, facts, 100).await;
                cluster.restart(n);
                cluster.healthy(world).await;
            }
        })
        .await;
    });
}

#[test]
fn leaders_are_killed_and_stopped() {
    run(async |world| {
        under(false, world, async |world, cluster, facts| {
            for round in 0..4 {
                progress(world, facts, 100).await;
                let leader = cluster.leader().expect("a leader");
                if round % 2 == 0 {
                    cluster.kill(leader);
                    progress(world, facts, 100).await;
                    cluster.restart(leader);
                } else {
                    cluster.stop(leader);
                    progress(world, facts, 100).await;
                    cluster.go_on(leader);
                }
                cluster.healthy(world).await;
            }
        })
        .await;
    });
}

#[test]
fn without_a_quorum_nothing_is_answered() {
    run(async |world| {
        let mut cluster = Cluster::start(3, false);
        cluster.healthy(&world).await;
        let store = cluster.store(&world).await;
        let before = done(&store, vec![put("/a", "1")]).await;
        cluster.kill(0);
        cluster.stop(1);
        let transaction = make("/b", "x");
        for _ in 0..2 {
            let asked = world.now();
            let revision = store.revision().await;
            assert_eq!(revision.expect_err("no quorum").kind(), Kind::Unavailable);
            assert!(store.get(&["/a".into()]).await.is_err());
            match store.commit(&transaction).await {
                Ok(Outcome::Unknown(_)) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Unavailable),
                other => panic!("{other:?}"),
            }
            assert!(world.now().since(asked) < Duration::from_secs(60), "within a bounded time");
        }
        cluster.go_on(1);
        cluster.restart(0);
        cluster.healthy(&world).await;
        // An unknown commit may have been carried out; its condition tells.
        let outcome = store.commit(&transaction).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Done(_) | Outcome::Conflict), "{outcome:?}");
        let reading = store.load("").await.expect("loaded");
        assert_eq!(reading.items.len(), 2);
        assert_eq!(reading.revision.0, before.0 + 1);
    });
}

/// A lease may end early; what must not happen is that its keys stay and nobody knows.
#[test]
fn leases_end_whoever_leads() {
    run(async |world| {
        let mut cluster = Cluster::start(3, false);
        cluster.healthy(&world).await;
        let store = cluster.store(&world).await;
        let lease = store.grant(Duration::from_secs(3)).await.expect("granted");
        let value = Bytes::from_static(b"x");
        let write = Write::Put { key: "/session".into(), value, lease: Some(lease) };
        let put = done(&store, vec![write]).await;
        let leader = cluster.leader().expect("a leader");
        cluster.kill(leader);
        let mut last = put;
        let started = world.now();
        'gone: loop {
            assert!(world.now().since(started) < Duration::from_secs(60), "the lease lasts on");
            let Ok(mut watch) = store.watch(last).await else { continue };
            while let Ok(batch) = watch.next().await {
                last = batch.revision;
                if batch.changes == [Change::Deleted("/session".into())] {
                    break 'gone;
                }
            }
        }
        assert!(!store.renew(lease).await.expect("asked"));
        assert!(store.load("").await.expect("loaded").items.is_empty());
    });
}
