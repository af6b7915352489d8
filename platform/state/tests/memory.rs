//! The store in memory does what every store must: in the real world, and in simulated ones where a
//! seed decides who is first.

use std::sync::Arc;

use base::World;
use state::{Store, backend::MemoryStore, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_in_the_real_world() {
    let world = World::real();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(world.clone()));
    conformance::run_all(&world, async || store.clone()).await;
}

#[test]
fn conforms_whatever_the_order() {
    for seed in 0..8 {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let world = World::simulated(seed);
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(world.clone()));
            conformance::run_all(&world, async || store.clone()).await;
        });
    }
}
