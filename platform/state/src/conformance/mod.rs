//! What every backend must do, as named cases that a backend's tests run: [`run_all`], or one of
//! [`CASES`]. Cases panic with a sentence. They share a store if need be: each has a prefix of its own
//! and assumes no revision, but nobody else may write meanwhile.

mod conditions;
mod leases;
mod limits;
mod model;
mod races;
mod random;
mod watches;

use std::{sync::Arc, time::Duration};

use base::{Kind, Revision, World};
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::store::{
    Batch, Condition, Item, Key, LeaseId, Outcome, Reading, Store, Transaction, Watch, WatchEnd,
    Write,
};

/// One thing that a store must do.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    run: fn(Bench) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Runs it against this store.
    pub async fn run(&self, world: &World, store: Arc<dyn Store>) {
        (self.run)(Bench::new(world, store, self.name)).await;
    }
}

macro_rules! cases {
    ($($room:ident: $($name:ident),* ;)*) => {
        /// All cases.
        pub const CASES: &[Case] = &[$($(Case {
            name: concat!(stringify!($room), "-", stringify!($name)),
            run: |bench| Box::pin($room::$name(bench)),
        },)*)*];
    };
}

cases! {
    conditions: put_get_delete, unchanged, alive, absent, empty, all_or_nothing, one_revision,
        no_change_no_revision, conditions_see_the_state_before;
    races: counter, one_winner, parents_and_children, sums_stay, write_skew;
    watches: whole_revisions, resumed, compacted, caught_up_survives_compaction,
        dropped_while_waiting, burst, several_watchers;
    leases: keys_vanish_together, renewed_lasts, revoked, keys_that_left, nothing_under_it,
        end_is_seen_unasked;
    limits: values, transactions, operations, keys, big_load, many_keys_at_once, many_keys_loaded;
    random: one_by_one, all_at_once;
}

/// Runs all cases, each on what `make` gives, and says which one runs.
pub async fn run_all(world: &World, make: impl AsyncFn() -> Arc<dyn Store>) {
    for case in CASES {
        tracing::info!("conformance: {}", case.name);
        case.run(world, make().await).await;
    }
}

/// A store under test, and a prefix of its own.
#[derive(Clone)]
struct Bench {
    world: World,
    store: Arc<dyn Store>,
    case: &'static str,
    prefix: Arc<str>,
}

/// Whatever a calm store does takes less than this.
const PATIENCE: Duration = Duration::from_secs(60);

impl Bench {
    fn new(world: &World, store: Arc<dyn Store>, case: &'static str) -> Bench {
        let prefix = format!("/conformance/{case}/{}/", &world.hex_id()[..8]).into();
        Bench { world: world.clone(), store, case, prefix }
    }

    fn key(&self, name: &str) -> Key {
        format!("{}{name}", self.prefix).into()
    }

    fn own(&self, key: &str) -> bool {
        key.starts_with(&*self.prefix)
    }

    fn transaction(&self, conditions: Vec<Condition>, writes: Vec<Write>) -> Transaction {
        Transaction { label: self.case, conditions, writes }
    }

    /// A commit whose outcome must be known.
    async fn commit(&self, conditions: Vec<Condition>, writes: Vec<Write>) -> Option<Revision> {
        match self.store.commit(&self.transaction(conditions, writes)).await {
            Ok(Outcome::Done(revision)) => Some(revision),
            Ok(Outcome::Conflict) => None,
            other => panic!("{}: a calm store answered {other:?}", self.case),
        }
    }

    async fn done(&self, conditions: Vec<Condition>, writes: Vec<Write>) -> Revision {
        match self.commit(conditions.clone(), writes.clone()).await {
            Some(revision) => revision,
            None => panic!("{}: conflict for {conditions:?} and {writes:?}", self.case),
        }
    }

    async fn conflicts(&self, conditions: Vec<Condition>, writes: Vec<Write>) {
        if let Some(revision) = self.commit(conditions.clone(), writes).await {
            panic!("{}: {conditions:?} should not hold, but done at {revision}", self.case);
        }
    }

    /// A commit that must be refused as a bad request.
    async fn refused(&self, conditions: Vec<Condition>, writes: Vec<Write>) {
        let answer = self.store.commit(&self.transaction(conditions, writes)).await;
        match answer {
            Err(error) if error.kind() == Kind::BadRequest => {}
            other => panic!("{}: should be refused, got {other:?}", self.case),
        }
    }

    async fn put(&self, name: &str, value: &str) -> Revision {
        self.done(vec![], vec![self.write(name, value)]).await
    }

    async fn delete(&self, name: &str) -> Revision {
        self.done(vec![], vec![self.erase(name)]).await
    }

    fn write(&self, name: &str, value: &str) -> Write {
        self.write_leased(name, value, None)
    }

    fn write_leased(&self, name: &str, value: &str, lease: Option<LeaseId>) -> Write {
        let value = Bytes::copy_from_slice(value.as_bytes());
        Write::Put { key: self.key(name), value, lease }
    }

    fn erase(&self, name: &str) -> Write {
        Write::Delete { key: self.key(name) }
    }

    fn absent(&self, name: &str) -> Condition {
        Condition::Absent { key: self.key(name) }
    }

    fn empty(&self, name: &str) -> Condition {
        Condition::Empty { prefix: self.key(name) }
    }

    fn unchanged(&self, name: &str, modified: Revision) -> Condition {
        Condition::Unchanged { key: self.key(name), modified }
    }

    fn alive(&self, name: &str, created: Revision) -> Condition {
        Condition::Alive { key: self.key(name), created }
    }

    async fn get(&self, names: &[&str]) -> Reading<Vec<Option<Item>>> {
        let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
        self.ok(self.store.get(&keys).await)
    }

    async fn item(&self, name: &str) -> Option<Item> {
        self.get(&[name]).await.items.pop().flatten()
    }

    async fn text(&self, name: &str) -> Option<String> {
        self.item(name).await.map(|item| text(&item))
    }

    async fn load(&self, name: &str) -> Reading<Vec<Item>> {
        self.ok(self.store.load(&self.key(name)).await)
    }

    async fn revision(&self) -> Revision {
        self.ok(self.store.revision().await)
    }

    async fn watch(&self, after: Revision) -> Box<dyn Watch> {
        self.ok(self.store.watch(after).await)
    }

    async fn grant(&self, seconds: u64) -> LeaseId {
        self.ok(self.store.grant(Duration::from_secs(seconds)).await)
    }

    fn ok<T>(&self, result: base::Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => panic!("{}: a calm store failed: {error:?}", self.case),
        }
    }

    async fn next(&self, watch: &mut Box<dyn Watch>) -> Result<Batch, WatchEnd> {
        match self.world.timeout(PATIENCE, watch.next()).await {
            Ok(news) => news,
            Err(_) => panic!("{}: the watch showed nothing for {PATIENCE:?}", self.case),
        }
    }

    async fn batch(&self, watch: &mut Box<dyn Watch>) -> Batch {
        match self.next(watch).await {
            Ok(batch) => batch,
            Err(end) => panic!("{}: the watch ended: {end:?}", self.case),
        }
    }

    /// All batches after `after` up to `upto`; none may be missing.
    async fn batches(
        &self,
        watch: &mut Box<dyn Watch>,
        after: Revision,
        upto: Revision,
    ) -> Vec<Batch> {
        let mut seen = Vec::new();
        let mut last = after;
        while last < upto {
            let batch = self.batch(watch).await;
            assert_eq!(batch.revision.0, last.0 + 1, "{}: the watch left out some", self.case);
            last = batch.revision;
            seen.push(batch);
        }
        seen
    }

    /// Runs these at once; panics of theirs are ours.
    async fn at_once<T: Send + 'static>(&self, count: u64, work: impl AsyncWork<T>) -> Vec<T> {
        let tasks: Vec<_> =
            (0..count).map(|n| self.world.spawn("conformance", work(self.clone(), n))).collect();
        let mut results = Vec::new();
        for task in tasks {
            match self.world.timeout(PATIENCE * 10, task).await {
                Ok(Some(result)) => results.push(result),
                Ok(None) => panic!("{}: a task of the case failed", self.case),
                Err(_) => panic!("{}: a task of the case is stuck", self.case),
            }
        }
        results
    }
}

/// What [`Bench::at_once`] runs.
trait AsyncWork<T>: Fn(Bench, u64) -> BoxFuture<'static, T> {}
impl<T, F: Fn(Bench, u64) -> BoxFuture<'static, T>> AsyncWork<T> for F {}

fn text(item: &Item) -> String {
    String::from_utf8_lossy(&item.value).into_owned()
}

fn number(item: &Item) -> u64 {
    match text(item).parse() {
        Ok(number) => number,
        Err(_) => panic!("{} holds {:?}, not a number", item.key, item.value),
    }
}
