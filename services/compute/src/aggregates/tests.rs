//! Aggregates through the API, in a simulated cloud.

use placement::ProviderRecord;
use serde_json::{Value, json};
use web::testing::{golden, stable};

use super::{Turn, actions};
use crate::servers::tests::world::{Answer, Cloud, IMAGE, run};

async fn create(cloud: &Cloud, name: &str, zone: Value) -> String {
    let body = json!({"aggregate": {"name": name, "availability_zone": zone}});
    let made = cloud.post("admin", "/os-aggregates", body).await.expect(200);
    made["aggregate"]["id"].to_string()
}

async fn act(cloud: &Cloud, id: &str, action: Value) -> Answer {
    cloud.post("admin", &format!("/os-aggregates/{id}/action"), action).await
}

async fn add(cloud: &Cloud, id: &str, host: &str) -> Answer {
    act(cloud, id, json!({"add_host": {"host": host}})).await
}

async fn remove(cloud: &Cloud, id: &str, host: &str) -> Answer {
    act(cloud, id, json!({"remove_host": {"host": host}})).await
}

/// The aggregates of a node's resource provider.
fn mirrored(cloud: &Cloud, node: &str) -> usize {
    let known = cloud.controller().state.known();
    let node = known.get::<nodes::NodeRecord>(node).unwrap();
    known.get::<ProviderRecord>(&node.uuid).unwrap().aggregates.len()
}

#[test]
fn life() {
    run(1, 2, async |cloud| {
        let body = json!({"aggregate": {"name": "fast"}});
        let made = cloud.ask("admin", "2.1", "POST /os-aggregates", Some(body)).await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "aggregates/created_2.1", &stable(&made));
        assert_eq!(create(cloud, "west", json!("west")).await, "2");
        add(cloud, "1", "node0").await.expect(200);
        let metadata = json!({"set_metadata": {"metadata": {"ssd": "true", "old": "x"}}});
        act(cloud, "1", metadata).await.expect(200);
        let metadata = json!({"set_metadata": {"metadata": {"old": null, "never": null}}});
        act(cloud, "1", metadata).await.expect(200);
        let one = cloud.get("admin", "/os-aggregates/1").await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "aggregates/one_2.96", &stable(&one));
        let all = cloud.ask("admin", "2.40", "GET /os-aggregates", None).await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "aggregates/all_2.40", &stable(&all));
        assert_eq!((mirrored(cloud, "node0"), mirrored(cloud, "node1")), (1, 0));

        let body = json!({"aggregate": {"name": " quick "}});
        let request = "PUT /os-aggregates/1";
        let changed = cloud.ask("admin", "2.96", request, Some(body)).await.expect(200);
        assert_eq!(changed["aggregate"]["name"], "quick");
        assert_eq!(changed["aggregate"]["hosts"], json!(["node0"]));

        let delete = "DELETE /os-aggregates/1";
        let refused = cloud.ask("admin", "2.96", delete, None).await.refusal(400);
        assert!(refused.contains("Host aggregate is not empty"), "{refused}");
        remove(cloud, "1", "node0").await.expect(200);
        assert_eq!(mirrored(cloud, "node0"), 0);
        cloud.ask("admin", "2.96", delete, None).await.expect(200);
        cloud.get("admin", "/os-aggregates/1").await.refusal(404);
        // Numbers are not given twice.
        assert_eq!(create(cloud, "quick", Value::Null).await, "3");
    });
}

#[test]
fn refusals() {
    run(2, 1, async |cloud| {
        let id = create(cloud, "one", Value::Null).await;
        for (token, request, status) in [
            ("demo", "GET /os-aggregates", 403),
            ("demo", "GET /os-aggregates/1", 403),
            ("demo", "DELETE /os-aggregates/1", 403),
            ("admin", "GET /os-aggregates/-1", 404),
            ("admin", "DELETE /os-aggregates/-1", 404),
            ("admin", "GET /os-aggregates/x", 400),
            ("admin", "DELETE /os-aggregates/7", 404),
        ] {
            let answer = cloud.ask(token, "2.96", request, None).await;
            answer.refusal(status);
        }
        for (body, status) in [
            (json!({"aggregate": {"name": "one"}}), 409),
            (json!({"aggregate": {"name": ""}}), 400),
            (json!({"aggregate": {"name": "a".repeat(256)}}), 400),
            (json!({"aggregate": {"name": "x", "availability_zone": "a:b"}}), 400),
            (json!({"aggregate": {"name": "x", "hosts": []}}), 400),
            (json!({"aggregate": {}}), 400),
            (json!({}), 400),
            (json!([]), 400),
        ] {
            cloud.post("admin", "/os-aggregates", body).await.refusal(status);
        }
        for (action, status) in [
            (json!({"add_host": {"host": "nobody"}}), 404),
            (json!({"add_host": {"host": "a b"}}), 400),
            (json!({"remove_host": {"host": "nobody"}}), 404),
            (json!({"remove_host": {"host": "node0"}}), 404),
            (json!({"set_metadata": {"metadata": {"availability_zone": null}}}), 400),
            (json!({"set_metadata": {"metadata": {"availability_zone": ""}}}), 400),
            (json!({"set_metadata": {"metadata": {"a": 1}}}), 400),
            (json!({"set_metadata": {}}), 400),
            (json!({"fly": {}}), 400),
            (json!({"add_host": {"host": "node0"}, "remove_host": {"host": "node0"}}), 400),
        ] {
            let text = action.to_string();
            let answer = act(cloud, &id, action).await;
            assert_eq!(answer.status, status, "{text}: {}", answer.body);
        }
        add(cloud, &id, "node0").await.expect(200);
        add(cloud, &id, "node0").await.refusal(409);
        let path = format!("/os-aggregates/{id}/images");
        let one = json!({"id": IMAGE});
        cloud.post("admin", &path, json!({"cache": [one, one]})).await.refusal(400);
        cloud.post("admin", &path, json!({"cache": []})).await.refusal(400);
        let missing = json!({"cache": [one]});
        cloud.post("admin", "/os-aggregates/9/images", missing).await.refusal(404);
        cloud.post("admin", &path, json!({"cache": [one]})).await.refusal(501);
        let older = format!("POST {path}");
        cloud.ask("admin", "2.80", &older, Some(json!({"cache": [one]}))).await.refusal(404);
    });
}

#[test]
fn a_node_is_in_one_zone_and_servers_stay_in_theirs() {
    run(3, 2, async |cloud| {
        let west = create(cloud, "west", json!("west")).await;
        let east = create(cloud, "east", json!("east")).await;
        let both = create(cloud, "also-west", json!("west")).await;
        let plain = create(cloud, "plain", Value::Null).await;
        add(cloud, &west, "node0").await.expect(200);
        let refused = add(cloud, &east, "node0").await.refusal(409);
        assert!(refused.contains("already in availability zone(s) ['west']"), "{refused}");
        add(cloud, &both, "node0").await.expect(200);
        add(cloud, &plain, "node0").await.expect(200);
        let zone = json!({"set_metadata": {"metadata": {"availability_zone": "east"}}});
        act(cloud, &plain, zone.clone()).await.refusal(400);

        // A server asked into a zone goes where that is.
        let mut body = crate::servers::tests::world::new_server("a");
        body["server"]["availability_zone"] = "west".into();
        let made = cloud.post("demo", "/servers", body.clone()).await.expect(202);
        let id = made["server"]["id"].as_str().unwrap().to_owned();
        let server = cloud.status("demo", &id, "ACTIVE").await;
        assert_eq!(server["OS-EXT-AZ:availability_zone"], "west");
        assert_eq!(cloud.node_of(&id).name(), "node0");
        body["server"]["availability_zone"] = "nowhere".into();
        cloud.post("demo", "/servers", body).await.refusal(400);

        // The zone stays while it is there, whichever way it would change.
        remove(cloud, &both, "node0").await.expect(200);
        let refused = remove(cloud, &west, "node0").await.refusal(409);
        assert!(refused.contains("would change from 'west' to 'None'"), "{refused}");
        act(cloud, &west, zone).await.refusal(400);
        let rename = json!({"aggregate": {"availability_zone": "north"}});
        let request = format!("PUT /os-aggregates/{west}");
        cloud.ask("admin", "2.96", &request, Some(rename.clone())).await.refusal(400);
        remove(cloud, &plain, "node0").await.expect(200);
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{id}"), None).await.expect(204);
        cloud.gone("demo", &id).await;
        cloud.settle().await;
        cloud.ask("admin", "2.96", &request, Some(rename)).await.expect(200);
        let other = cloud.active("demo", "b").await;
        let node = cloud.node_of(&other).name().to_owned();
        let refused = add(cloud, &east, &node).await.refusal(409);
        assert!(!refused.is_empty());
    });
}

#[test]
fn two_who_put_a_node_into_two_zones_at_once() {
    for seed in 0..20 {
        run(seed, 1, async |cloud| {
            create(cloud, "west", json!("west")).await;
            create(cloud, "east", json!("east")).await;
            let state = cloud.controller().state;
            let put = |id: &'static str| {
                let state = state.clone();
                cloud.world.spawn("put", async move {
                    state.world().breathe().await;
                    state
                        .transact("test::put", |txn| actions::add_host(txn, id, "node0"))
                        .await
                        .is_ok()
                })
            };
            let (one, two) = (put("1"), put("2"));
            let won = [one.await, two.await].iter().filter(|won| **won == Some(true)).count();
            assert_eq!(won, 1, "seed {seed}");
            assert_eq!(mirrored(cloud, "node0"), 1);
            assert_eq!(state.known().get::<Turn>(Turn::ID).unwrap().last, 2);
        });
    }
}
