//! Watches: whole revisions, in order, none left out; resumed, compacted, dropped, flooded.

use std::time::Duration;

use base::Revision;
use bytes::Bytes;

use super::{Bench, model::Model, text};
use crate::store::{Batch, Change, WatchEnd, Write};

pub async fn whole_revisions(bench: Bench) {
    let start = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let early = bench.batches(&mut watch, start, start).await;
    assert!(early.is_empty());
    bench
        .at_once(4, |bench, n| {
            Box::pin(async move {
                for round in 0..25 {
                    bench.world.breathe().await;
                    let writes: Vec<Write> = (0..10)
                        .map(|k| match (k + round) % 5 {
                            0 => bench.erase(&format!("{n}/{k}")),
                            _ => bench.write(&format!("{n}/{k}"), &format!("{n} {round}")),
                        })
                        .collect();
                    bench.done(vec![], writes).await;
                }
            })
        })
        .await;
    let end = bench.revision().await;
    let mut model = Model::default();
    for batch in bench.batches(&mut watch, start, end).await {
        assert!(batch.changes.len() >= 8, "a whole transaction: {batch:?}");
        let mut keys: Vec<_> = batch.changes.iter().map(Change::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), batch.changes.len(), "each key once: {batch:?}");
        let puts: base::Set<_> = batch
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Put(item) => {
                    assert_eq!(item.modified, batch.revision);
                    Some(text(item))
                }
                Change::Deleted(_) => None,
            })
            .collect();
        assert_eq!(puts.len(), 1, "of one transaction only: {batch:?}");
        model.follow(&batch);
    }
    let reading = bench.load("").await;
    assert_eq!(reading.revision, end);
    assert_eq!(reading.items, model.items(), "what the watch told is what is there");
}

pub async fn resumed(bench: Bench) {
    let start = bench.revision().await;
    for n in 0..20 {
        match n % 4 {
            3 => bench.delete(&format!("k{}", n % 3)).await,
            _ => bench.put(&format!("k{}", n % 3), &n.to_string()).await,
        };
    }
    let end = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let all = bench.batches(&mut watch, start, end).await;
    for skip in 0..all.len() {
        let after = Revision(start.0 + skip as u64);
        let mut watch = bench.watch(after).await;
        let rest: Vec<Batch> = bench.batches(&mut watch, after, end).await;
        assert_eq!(rest, all[skip..], "resumed after {after}");
    }
    // And goes on with what comes later.
    let mut watch = bench.watch(Revision(end.0 - 1)).await;
    let later = bench.put("later", "x").await;
    let batches = bench.batches(&mut watch, Revision(end.0 - 1), later).await;
    assert_eq!(batches.len(), 2);
}

pub async fn compacted(bench: Bench) {
    let start = bench.revision().await;
    for n in 0..10 {
        bench.put(&format!("k{n}"), "x").await;
    }
    // The revision compacted at is a deletion: backends keep no trace of it.
    let upto = bench.delete("k3").await;
    for n in 0..5 {
        bench.put("later", &n.to_string()).await;
    }
    let end = bench.revision().await;
    bench.ok(bench.store.compact(upto).await);
    for after in [start, Revision(start.0 + 1), Revision(upto.0 - 1)] {
        let mut watch = bench.watch(after).await;
        assert_eq!(bench.next(&mut watch).await, Err(WatchEnd::Compacted), "after {after}");
        // An ended watch stays ended.
        assert!(bench.next(&mut watch).await.is_err());
    }
    for after in [upto, Revision(upto.0 + 2), end] {
        let mut watch = bench.watch(after).await;
        assert_eq!(bench.batches(&mut watch, after, end).await.len() as u64, end.0 - after.0);
    }
    // What is there is not touched; compacting again, or in the past, is fine.
    assert_eq!(bench.load("k").await.items.len(), 9);
    bench.ok(bench.store.compact(upto).await);
    bench.ok(bench.store.compact(Revision(upto.0 - 3)).await);
    let mut watch = bench.watch(upto).await;
    assert_eq!(bench.batches(&mut watch, upto, end).await.len(), 5);
    // A revision that is not there yet: all that is there.
    bench.ok(bench.store.compact(Revision(end.0 + 1_000)).await);
    let mut watch = bench.watch(upto).await;
    assert_eq!(bench.next(&mut watch).await, Err(WatchEnd::Compacted));
    let mut watch = bench.watch(end).await;
    let last = bench.put("later", "last").await;
    assert_eq!(bench.batches(&mut watch, end, last).await.len(), 1);
    assert_eq!(bench.revision().await, last);
}

pub async fn caught_up_survives_compaction(bench: Bench) {
    let start = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let mut last = start;
    for n in 0..10 {
        let now = bench.put("k", &n.to_string()).await;
        bench.batches(&mut watch, last, now).await;
        last = now;
        bench.ok(bench.store.compact(now).await);
    }
    let now = bench.delete("k").await;
    assert_eq!(bench.batches(&mut watch, last, now).await.len(), 1);
}

pub async fn dropped_while_waiting(bench: Bench) {
    let start = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let writer = bench.world.spawn("conformance", {
        let bench = bench.clone();
        async move {
            for n in 0..100 {
                bench.world.breathe().await;
                bench.put(&format!("k{}", n % 7), &n.to_string()).await;
            }
        }
    });
    let mut last = start;
    let mut dropped = 0;
    while last.0 < start.0 + 100 {
        let wait = bench.world.jitter(Duration::from_micros(1_500));
        match bench.world.timeout(wait, watch.next()).await {
            Ok(Ok(batch)) => {
                assert_eq!(batch.revision.0, last.0 + 1, "a dropped wait lost some");
                last = batch.revision;
            }
            Ok(Err(end)) => panic!("the watch ended: {end:?}"),
            Err(_) => dropped += 1,
        }
        assert!(dropped < 1_000_000, "the watch shows nothing");
    }
    assert_eq!(writer.await, Some(()));
}

/// A watcher that does not look for a while gets everything, in order.
pub async fn burst(bench: Bench) {
    let start = bench.revision().await;
    let mut idle = bench.watch(start).await;
    let mut busy = bench.watch(start).await;
    let watcher = bench.world.spawn("conformance", {
        let bench = bench.clone();
        async move { bench.batches(&mut busy, start, Revision(start.0 + 1_040)).await.len() }
    });
    bench
        .at_once(8, |bench, n| {
            Box::pin(async move {
                for round in 0..125 {
                    bench.put(&format!("{n}/{round}"), &"x".repeat(round as usize * 10)).await;
                }
            })
        })
        .await;
    for n in 0..40u8 {
        let value = Bytes::from(vec![n; 400 * 1024]);
        let put = Write::Put { key: bench.key("large"), value, lease: None };
        bench.done(vec![], vec![put]).await;
    }
    let end = bench.revision().await;
    assert_eq!(watcher.await, Some(1_040));
    let batches = bench.batches(&mut idle, start, end).await;
    assert_eq!(batches.len(), 1_040);
    for (n, batch) in batches[1_000..].iter().enumerate() {
        let [Change::Put(item)] = batch.changes.as_slice() else { panic!("{batch:?}") };
        assert!(item.value.len() == 400 * 1024 && usize::from(item.value[77]) == n);
    }
}

pub async fn several_watchers(bench: Bench) {
    let start = bench.revision().await;
    let mut watches = Vec::new();
    for _ in 0..10 {
        watches.push(bench.watch(start).await);
    }
    bench
        .at_once(4, |bench, n| {
            Box::pin(async move {
                for round in 0..20 {
                    bench.put(&format!("{n}"), &round.to_string()).await;
                }
            })
        })
        .await;
    let end = bench.revision().await;
    let mut first = None;
    for watch in &mut watches {
        let seen = bench.batches(watch, start, end).await;
        assert_eq!(seen.len(), 80);
        assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen);
    }
    // One that goes away disturbs nobody.
    watches.truncate(1);
    let last = bench.put("0", "last").await;
    assert_eq!(bench.batches(&mut watches[0], end, last).await.len(), 1);
}
