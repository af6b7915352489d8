//! The state as rooms use it, on the memory store, in a simulated world.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Kind, Result, Revision, World};
use serde::{Deserialize, Serialize};

use crate::{
    Index, Item, Key, LeaseId, Outcome, Reading, Record, Schema, Scope, State, Store, Transaction,
    Watch, backend::MemoryStore,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    name: String,
    count: u64,
}

impl Record for Thing {
    const TABLE: &'static str = "test.things";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] =
        &[Index { name: "name", keys: |thing, _| vec![thing.name.clone()] }];
}

/// Says *unknown* now and then, before or after the commit was done.
struct Doubtful {
    inner: MemoryStore,
    world: World,
    doubts: AtomicU64,
}

#[async_trait]
impl Store for Doubtful {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.world.breathe().await;
        match self.world.below(4) {
            0 => {
                self.doubts.fetch_add(1, Ordering::Relaxed);
                Ok(Outcome::Unknown("before".into()))
            }
            1 => {
                self.doubts.fetch_add(1, Ordering::Relaxed);
                self.inner.commit(transaction).await?;
                Ok(Outcome::Unknown("after".into()))
            }
            2 => {
                // Lands later.
                self.doubts.fetch_add(1, Ordering::Relaxed);
                let (store, late, world) =
                    (self.inner.clone(), transaction.clone(), self.world.clone());
                self.world.spawn("late", async move {
                    world.sleep(world.jitter(Duration::from_millis(20))).await;
                    store.commit(&late).await
                });
                Ok(Outcome::Unknown("late".into()))
            }
            _ => self.inner.commit(transaction).await,
        }
    }
    async fn revision(&self) -> Result<Revision> {
        self.inner.revision().await
    }
    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        self.world.breathe().await;
        self.inner.get(keys).await
    }
    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        self.inner.load(prefix).await
    }
    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        self.inner.watch(after).await
    }
    async fn compact(&self, upto: Revision) -> Result<()> {
        self.inner.compact(upto).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.inner.grant(ttl).await
    }
    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        self.inner.renew(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.inner.revoke(lease).await
    }
}

fn run(seed: u64, test: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { test(World::simulated(seed)).await });
}

async fn open(world: &World, store: Arc<dyn Store>, name: &str) -> State {
    State::open(world.clone(), store, Schema::new().table::<Thing>(), name).await.unwrap()
}

async fn increment(state: &State, lane: bool) {
    let action = |txn: &mut crate::Txn| {
        txn.update::<Thing, _>("t", |thing| {
            thing.count += 1;
            Ok(())
        })?
        .ok_or_else(|| base::Error::not_found("t"))
    };
    if lane {
        state.transact_in_lane("t", "test::increment", action).await.unwrap();
    } else {
        state.transact("test::increment", action).await.unwrap();
    }
}

async fn make(state: &State, id: &'static str, name: &'static str) -> Result<()> {
    let thing = Thing { name: name.into(), count: 0 };
    state
        .transact("test::make", |txn| {
            txn.claim(Scope::Cell, "thing-name", name, id)?;
            txn.create(id, thing.clone())
        })
        .await
}

#[test]
fn counting_is_exact_whatever_the_store_says() {
    for seed in 0..12 {
        run(seed, async |world| {
            let memory = MemoryStore::new(world.clone());
            let store = Arc::new(Doubtful {
                inner: memory,
                world: world.clone(),
                doubts: AtomicU64::new(0),
            });
            let states =
                [open(&world, store.clone(), "a").await, open(&world, store.clone(), "b").await];
            make(&states[0], "t", "thing").await.unwrap();
            let mut tasks = Vec::new();
            for n in 0..40 {
                let state = states[n % 2].clone();
                tasks.push(world.spawn("inc", async move { increment(&state, n % 3 == 0).await }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            let count = states[1].fresh().await.unwrap().get::<Thing>("t").unwrap().count;
            assert_eq!(count, 40, "seed {seed}");
            assert!(store.doubts.load(Ordering::Relaxed) > 10, "seed {seed} doubts too little");
        });
    }
}

#[test]
fn a_lane_shares_commits() {
    run(1, async |world| {
        let memory = MemoryStore::new(world.clone());
        let state = open(&world, Arc::new(memory.clone()), "a").await;
        make(&state, "t", "thing").await.unwrap();
        let before = memory.revision().await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let state = state.clone();
            tasks.push(world.spawn("inc", async move { increment(&state, true).await }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(state.known().get::<Thing>("t").unwrap().count, 50);
        let commits = memory.revision().await.unwrap().0 - before.0;
        assert!(commits <= 5, "{commits} commits for 50 actions");
    });
}

#[test]
fn a_refused_action_of_a_lane_leaves_the_others_alone() {
    run(1, async |world| {
        let state = open(&world, Arc::new(MemoryStore::new(world.clone())), "a").await;
        let mut tasks = Vec::new();
        for n in 0..10_u64 {
            let state = state.clone();
            tasks.push(world.spawn("make", async move {
                state
                    .transact_in_lane("l", "test::make", move |txn| {
                        txn.create(&n.to_string(), Thing { name: "x".into(), count: n })?;
                        if n % 2 == 1 {
                            return Err(base::Error::forbidden("odd"));
                        }
                        Ok(n)
                    })
                    .await
            }));
        }
        for (n, task) in tasks.into_iter().enumerate() {
            let result = task.await.unwrap();
            assert_eq!(result.is_ok(), n % 2 == 0);
        }
        assert_eq!(state.known().count::<Thing>(), 5);
        assert_eq!(state.known().by::<Thing>("name", "x").len(), 5);
    });
}

#[test]
fn a_name_is_claimed_once() {
    run(2, async |world| {
        let store = Arc::new(MemoryStore::new(world.clone()));
        let (a, b) = (open(&world, store.clone(), "a").await, open(&world, store, "b").await);
        let (one, two) = tokio::join!(make(&a, "1", "same"), make(&b, "2", "same"));
        let conflicts =
            [one, two].iter().filter(|r| matches!(r, Err(e) if e.kind() == Kind::Conflict)).count();
        assert_eq!(conflicts, 1);
        assert_eq!(a.fresh().await.unwrap().by::<Thing>("name", "same").len(), 1);
    });
}

#[test]
fn a_parent_is_deleted_only_without_children_and_children_need_a_parent() {
    for seed in 0..20 {
        run(seed, async |world| {
            let store = Arc::new(MemoryStore::new(world.clone()));
            let (a, b) = (open(&world, store.clone(), "a").await, open(&world, store, "b").await);
            make(&a, "p", "parent").await.unwrap();
            let delete = a.transact("test::delete", |txn| {
                if !txn.childless(Scope::Cell, "p") {
                    return Err(base::Error::conflict("has children"));
                }
                txn.delete::<Thing>("p")
            });
            let adopt = b.transact("test::adopt", |txn| {
                txn.alive::<Thing>("p")?.ok_or_else(|| base::Error::not_found("p"))?;
                txn.link(Scope::Cell, "p", "c");
                txn.create("c", Thing { name: "child".into(), count: 0 })
            });
            let (deleted, adopted) = tokio::join!(delete, adopt);
            assert!(deleted.is_ok() != adopted.is_ok(), "seed {seed}: {deleted:?} {adopted:?}");
        });
    }
}

#[test]
fn what_one_controller_wrote_the_other_reads() {
    run(3, async |world| {
        let store = Arc::new(MemoryStore::new(world.clone()));
        let (a, b) = (open(&world, store.clone(), "a").await, open(&world, store, "b").await);
        make(&a, "t", "thing").await.unwrap();
        for n in 1..=100 {
            increment(&a, false).await;
            assert_eq!(b.fresh().await.unwrap().get::<Thing>("t").unwrap().count, n);
        }
    });
}

#[test]
fn a_foreign_store_is_refused() {
    run(4, async |world| {
        let store = MemoryStore::new(world.clone());
        let put = crate::Write::Put { key: "/other".into(), value: "x".into(), lease: None };
        let foreign = Transaction { label: "x", conditions: vec![], writes: vec![put] };
        store.commit(&foreign).await.unwrap();
        let opened = State::open(world.clone(), Arc::new(store), Schema::new(), "a").await;
        assert_eq!(opened.err().unwrap().kind(), Kind::Conflict);
    });
}

#[test]
fn a_session_is_begun_only_when_the_others_can_see_it() {
    use crate::faulty::{At, Fault, FaultyStore};
    run(5, async |world| {
        let memory = Arc::new(MemoryStore::new(world.clone()));
        let faulty = FaultyStore::new(world.clone(), memory);
        let state = open(&world, Arc::new(faulty.clone()), "a").await;
        faulty.script(At::Labeled("session::announce", 1), Fault::UnknownBefore);
        let ttl = Duration::from_secs(6);
        assert!(crate::Session::begin(&state, ttl, "").await.is_err());
        let session = crate::Session::begin(&state, ttl, "").await.unwrap();
        assert!(session.lives());
        assert!(state.fresh().await.unwrap().get::<crate::SessionRecord>("a").is_some());
    });
}
