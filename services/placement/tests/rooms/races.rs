//! Every pair of actions at once, at two controllers of one store: what must hold holds afterwards.

use serde_json::{Value, json};
use web::testing::Answer;

use crate::world::{AGGREGATE, C1, C2, Cloud, P1, P2, P3, allocation, run};

/// Requests that change something: method, path, body. `GEN` in a body is the generation of the provider in
/// the path.
fn actions() -> Vec<(&'static str, String, Value)> {
    let provider = |id: &str| format!("/resource_providers/{id}");
    let inventories = |id: &str| format!("{}/inventories", provider(id));
    let named = |name: &str, parent: Value| json!({"name": name, "parent_provider_uuid": parent});
    let take = |id: &str, class: &str, n: u64| allocation(id, json!({class: n}), Value::Null);
    vec![
        ("POST", "/resource_providers".into(), named("new", json!(P1))),
        ("POST", "/resource_providers".into(), named("new", json!(P3))),
        ("PUT", provider(P2), named("two", json!(P3))),
        ("PUT", provider(P3), named("three", json!(P2))),
        ("PUT", provider(P2), named("new", Value::Null)),
        ("DELETE", provider(P1), Value::Null),
        ("DELETE", provider(P2), Value::Null),
        ("DELETE", provider(P3), Value::Null),
        ("PUT", inventories(P1), json!({"resource_provider_generation": "GEN", "inventories": {}})),
        (
            "PUT",
            inventories(P2),
            json!({"resource_provider_generation": "GEN",
                   "inventories": {"VCPU": {"total": 4}, "CUSTOM_X": {"total": 1}}}),
        ),
        ("POST", inventories(P2), json!({"resource_class": "CUSTOM_X", "total": 2})),
        ("DELETE", format!("{}/VCPU", inventories(P1)), Value::Null),
        (
            "PUT",
            format!("{}/traits", provider(P2)),
            json!({"resource_provider_generation": "GEN", "traits": ["CUSTOM_T"]}),
        ),
        (
            "PUT",
            format!("{}/aggregates", provider(P2)),
            json!({"resource_provider_generation": "GEN", "aggregates": [AGGREGATE]}),
        ),
        ("DELETE", "/resource_classes/CUSTOM_X".into(), Value::Null),
        ("DELETE", "/traits/CUSTOM_T".into(), Value::Null),
        ("PUT", format!("/allocations/{C1}"), take(P1, "VCPU", 3)),
        ("PUT", format!("/allocations/{C2}"), take(P1, "VCPU", 2)),
        ("PUT", format!("/allocations/{C1}"), take(P2, "VCPU", 4)),
        ("POST", "/allocations".into(), json!({C1: take(P2, "VCPU", 2), C2: take(P1, "VCPU", 4)})),
        ("DELETE", format!("/allocations/{C1}"), Value::Null),
        ("DELETE", format!("/allocations/{C2}"), Value::Null),
    ]
}

async fn furnish(cloud: &Cloud) {
    cloud.put("/resource_classes/CUSTOM_X", json!({})).await.expect(201);
    cloud.put("/traits/CUSTOM_T", json!({})).await.expect(201);
    cloud.provider(P1, None, &[("VCPU", 4)]).await;
    cloud.provider(P2, None, &[("VCPU", 4)]).await;
    cloud.provider(P3, None, &[]).await;
}

async fn ask(cloud: Cloud, (method, path, mut body): (&'static str, String, Value)) -> Answer {
    cloud.world.breathe().await;
    if body.get("resource_provider_generation").is_some() {
        let provider = path.split('/').nth(2).unwrap_or_default().to_owned();
        let url = format!("/placement/resource_providers/{provider}");
        let one = cloud.at("1.39").get(&url).await;
        if one.status != 200 {
            return one;
        }
        body["resource_provider_generation"] = one.json()["generation"].clone();
    }
    let client = cloud.at("1.39");
    let method = method.parse().expect("a method");
    let url = format!("/placement{path}");
    match body {
        Value::Null => client.send(method, &url, web::RequestBody::Full("".into())).await,
        body => client.json(method, &url, body).await,
    }
}

#[test]
fn every_pair_at_once() {
    let all = actions();
    let mut seed = 0;
    for one in 0..all.len() {
        for two in one..all.len() {
            for prepared in [false, true] {
                seed += 1;
                run(seed, async |cloud| {
                    furnish(&cloud).await;
                    if prepared {
                        let take = allocation(P1, json!({"VCPU": 1}), Value::Null);
                        cloud.put(&format!("/allocations/{C1}"), take).await.expect(204);
                    }
                    let other = Cloud::on(cloud.world.clone(), cloud.store.clone(), "c2").await;
                    let first = cloud.world.spawn("one", ask(cloud.clone(), all[one].clone()));
                    let second = cloud.world.spawn("two", ask(other.clone(), all[two].clone()));
                    let (first, second) = (first.await.expect("one"), second.await.expect("two"));
                    for (answer, action) in [(&first, &all[one]), (&second, &all[two])] {
                        assert!(
                            !answer.status.is_server_error(),
                            "seed {seed}: {action:?}: {}",
                            answer.text()
                        );
                    }
                    other.state.fresh().await.expect("fresh");
                    let when = format!("seed {seed}: {:?} {:?}", all[one], all[two]);
                    other.check(&when);
                    cloud.state.fresh().await.expect("fresh");
                });
            }
        }
    }
}

#[test]
fn many_claims_at_once_fill_a_provider_and_no_more() {
    for seed in 0..5 {
        run(seed, async |cloud| {
            cloud.provider(P1, None, &[("VCPU", 10)]).await;
            let other = Cloud::on(cloud.world.clone(), cloud.store.clone(), "c2").await;
            let mut asked = Vec::new();
            for n in 0..16 {
                let cloud = if n % 2 == 0 { cloud.clone() } else { other.clone() };
                let consumer = cloud.world.uuid();
                let take = allocation(P1, json!({"VCPU": 1}), Value::Null);
                let action = ("PUT", format!("/allocations/{consumer}"), take);
                let world = cloud.world.clone();
                asked.push(world.spawn("claim", ask(cloud, action)));
            }
            let mut taken = 0;
            for answer in asked {
                let answer = answer.await.expect("an answer");
                match answer.status.as_u16() {
                    204 => taken += 1,
                    409 => assert!(answer.message().contains("exceed the capacity")),
                    _ => panic!("seed {seed}: {}", answer.text()),
                }
            }
            assert_eq!(taken, 10, "seed {seed}");
            cloud.state.fresh().await.expect("fresh");
        });
    }
}
