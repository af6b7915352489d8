//! Leases: they may end early, never late unnoticed; their keys vanish together.

use std::time::Duration;

use base::Revision;

use super::{Bench, PATIENCE};
use crate::store::{Batch, Change, Watch};

/// The first batch that deletes something.
async fn deletion(bench: &Bench, watch: &mut Box<dyn Watch>) -> Batch {
    loop {
        let batch = bench.batch(watch).await;
        if batch.changes.iter().any(|change| matches!(change, Change::Deleted(_))) {
            return batch;
        }
    }
}

pub async fn keys_vanish_together(bench: Bench) {
    let lease = bench.grant(2).await;
    let start = bench.revision().await;
    let mut watch = bench.watch(start).await;
    for part in 0..3 {
        let writes =
            (0..60).map(|n| bench.write_leased(&format!("{part}/{n}"), "x", Some(lease))).collect();
        bench.done(vec![], writes).await;
    }
    bench.put("stays", "x").await;
    let Some(item) = bench.item("0/0").await else { panic!("not there") };
    assert_eq!(item.lease, Some(lease));
    let granted = bench.world.now();
    let batch = deletion(&bench, &mut watch).await;
    assert!(bench.world.now().since(granted) < Duration::from_secs(20), "noticed late");
    assert_eq!(batch.changes.len(), 180, "all keys of a lease vanish in one revision");
    assert!(batch.changes.iter().all(|c| matches!(c, Change::Deleted(k) if bench.own(k))));
    let reading = bench.load("").await;
    assert_eq!((reading.revision, reading.items.len()), (batch.revision, 1));
    assert!(!bench.ok(bench.store.renew(lease).await), "it has ended");
    bench.refused(vec![], vec![bench.write_leased("late", "x", Some(lease))]).await;
    assert_eq!(bench.item("late").await, None);
}

pub async fn renewed_lasts(bench: Bench) {
    let lease = bench.grant(3).await;
    bench.done(vec![], vec![bench.write_leased("a", "x", Some(lease))]).await;
    for _ in 0..7 {
        bench.world.sleep(Duration::from_secs(1)).await;
        assert!(bench.ok(bench.store.renew(lease).await), "a renewed lease lasts");
    }
    assert!(bench.item("a").await.is_some());
    bench.ok(bench.store.revoke(lease).await);
    assert_eq!(bench.item("a").await, None);
}

pub async fn revoked(bench: Bench) {
    let (lease, other) = (bench.grant(600).await, bench.grant(600).await);
    assert_ne!(lease, other);
    bench.done(vec![], vec![bench.write_leased("a", "x", Some(lease))]).await;
    let writes =
        vec![bench.write_leased("b", "x", Some(lease)), bench.write_leased("c", "x", Some(other))];
    let before = bench.done(vec![], writes).await;
    bench.ok(bench.store.revoke(lease).await);
    assert_eq!(bench.revision().await.0, before.0 + 1);
    assert_eq!(bench.load("").await.items.len(), 1);
    assert!(!bench.ok(bench.store.renew(lease).await));
    bench.refused(vec![], vec![bench.write_leased("a", "x", Some(lease))]).await;
    // A condition that does not hold is told first.
    bench.conflicts(vec![bench.absent("c")], vec![bench.write_leased("a", "x", Some(lease))]).await;
    // Ending it again changes nothing.
    bench.ok(bench.store.revoke(lease).await);
    assert_eq!(bench.revision().await.0, before.0 + 1);
    assert!(bench.ok(bench.store.renew(other).await));
    bench.ok(bench.store.revoke(other).await);
    let mut watch = bench.watch(before).await;
    let batches = bench.batches(&mut watch, before, Revision(before.0 + 2)).await;
    let counts: Vec<_> = batches.iter().map(|batch| batch.changes.len()).collect();
    assert_eq!(counts, [2, 1]);
}

/// What is written again without the lease, or under another, stays.
pub async fn keys_that_left(bench: Bench) {
    let (lease, other) = (bench.grant(600).await, bench.grant(600).await);
    for name in ["stays", "moved", "remade", "goes", "back"] {
        bench.done(vec![], vec![bench.write_leased(name, "x", Some(lease))]).await;
    }
    bench.put("stays", "y").await;
    bench.done(vec![], vec![bench.write_leased("moved", "y", Some(other))]).await;
    bench.delete("remade").await;
    bench.put("remade", "y").await;
    bench.put("back", "y").await;
    bench.done(vec![], vec![bench.write_leased("back", "z", Some(lease))]).await;
    bench.ok(bench.store.revoke(lease).await);
    let names = ["stays", "moved", "remade", "goes", "back"];
    let there: Vec<_> = bench.get(&names).await.items.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, true, true, false, false]);
    bench.ok(bench.store.revoke(other).await);
    assert_eq!(bench.load("").await.items.len(), 2);
}

pub async fn nothing_under_it(bench: Bench) {
    let before = bench.revision().await;
    let lease = bench.grant(600).await;
    bench.ok(bench.store.revoke(lease).await);
    assert!(!bench.ok(bench.store.renew(lease).await));
    assert_eq!(bench.revision().await, before, "a lease without keys makes no revision");
}

/// Nobody has to ask for a lease to end: the watch tells.
pub async fn end_is_seen_unasked(bench: Bench) {
    let lease = bench.grant(1).await;
    let put = bench.done(vec![], vec![bench.write_leased("a", "x", Some(lease))]).await;
    let mut watch = bench.watch(put).await;
    let asked = bench.world.now();
    let batch = bench.batch(&mut watch).await;
    assert_eq!(batch.changes, [Change::Deleted(bench.key("a"))]);
    assert!(bench.world.now().since(asked) < PATIENCE / 3);
}
