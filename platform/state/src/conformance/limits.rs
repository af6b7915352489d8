//! The same limits everywhere, and large readings.

use bytes::Bytes;

use super::Bench;
use crate::store::{Condition, MAX_KEY, MAX_OPERATIONS, MAX_TRANSACTION, MAX_VALUE, Write};

fn put(bench: &Bench, name: &str, size: usize) -> Write {
    let value = Bytes::from(vec![b'v'; size]);
    Write::Put { key: bench.key(name), value, lease: None }
}

pub async fn values(bench: Bench) {
    bench.done(vec![], vec![put(&bench, "a", MAX_VALUE)]).await;
    let Some(item) = bench.item("a").await else { panic!("not there") };
    assert_eq!(item.value.len(), MAX_VALUE);
    bench.refused(vec![], vec![put(&bench, "b", MAX_VALUE + 1)]).await;
    bench.refused(vec![], vec![put(&bench, "c", 1), put(&bench, "b", MAX_VALUE + 1)]).await;
    assert_eq!(bench.load("").await.items.len(), 1);
    // Any bytes are a value.
    let value: Bytes = (0..=255).collect();
    let write = Write::Put { key: bench.key("bytes"), value: value.clone(), lease: None };
    bench.done(vec![], vec![write]).await;
    assert_eq!(bench.item("bytes").await.map(|item| item.value), Some(value));
}

pub async fn transactions(bench: Bench) {
    let keys = bench.key("a").len() + bench.key("b").len() + bench.key("c").len();
    let rest = MAX_TRANSACTION - keys - 2 * (MAX_VALUE - 1_000);
    let writes = |rest| {
        vec![
            put(&bench, "a", MAX_VALUE - 1_000),
            put(&bench, "b", MAX_VALUE - 1_000),
            put(&bench, "c", rest),
        ]
    };
    // Conditions do not count.
    let conditions: Vec<_> = (0..MAX_OPERATIONS)
        .map(|n| Condition::Empty { prefix: bench.key(&format!("{n:0>500}")) })
        .collect();
    bench.done(conditions.clone(), writes(rest)).await;
    bench.refused(conditions, writes(rest + 1)).await;
    assert_eq!(bench.item("c").await.map(|item| item.value.len()), Some(rest));
}

pub async fn operations(bench: Bench) {
    let writes = |count| (0..count).map(|n| put(&bench, &format!("k{n}"), 3)).collect::<Vec<_>>();
    let conditions =
        |count| (0..count).map(|n| bench.absent(&format!("no{n}"))).collect::<Vec<_>>();
    bench.done(conditions(MAX_OPERATIONS), writes(MAX_OPERATIONS)).await;
    bench.refused(conditions(MAX_OPERATIONS + 1), writes(1)).await;
    bench.refused(vec![], writes(MAX_OPERATIONS + 1)).await;
    bench.refused(conditions(1), vec![]).await;
    assert_eq!(bench.load("k").await.items.len(), MAX_OPERATIONS);
}

pub async fn keys(bench: Bench) {
    let before = bench.revision().await;
    bench.refused(vec![], vec![put(&bench, "a", 1), put(&bench, "a", 2)]).await;
    bench.refused(vec![], vec![put(&bench, "a", 1), bench.erase("a")]).await;
    let value = Bytes::from_static(b"x");
    for wrong in ["", "no-slash"] {
        let write = Write::Put { key: wrong.into(), value: value.clone(), lease: None };
        bench.refused(vec![], vec![write]).await;
    }
    let room = MAX_KEY - bench.key("").len();
    bench.refused(vec![], vec![put(&bench, &"k".repeat(room + 1), 1)]).await;
    assert_eq!(bench.revision().await, before);
    bench.done(vec![], vec![put(&bench, &"k".repeat(room), 1)]).await;
    assert!(bench.item(&"k".repeat(room)).await.is_some());
}

/// A load far above a message's usual limit of 4 MiB; the watch brings it too.
pub async fn big_load(bench: Bench) {
    let start = bench.revision().await;
    for n in 0..24 {
        bench.done(vec![], vec![put(&bench, &format!("k{n:02}"), MAX_VALUE - 17 * n)]).await;
    }
    let reading = bench.load("").await;
    let sizes: Vec<_> = reading.items.iter().map(|item| item.value.len()).collect();
    assert_eq!(sizes, (0..24).map(|n| MAX_VALUE - 17 * n).collect::<Vec<_>>());
    let names: Vec<_> = (0..24).map(|n| format!("k{n:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(bench.get(&names).await.items.into_iter().flatten().count(), 24);
    let mut watch = bench.watch(start).await;
    let batches = bench.batches(&mut watch, start, reading.revision).await;
    assert_eq!(batches.len(), 24);
}

/// More keys than a transaction has operations, read at one revision while they change.
pub async fn many_keys_at_once(bench: Bench) {
    const KEYS: usize = 300;
    let names: Vec<_> = (0..KEYS).map(|n| format!("k{n:03}")).collect();
    for chunk in names.chunks(MAX_OPERATIONS) {
        bench.done(vec![], chunk.iter().map(|name| bench.write(name, "0")).collect()).await;
    }
    // The first and the last always change together.
    let writer = bench.world.spawn("conformance", {
        let (bench, names) = (bench.clone(), names.clone());
        async move {
            for n in 1..100 {
                bench.world.breathe().await;
                let both = [&names[0], &names[KEYS - 1]];
                let writes = both.map(|name| bench.write(name, &n.to_string())).to_vec();
                bench.done(vec![], writes).await;
            }
        }
    });
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    while !writer.is_finished() {
        bench.world.breathe().await;
        let reading = bench.get(&names).await;
        let items: Vec<_> = reading.items.iter().flatten().collect();
        assert_eq!(items.len(), KEYS);
        assert_eq!(items[0].value, items[KEYS - 1].value, "at one revision");
        assert!(items.iter().all(|item| item.modified <= reading.revision));
    }
    assert_eq!(writer.await, Some(()));
    assert!(bench.get(&[]).await.items.is_empty());
}

/// A cold start over some thousands of keys of several tables, at one revision while they change.
pub async fn many_keys_loaded(bench: Bench) {
    const TABLES: usize = 5;
    const EACH: usize = 2_048;
    let name = |table: usize, n: usize| format!("t{table}/{:02x}/{n:04}", n * 7 % 256);
    let keys: Vec<_> = (0..TABLES).flat_map(|t| (0..EACH).map(move |n| name(t, n))).collect();
    for chunk in keys.chunks(MAX_OPERATIONS) {
        bench.done(vec![], chunk.iter().map(|name| bench.write(name, "0")).collect()).await;
    }
    let writer = bench.world.spawn("conformance", {
        let bench = bench.clone();
        async move {
            for n in 1..100 {
                bench.world.breathe().await;
                let both = [name(0, 0), name(TABLES - 1, EACH - 1)];
                let writes = both.map(|name| bench.write(&name, &n.to_string())).to_vec();
                bench.done(vec![], writes).await;
            }
        }
    });
    let mut loads = 0;
    while loads == 0 || !writer.is_finished() {
        bench.world.breathe().await;
        let reading = bench.load("").await;
        let items = &reading.items;
        assert_eq!(items.len(), TABLES * EACH);
        assert!(items.windows(2).all(|pair| pair[0].key < pair[1].key), "in key order, once");
        let changed: Vec<_> = items.iter().filter(|item| &item.value[..] != b"0").collect();
        assert!(changed.is_empty() || changed.len() == 2, "a torn load");
        assert!(changed.windows(2).all(|pair| pair[0].value == pair[1].value), "a torn load");
        loads += 1;
    }
    assert_eq!(writer.await, Some(()));
    assert_eq!(bench.load("t2/").await.items.len(), EACH);
}
