//! Many writers at once: what conditions promise holds whatever the order.

use base::Revision;

use super::{Bench, number};
use crate::store::{Change, Write};

/// Adds one to a counter until it is taken; how many times it was refused.
async fn increment(bench: &Bench, name: &str) -> u64 {
    let mut refusals = 0;
    loop {
        bench.world.breathe().await;
        let item = bench.item(name).await;
        let (condition, next) = match &item {
            Some(item) => (bench.unchanged(name, item.modified), number(item) + 1),
            None => (bench.absent(name), 1),
        };
        bench.world.breathe().await;
        let write = bench.write(name, &next.to_string());
        if bench.commit(vec![condition], vec![write]).await.is_some() {
            return refusals;
        }
        refusals += 1;
    }
}

pub async fn counter(bench: Bench) {
    let (writers, rounds) = (8, 25);
    let before = bench.revision().await;
    bench
        .at_once(writers, |bench, _| {
            Box::pin(async move {
                for _ in 0..rounds {
                    increment(&bench, "counter").await;
                }
            })
        })
        .await;
    let Some(item) = bench.item("counter").await else { panic!("the counter is not there") };
    assert_eq!(number(&item), writers * rounds);
    assert_eq!(bench.revision().await.0, before.0 + writers * rounds);
}

pub async fn one_winner(bench: Bench) {
    for round in 0..20 {
        let name = format!("name-{round}");
        let before = bench.revision().await;
        let won = bench
            .at_once(8, move |bench, n| {
                let name = name.clone();
                Box::pin(async move {
                    bench.world.breathe().await;
                    let writes = vec![
                        bench.write(&name, &n.to_string()),
                        bench.write(&format!("of/{n}/{name}"), "x"),
                    ];
                    bench.commit(vec![bench.absent(&name)], writes).await
                })
            })
            .await;
        let winners: Vec<_> = (0..).zip(&won).filter(|(_, won)| won.is_some()).collect();
        assert_eq!(winners.len(), 1, "exactly one makes the key: {won:?}");
        assert_eq!(bench.revision().await.0, before.0 + 1);
        let reading = bench.load("of/").await;
        assert_eq!(reading.items.len(), round + 1);
        let (winner, _) = winners[0];
        let item = bench.item(&format!("name-{round}")).await;
        assert_eq!(item.as_ref().map(number), Some(winner));
    }
}

/// A parent goes only when no child is there; a child comes only while its parent lives. So a child
/// without a parent is never seen.
pub async fn parents_and_children(bench: Bench) {
    let start = bench.revision().await;
    bench
        .at_once(6, |bench, n| {
            Box::pin(async move {
                for round in 0..40 {
                    bench.world.breathe().await;
                    match (bench.item("parent").await, n % 3) {
                        (None, _) => {
                            let write = vec![bench.write("parent", "x")];
                            bench.commit(vec![bench.absent("parent")], write).await;
                        }
                        (Some(_), 0) => {
                            let write = vec![bench.erase("parent")];
                            bench.commit(vec![bench.empty("child/")], write).await;
                        }
                        (Some(parent), _) => {
                            let name = format!("child/{n}-{round}");
                            let alive = bench.alive("parent", parent.created);
                            let write = vec![bench.write(&name, "x")];
                            if bench.commit(vec![alive], write).await.is_some() {
                                bench.world.breathe().await;
                                bench.delete(&name).await;
                            }
                        }
                    }
                }
            })
        })
        .await;
    let end = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let mut parent = false;
    let mut children = base::Set::new();
    let mut both = 0;
    for batch in bench.batches(&mut watch, start, end).await {
        for change in &batch.changes {
            let there = matches!(change, Change::Put(_));
            if **change.key() == *bench.key("parent") {
                parent = there;
            } else if there {
                children.insert(change.key().clone());
            } else {
                children.remove(change.key());
            }
        }
        assert!(parent || children.is_empty(), "orphans at {}: {children:?}", batch.revision);
        both += u64::from(parent && !children.is_empty());
    }
    assert!(both > 0, "the case saw no child at all");
}

/// Amounts move between accounts; every reading and every revision shows the same sum.
pub async fn sums_stay(bench: Bench) {
    const ACCOUNTS: u64 = 6;
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("account/{n}")).collect();
    let writes = names.iter().map(|name| bench.write(name, "100")).collect();
    let start = bench.done(vec![], writes).await;
    let all = names.clone();
    bench
        .at_once(6, move |bench, n| {
            let names = all.clone();
            Box::pin(async move {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                for round in 0..30 {
                    bench.world.breathe().await;
                    let items = if n % 2 == 0 {
                        bench.get(&names).await.items.into_iter().flatten().collect()
                    } else {
                        bench.load("account/").await.items
                    };
                    assert_eq!(items.iter().map(number).sum::<u64>(), ACCOUNTS * 100);
                    let from = ((n + round) % ACCOUNTS) as usize;
                    let to = ((n * 3 + round + 1) % ACCOUNTS) as usize;
                    if from == to || number(&items[from]) == 0 {
                        continue;
                    }
                    let conditions = [from, to]
                        .map(|at| bench.unchanged(names[at], items[at].modified))
                        .to_vec();
                    let less = (number(&items[from]) - 1).to_string();
                    let more = (number(&items[to]) + 1).to_string();
                    bench.world.breathe().await;
                    let writes =
                        vec![bench.write(names[from], &less), bench.write(names[to], &more)];
                    bench.commit(conditions, writes).await;
                }
            })
        })
        .await;
    let end = bench.revision().await;
    let mut watch = bench.watch(start).await;
    let mut amounts = [100; ACCOUNTS as usize];
    let batches = bench.batches(&mut watch, start, end).await;
    assert!(!batches.is_empty(), "nothing moved");
    for batch in batches {
        for change in &batch.changes {
            let Change::Put(item) = change else { panic!("nothing was deleted: {change:?}") };
            let at = names.iter().position(|name| *bench.key(name) == *item.key);
            let Some(at) = at else { panic!("{} is no account", item.key) };
            amounts[at] = number(item);
        }
        assert_eq!(amounts.iter().sum::<u64>(), ACCOUNTS * 100, "at {}", batch.revision);
    }
}

/// Of two, one must stay on duty: each leaves only if what it read of both is unchanged.
pub async fn write_skew(bench: Bench) {
    for _ in 0..15 {
        let writes: Vec<Write> = ["a", "b"].map(|name| bench.write(name, "on")).to_vec();
        bench.done(vec![], writes).await;
        let left = bench
            .at_once(2, |bench, n| {
                Box::pin(async move {
                    let both = bench.get(&["a", "b"]).await.items;
                    bench.world.breathe().await;
                    let seen: Vec<Revision> =
                        both.iter().flatten().map(|item| item.modified).collect();
                    let conditions =
                        vec![bench.unchanged("a", seen[0]), bench.unchanged("b", seen[1])];
                    let name = ["a", "b"][n as usize];
                    if bench.text("a").await != bench.text("b").await {
                        return false;
                    }
                    bench.commit(conditions, vec![bench.write(name, "off")]).await.is_some()
                })
            })
            .await;
        assert_eq!(left.iter().filter(|left| **left).count(), 1, "exactly one may leave");
    }
}
