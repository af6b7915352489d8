//! Measures a store: `storebench embedded DIR`, `storebench etcd ENDPOINT…`. Prints a table; asserts
//! nothing.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{path::Path, sync::Arc, time::Duration};

use base::{Revision, World};
use bytes::Bytes;
use state::{Condition, Key, Outcome, Store, Transaction, Write, backend::EmbeddedStore};

const SECONDS: u64 = 4;

fn transaction(world: &World, writes: u64, conditions: bool) -> Transaction {
    let key =
        |_| Key::from(format!("/bench/table/{:02x}/{:08x}", world.below(256), world.below(100)));
    let keys: base::Set<Key> = (0..writes).map(key).collect();
    let value = Bytes::from(vec![b'x'; 1_024]);
    let absent = |key: &Key| Condition::Absent { key: format!("{key}-not").into() };
    Transaction {
        label: "bench",
        conditions: if conditions { keys.iter().map(absent).collect() } else { vec![] },
        writes: keys
            .into_iter()
            .map(|key| Write::Put { key, value: value.clone(), lease: None })
            .collect(),
    }
}

async fn run(world: &World, store: &Arc<dyn Store>, name: &str, producers: u64, writes: u64) {
    let start = world.now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (inner, store) = (world.clone(), store.clone());
            world.spawn("producer", async move {
                let mut times = Vec::new();
                while inner.now().since(start) < Duration::from_secs(SECONDS) {
                    let transaction = transaction(&inner, writes, writes > 1);
                    let asked = inner.now();
                    match store.commit(&transaction).await {
                        Ok(Outcome::Done(_)) => times.push(inner.now().since(asked)),
                        other => panic!("{other:?}"),
                    }
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a producer"));
    }
    let took = world.now().since(start).as_secs_f64();
    times.sort();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1_000.0;
    println!(
        "{name:40} {:>9.0}/s   p50 {:>8.3} ms   p99 {:>8.3} ms",
        times.len() as f64 / took,
        at(0.5),
        at(0.99)
    );
}

async fn measure(world: World, store: Arc<dyn Store>) {
    run(&world, &store, "1 put, alone", 1, 1).await;
    run(&world, &store, "5 conditions + 5 puts, alone", 1, 5).await;
    run(&world, &store, "1 put, 64 at once", 64, 1).await;
    run(&world, &store, "5 conditions + 5 puts, 64 at once", 64, 5).await;
    let asked = world.now();
    let mut probes = 0;
    while world.now().since(asked) < Duration::from_secs(1) {
        store.revision().await.expect("a revision");
        probes += 1;
    }
    println!("{:40} {probes:>9}/s", "revision, alone");
    let asked = world.now();
    let items = store.load("/bench/").await.expect("loaded").items.len();
    println!("{:40} {items} keys in {:?}", "load", world.now().since(asked));
    let asked = world.now();
    let newest = store.revision().await.expect("a revision");
    let mut watch = store.watch(Revision(newest.0 - 5_000)).await.expect("watched");
    for _ in 0..5_000 {
        watch.next().await.expect("a batch");
    }
    println!("{:40} {:?}", "5,000 revisions watched", world.now().since(asked));
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let world = World::real();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let store: Arc<dyn Store> = match &arguments[..] {
        ["embedded", dir] => {
            Arc::new(EmbeddedStore::open(world.clone(), Path::new(dir)).await.expect("opened"))
        }
        _ => panic!("storebench embedded DIR"),
    };
    measure(world, store).await;
}
