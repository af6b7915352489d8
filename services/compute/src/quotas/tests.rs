//! Taking and giving back, and that counters and limits hold under races.

use std::sync::Arc;

use base::{Kind, World};
use serde_json::{Value, json};
use state::{Schema, State, backend::MemoryStore};

use super::{
    QuotaRecord, UsageRecord,
    actions::{Delta, give_back, take, take_server_group, take_up_to},
    schema,
};
use crate::servers::tests::world::{Answer, Cloud, new_server, run};

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

const SET: &str = "/os-quota-sets/p-demo";

/// Identity knows the project of the demo user.
pub(crate) async fn furnish(cloud: &Cloud) {
    let project = identity::projects::record::Project {
        name: "demo".to_owned(),
        domain_id: Some("default".to_owned()),
        parent_id: Some("default".to_owned()),
        enabled: true,
        description: None,
        tags: Vec::new(),
        options: serde_json::Map::new(),
        extra: serde_json::Map::new(),
    };
    cloud
        .controller()
        .state
        .transact("test::project", |txn| txn.put("p-demo", project.clone()))
        .await
        .expect("furnished");
}

async fn put(cloud: &Cloud, path: &str, set: Value) -> Answer {
    cloud.ask("admin", "2.96", &format!("PUT {path}"), Some(json!({"quota_set": set}))).await
}

#[test]
fn sets_by_microversion() {
    run(1, 1, async |cloud| {
        furnish(cloud).await;
        let newest = json!({
            "id": "p-demo", "cores": 20, "instances": 10, "key_pairs": 100, "metadata_items": 128,
            "ram": 51200, "server_group_members": 10, "server_groups": 10,
        });
        let get = async |version: &str, path: &str| {
            cloud.ask("reader", version, &format!("GET {path}"), None).await.expect(200)
        };
        assert_eq!(get("2.96", SET).await, json!({"quota_set": newest}));
        assert_eq!(get("2.57", &format!("{SET}/defaults")).await, json!({"quota_set": newest}));
        let middle = get("2.36", SET).await;
        assert_eq!(middle["quota_set"]["injected_file_path_bytes"], 255);
        assert_eq!(middle["quota_set"].get("fixed_ips"), None);
        let oldest = get("2.1", SET).await;
        assert_eq!(oldest["quota_set"]["security_group_rules"], -1);
        assert_eq!(oldest["quota_set"].as_object().map(serde_json::Map::len), Some(15));
        let detail = get("2.96", &format!("{SET}/detail")).await;
        assert_eq!(detail["quota_set"]["cores"], json!({"in_use": 0, "limit": 20, "reserved": 0}));
        cloud.get("other", SET).await.refusal(403);
        cloud.get("other", &format!("{SET}/detail")).await.refusal(403);
        cloud.get("other", &format!("{SET}/defaults")).await.expect(200);
        assert_eq!(
            cloud.get("admin", "/os-quota-sets/none").await.refusal(400),
            "Project ID none is not a valid project."
        );
        cloud.get("reader", &format!("{SET}?x=1")).await.refusal(400);
        cloud.ask("reader", "2.74", &format!("GET {SET}?x=1"), None).await.expect(200);
    });
}

#[test]
fn limits_are_set_and_hold() {
    run(2, 2, async |cloud| {
        furnish(cloud).await;
        let set = put(cloud, SET, json!({"instances": 1, "cores": "-1"})).await.expect(200);
        assert_eq!(set["quota_set"].get("id"), None);
        assert_eq!(set["quota_set"]["instances"], 1);
        assert_eq!(set["quota_set"]["cores"], -1);
        cloud.active("demo", "one").await;
        assert_eq!(
            cloud.post("demo", "/servers", new_server("two")).await.refusal(403),
            "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
        );
        let detail = cloud.get("demo", &format!("{SET}/detail")).await.expect(200);
        assert_eq!(
            detail["quota_set"]["instances"],
            json!({"in_use": 1, "limit": 1, "reserved": 0})
        );
        let mine = cloud.get("demo", &format!("{SET}/detail?user_id=u-demo")).await.expect(200);
        assert_eq!(mine["quota_set"]["ram"]["in_use"], 512);
        let others = cloud.get("demo", &format!("{SET}/detail?user_id=u-x")).await.expect(200);
        assert_eq!(others["quota_set"]["ram"]["in_use"], 0);
        assert_eq!(
            put(cloud, SET, json!({"instances": 0})).await.refusal(400),
            "Quota limit 0 for instances must be greater than or equal to already used and reserved 1."
        );
        put(cloud, SET, json!({"instances": 0, "force": true})).await.expect(200);
        put(cloud, SET, json!({"instances": 4})).await.expect(200);
        let user = format!("{SET}?user_id=u-x");
        assert_eq!(
            put(cloud, &user, json!({"instances": 5})).await.refusal(400),
            "Quota limit 5 for instances must be less than or equal to 4."
        );
        put(cloud, &user, json!({"instances": 3})).await.expect(200);
        assert_eq!(
            put(cloud, SET, json!({"instances": 2})).await.refusal(400),
            "Quota limit 2 for instances must be greater than or equal to already used and reserved 3."
        );
        let two = format!("{SET}?user_id=u-y");
        put(cloud, &two, json!({"instances": 2})).await.refusal(400);
        put(cloud, &two, json!({"instances": 1})).await.expect(200);
        assert_eq!(cloud.get("admin", &user).await.expect(200)["quota_set"]["instances"], 3);
        for wrong in [
            json!({"instances": -2}),
            json!({"instances": "x"}),
            json!({"instances": 2_147_483_648_u64}),
            json!({"instances": null}),
            json!({"cars": 1}),
            json!({"fixed_ips": 1}),
            json!({"injected_files": 1}),
            json!({"force": "perhaps"}),
        ] {
            put(cloud, SET, wrong).await.refusal(400);
        }
        cloud
            .ask("demo", "2.96", &format!("PUT {SET}"), Some(json!({"quota_set": {}})))
            .await
            .refusal(403);
        cloud.ask("admin", "2.96", &format!("DELETE {user}"), None).await.expect(202);
        assert_eq!(cloud.get("admin", &user).await.expect(200)["quota_set"]["instances"], 4);
        cloud.ask("demo", "2.96", &format!("DELETE {SET}"), None).await.refusal(403);
        cloud.ask("admin", "2.96", &format!("DELETE {SET}"), None).await.expect(202);
        cloud.ask("admin", "2.96", &format!("DELETE {SET}"), None).await.expect(202);
        assert_eq!(cloud.get("admin", SET).await.expect(200)["quota_set"]["instances"], 10);
        assert_eq!(cloud.controller().state.known().count::<QuotaRecord>(), 0);
    });
}

#[test]
fn the_default_class_stands_below_all() {
    run(3, 1, async |cloud| {
        furnish(cloud).await;
        let class = "/os-quota-class-sets/default";
        let ask = async |token: &str, version: &str, body: Value| {
            let body = json!({"quota_class_set": body});
            cloud.ask(token, version, &format!("PUT {class}"), Some(body)).await
        };
        let set = ask("admin", "2.57", json!({"cores": 5, "key_pairs": "7"})).await.expect(200);
        assert_eq!(
            set,
            json!({"quota_class_set": {
                "cores": 5, "instances": 10, "key_pairs": 7, "metadata_items": 128, "ram": 51200,
                "server_group_members": 10, "server_groups": 10,
            }})
        );
        let old = cloud.ask("admin", "2.49", &format!("GET {class}"), None).await.expect(200);
        assert_eq!(old["quota_class_set"]["id"], "default");
        assert_eq!(old["quota_class_set"]["floating_ips"], -1);
        assert_eq!(old["quota_class_set"].get("server_groups"), None);
        assert_eq!(cloud.get("demo", SET).await.expect(200)["quota_set"]["cores"], 5);
        put(cloud, SET, json!({"cores": 6})).await.expect(200);
        assert_eq!(cloud.get("demo", SET).await.expect(200)["quota_set"]["cores"], 6);
        assert_eq!(
            cloud.get("demo", &format!("{SET}/defaults")).await.expect(200)["quota_set"]["cores"],
            5
        );
        ask("demo", "2.57", json!({"cores": 5})).await.refusal(403);
        cloud.get("demo", class).await.refusal(403);
        ask("admin", "2.50", json!({"fixed_ips": 5})).await.refusal(400);
        ask("admin", "2.57", json!({"injected_files": 5})).await.refusal(400);
        let other = cloud.get("admin", "/os-quota-class-sets/gold").await.expect(200);
        assert_eq!(other["quota_class_set"]["cores"], 20);
    });
}

#[test]
fn settings_that_race_never_pass_each_other() {
    run(4, 1, async |cloud| {
        let cloud = &*cloud;
        furnish(cloud).await;
        // Ten in all: of many users who are given three at once, three get them.
        let asked: Vec<_> = (0..8)
            .map(|n| async move {
                let path = format!("{SET}?user_id=u{n}");
                put(cloud, &path, json!({"instances": 3})).await
            })
            .collect();
        let answers = futures_util::future::join_all(asked).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
        let known = cloud.controller().state.known();
        assert_eq!(known.get::<QuotaRecord>("p-demo").expect("set").users.len(), 3);
    });
}
