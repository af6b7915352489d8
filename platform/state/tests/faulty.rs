//! The faulty store: calm it is a store like any other; its faults are what they say.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base::{Kind, Revision, World};
use bytes::Bytes;
use state::{
    Condition, Key, Outcome, Store, Transaction, WatchEnd, Write,
    backend::MemoryStore,
    conformance,
    faulty::{At, Fault, FaultyStore, Rates},
};

fn simulated<T>(seed: u64, test: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::simulated(seed)).await })
}

fn faulty(world: &World) -> FaultyStore {
    FaultyStore::new(world.clone(), Arc::new(MemoryStore::new(world.clone())))
}

fn put(label: &'static str, key: &str, value: &str) -> Transaction {
    let (key, value) = (Key::from(key), Bytes::copy_from_slice(value.as_bytes()));
    Transaction { label, conditions: vec![], writes: vec![Write::Put { key, value, lease: None }] }
}

async fn there(store: &FaultyStore, key: &str) -> bool {
    store.get(&[key.into()]).await.expect("readable").items[0].is_some()
}

#[test]
fn calm_it_conforms() {
    for seed in 0..3 {
        println!("seed {seed}");
        simulated(seed, async |world| {
            let store: Arc<dyn Store> = Arc::new(faulty(&world));
            conformance::run_all(&world, async || store.clone()).await;
        });
    }
}

#[test]
fn scripted_faults_are_what_they_say() {
    simulated(1, async |world| {
        let store = faulty(&world);
        let late = Duration::from_secs(1);
        store.script(At::Nth(2), Fault::Refused);
        store.script(At::Labeled("b", 1), Fault::UnknownBefore);
        store.script(At::Labeled("b", 2), Fault::UnknownAfter);
        store.script(At::Labeled("b", 3), Fault::UnknownLate(late));
        store.script(At::Every("c"), Fault::Delayed(Duration::from_secs(5)));

        assert!(matches!(store.commit(&put("a", "/1", "x")).await, Ok(Outcome::Done(_))));
        let refused = store.commit(&put("a", "/2", "x")).await;
        assert_eq!(refused.expect_err("refused").kind(), Kind::Unavailable);
        assert!(!there(&store, "/2").await);
        for (key, done) in [("/3", false), ("/4", true), ("/5", false)] {
            let outcome = store.commit(&put("b", key, "x")).await;
            assert!(matches!(outcome, Ok(Outcome::Unknown(_))), "{outcome:?}");
            assert_eq!(there(&store, key).await, done, "{key}");
        }
        world.sleep(late).await;
        assert!(there(&store, "/5").await, "the late one came");
        for key in ["/6", "/7"] {
            let before = world.now();
            assert!(matches!(store.commit(&put("c", key, "x")).await, Ok(Outcome::Done(_))));
            assert!(world.now().since(before) >= Duration::from_secs(5));
        }
        let b = store.count("b");
        assert_eq!((b.asked, b.done, b.unknown, b.conflicts), (3, 2, 3, 0));
        assert_eq!(store.commits(), 7);
        let absent = Condition::Absent { key: "/1".into() };
        let conflict = Transaction { conditions: vec![absent], ..put("a", "/1", "y") };
        assert_eq!(store.commit(&conflict).await.expect("asked"), Outcome::Conflict);
        assert_eq!(store.count("a").conflicts, 1);
    });
}

#[test]
fn a_crash_kills_its_process_only() {
    for (fault, done) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true)] {
        simulated(1, async |world| {
            let store = faulty(&world);
            let (one, two) = (world.scope("one"), world.scope("two"));
            store.script(At::Labeled("a", 2), fault);
            let asks = |process: &World, name: &'static str| {
                let store = store.process(process);
                process.spawn("asks", async move {
                    for n in 0..5 {
                        let _ = store.commit(&put("a", &format!("/{name}/{n}"), "x")).await;
                    }
                })
            };
            assert_eq!(asks(&one, "one").await, None, "killed");
            assert!(one.killed() && !two.killed());
            assert_eq!(there(&store, "/one/1").await, done);
            assert!(!there(&store, "/one/2").await);
            assert_eq!(asks(&two, "two").await, Some(()));
            assert!(there(&store, "/two/4").await);
        });
    }
}

#[test]
fn a_hook_sees_each_commit() {
    simulated(1, async |world| {
        let store = faulty(&world);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        store.hook(move |sight| {
            let mut notes = notes.lock().expect("unpoisoned");
            notes.push((sight.transaction.label, sight.number, sight.of_label));
            (sight.number == 2).then_some(Fault::UnknownBefore)
        });
        for label in ["a", "b", "a"] {
            let _ = store.commit(&put(label, "/k", "x")).await;
        }
        assert_eq!(*seen.lock().expect("unpoisoned"), [("a", 1, 1), ("b", 2, 1), ("a", 3, 2)]);
        assert_eq!(store.count("b").unknown, 1);
    });
}

#[test]
fn watches_are_stalled_cut_and_compacted() {
    simulated(1, async |world| {
        let store = faulty(&world);
        let patience = Duration::from_secs(10);
        let mut watch = store.watch(Revision(0)).await.expect("watched");
        store.stall_watches(true);
        store.commit(&put("a", "/k", "x")).await.expect("asked");
        assert!(world.timeout(patience, watch.next()).await.is_err(), "stalled");
        store.stall_watches(false);
        assert_eq!(watch.next().await.expect("shown").revision, Revision(1));

        let mut other = store.watch(Revision(1)).await.expect("watched");
        store.cut_watches();
        for watch in [&mut watch, &mut other] {
            assert!(matches!(watch.next().await, Err(WatchEnd::Lost(_))));
            assert!(matches!(watch.next().await, Err(WatchEnd::Lost(_))), "it stays so");
        }
        let mut watch = store.watch(Revision(1)).await.expect("watched");
        store.compact_watches();
        assert_eq!(watch.next().await, Err(WatchEnd::Compacted));

        store.down(true);
        assert!(store.revision().await.is_err() && store.watch(Revision(1)).await.is_err());
        assert!(store.commit(&put("a", "/k", "x")).await.is_err());
        store.calm();
        assert_eq!(store.revision().await.expect("asked"), Revision(1));
    });
}

/// Writers that look after "unknown" and before they try again get each of their writes in exactly
/// once, and a watcher that starts anew when it is told to sees them all.
#[test]
fn on_a_bad_day_nothing_is_lost_or_doubled() {
    let run = |seed| {
        simulated(seed, async |world| {
            let store = faulty(&world);
            store.rates(Rates::BAD);
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let store = store.clone();
                    world.spawn("writer", async move {
                        for n in 0..25 {
                            let key = Key::from(format!("/{writer}/{n:02}"));
                            let transaction = Transaction {
                                conditions: vec![Condition::Absent { key: key.clone() }],
                                ..put("add", &key, "x")
                            };
                            // A conflict says that an earlier "unknown" was done.
                            while !matches!(
                                store.commit(&transaction).await,
                                Ok(Outcome::Done(_) | Outcome::Conflict)
                            ) {}
                        }
                    })
                })
                .collect();
            for writer in writers {
                assert_eq!(writer.await, Some(()));
            }
            store.calm();
            let reading = store.load("/").await.expect("loaded");
            assert_eq!((reading.items.len(), reading.revision), (100, Revision(100)));
            let count = store.count("add");
            assert!(count.unknown > 0 && count.asked > 100, "faults happened: {count:?}");
            world.trace_hash()
        })
    };
    let first = run(3);
    assert_eq!(run(3), first, "one seed, one trace");
    assert_ne!(run(4), first);
}
