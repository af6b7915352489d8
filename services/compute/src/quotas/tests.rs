//! Taking and giving back, and that counters and limits hold under races.

use std::sync::Arc;

use base::{Kind, World};
use state::{Schema, State, backend::MemoryStore};

use super::{
    QuotaRecord, UsageRecord,
    actions::{Delta, give_back, take, take_server_group, take_up_to},
    schema,
};

async fn state() -> State {
    let world = World::real();
    let store = Arc::new(MemoryStore::new(world.clone()));
    State::open(world, store, schema(Schema::new()), "c1").await.expect("state")
}

const TINY: Delta = Delta { instances: 1, cores: 1, ram: 512, server_groups: 0 };

#[tokio::test]
async fn refuses_with_novas_words() {
    let state = state().await;
    let big = Delta { instances: 1, cores: 21, ram: 60_000, server_groups: 0 };
    let error = state.transact("test", |txn| take(txn, "p", "u", &big)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::OverQuota);
    assert_eq!(
        error.message(),
        "Quota exceeded for cores, ram: Requested 21, 60000, but already used 0, 0 of 20, 51200 cores, ram"
    );
    let error =
        state.transact("test", |txn| take_up_to(txn, "p", "u", &TINY, 11, 12)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "Quota exceeded for instances: Requested 11-12, but already used 0 of 10 instances"
    );
    assert_eq!(state.known().count::<UsageRecord>(), 0);
}

#[tokio::test]
async fn takes_as_many_as_fit() {
    let state = state().await;
    let two = Delta { cores: 2, ..TINY };
    state.transact("test", |txn| take(txn, "p", "u", &Delta { cores: 5, ..TINY })).await.unwrap();
    let got = state.transact("test", |txn| take_up_to(txn, "p", "u", &two, 1, 20)).await.unwrap();
    assert_eq!(got, 7, "15 cores are left, two each");
    let used = state.known().get::<UsageRecord>("p").unwrap().record();
    assert_eq!(*used, UsageRecord { instances: 8, cores: 19, ram: 4096, server_groups: 0 });
}

#[tokio::test]
async fn a_users_own_limit_holds() {
    let state = state().await;
    state
        .transact("test", |txn| {
            let users = [("u".to_owned(), [("instances".to_owned(), 1)].into())].into();
            txn.put("p", QuotaRecord { users, ..QuotaRecord::default() })
        })
        .await
        .unwrap();
    state.transact("test", |txn| take(txn, "p", "u", &TINY)).await.unwrap();
    state.transact("test", |txn| take(txn, "p", "other", &TINY)).await.unwrap();
    let error = state.transact("test", |txn| take(txn, "p", "u", &TINY)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
    );
}

#[tokio::test]
async fn what_is_given_back_is_gone_and_never_below_nothing() {
    let state = state().await;
    state.transact("test", |txn| take(txn, "p", "u", &TINY)).await.unwrap();
    state.transact("test", |txn| take_server_group(txn, "p", "u")).await.unwrap();
    let group = Delta { server_groups: 1, ..Delta::default() };
    state.transact("test", |txn| give_back(txn, "p", "u", &group)).await.unwrap();
    state.transact("test", |txn| give_back(txn, "p", "u", &TINY)).await.unwrap();
    assert_eq!(state.known().count::<UsageRecord>(), 0);
    let error = state.transact("test", |txn| give_back(txn, "p", "u", &TINY)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
}

#[tokio::test]
async fn racing_takers_never_pass_the_limit() {
    let state = state().await;
    let mut tasks = Vec::new();
    for n in 0..30 {
        let inner = state.clone();
        tasks.push(state.world().spawn("taker", async move {
            let user = format!("u{}", n % 3);
            let action = move |txn: &mut state::Txn| take(txn, "p", &user, &TINY);
            inner.transact_in_lane("quota/p", "test", action).await
        }));
    }
    let mut taken = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(()) => taken += 1,
            Err(error) => assert_eq!(error.kind(), Kind::OverQuota),
        }
    }
    assert_eq!(taken, 10);
    let snapshot = state.known();
    let by_users: i64 = ["p/u0", "p/u1", "p/u2"]
        .iter()
        .filter_map(|id| snapshot.get::<UsageRecord>(id))
        .map(|used| used.instances)
        .sum();
    assert_eq!(by_users, 10);
    assert_eq!(snapshot.get::<UsageRecord>("p").unwrap().instances, 10);
}
