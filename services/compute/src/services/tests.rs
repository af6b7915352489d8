//! Services through the API, in a simulated cloud.

use nodes::NodeRecord;
use placement::ProviderRecord;
use serde_json::{Value, json};
use web::testing::{golden, stable};

use crate::servers::tests::world::{Cloud, run};

async fn list(cloud: &Cloud, version: &str, query: &str) -> Vec<Value> {
    let request = format!("GET /os-services{query}");
    let body = cloud.ask("admin", version, &request, None).await.expect(200);
    body["services"].as_array().unwrap().clone()
}

/// The service of a node.
async fn of(cloud: &Cloud, node: &str) -> Value {
    let rows = list(cloud, "2.96", &format!("?host={node}&binary=nova-compute")).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

async fn put(cloud: &Cloud, version: &str, id: &str, body: Value) -> crate::servers::tests::world::Answer {
    cloud.ask("admin", version, &format!("PUT /os-services/{id}"), Some(body)).await
}

#[test]
fn shapes() {
    run(1, 1, async |cloud| {
        for version in ["2.1", "2.11", "2.53", "2.96"] {
            let rows = json!({"services": list(cloud, version, "").await});
            let name = format!("services/list_{version}");
            let mut rows = stable(&rows);
            // Numbers are made from ids that differ from run to run of another seed.
            for row in rows["services"].as_array_mut().unwrap() {
                if row["id"].is_u64() {
                    row["id"] = "<number>".into();
                }
            }
            golden(env!("CARGO_MANIFEST_DIR"), &name, &rows);
        }
        assert_eq!(list(cloud, "2.96", "?binary=nova-scheduler").await.len(), 1);
        assert_eq!(list(cloud, "2.96", "?host=c1").await.len(), 2);
        assert_eq!(list(cloud, "2.96", "?host=xxx&binary=nova-compute").await.len(), 0);
        assert_eq!(list(cloud, "2.74", "?xxx=1").await.len(), 3);
        cloud.ask("admin", "2.75", "GET /os-services?xxx=1", None).await.refusal(400);
        cloud.ask("demo", "2.96", "GET /os-services", None).await.refusal(403);
    });
}

#[test]
fn switched_by_name() {
    run(2, 1, async |cloud| {
        let node = json!({"host": "node0", "binary": "nova-compute"});
        let mut why = node.clone();
        why["disabled_reason"] = "new disks".into();
        let said = put(cloud, "2.1", "disable-log-reason", why.clone()).await.expect(200);
        assert_eq!(
            said["service"],
            json!({"host": "node0", "binary": "nova-compute", "status": "disabled",
                   "disabled_reason": "new disks"})
        );
        assert_eq!(of(cloud, "node0").await["disabled_reason"], "new disks");
        put(cloud, "2.1", "enable", node.clone()).await.expect(200);
        assert_eq!(of(cloud, "node0").await["status"], "enabled");
        let said = put(cloud, "2.1", "disable", node.clone()).await.expect(200);
        assert_eq!(said["service"]["status"], "disabled");
        let row = of(cloud, "node0").await;
        assert_eq!((&row["status"], &row["disabled_reason"]), (&json!("disabled"), &Value::Null));
        let mut down = node.clone();
        down["forced_down"] = true.into();
        let said = put(cloud, "2.11", "force-down", down.clone()).await.expect(200);
        assert_eq!(said["service"]["forced_down"], true);
        assert_eq!(of(cloud, "node0").await["state"], "down");
        for (version, action, body, status) in [
            ("2.10", "force-down", node.clone(), 404),
            ("2.11", "force-down", node.clone(), 400),
            ("2.10", "disable", down, 400),
            ("2.1", "disable-log-reason", node.clone(), 400),
            ("2.1", "fly", node.clone(), 404),
            ("2.1", "enable", json!({"host": "nobody", "binary": "nova-compute"}), 404),
            ("2.1", "enable", json!({"host": "c1", "binary": "nova-scheduler"}), 400),
            ("2.1", "enable", json!({"host": "node0"}), 400),
        ] {
            let answer = put(cloud, version, action, body).await;
            assert_eq!(answer.status, status, "{version} {action}: {}", answer.body);
        }
    });
}

#[test]
fn switched_by_id() {
    run(3, 2, async |cloud| {
        let row = of(cloud, "node0").await;
        let id = row["id"].as_str().unwrap().to_owned();
        let off = json!({"status": "disabled", "disabled_reason": "why", "forced_down": "false"});
        let said = put(cloud, "2.53", &id, off).await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "services/updated_2.53", &stable(&said));
        // Nothing new is placed there.
        let server = cloud.active("demo", "a").await;
        assert_eq!(cloud.node_of(&server).name(), "node1");
        let said = put(cloud, "2.96", &id, json!({"status": "enabled"})).await.expect(200);
        assert_eq!(said["service"]["disabled_reason"], Value::Null);
        // Again is as good as once.
        put(cloud, "2.96", &id, json!({"status": "enabled"})).await.expect(200);
        let said = put(cloud, "2.96", &id, json!({"forced_down": true})).await.expect(200);
        assert_eq!(said["service"]["state"], "down");
        put(cloud, "2.96", &id, json!({"forced_down": false})).await.expect(200);
        let scheduler = list(cloud, "2.96", "?binary=nova-scheduler").await[0].clone();
        for (id, body, status) in [
            (id.as_str(), json!({}), 400),
            (&id, json!({"status": "asleep"}), 400),
            (&id, json!({"status": "enabled", "disabled_reason": "why"}), 400),
            (&id, json!({"disabled_reason": "why"}), 400),
            (&id, json!({"forced_down": 7}), 400),
            (&id, json!({"host": "node0"}), 400),
            ("1", json!({"status": "enabled"}), 400),
            ("5f0a9d9e-0c6b-4a44-8f6c-0f1f2f3f4f5f", json!({"status": "enabled"}), 404),
            (scheduler["id"].as_str().unwrap(), json!({"status": "disabled"}), 400),
        ] {
            let text = body.to_string();
            let answer = put(cloud, "2.53", id, body).await;
            assert_eq!(answer.status, status, "{id} {text}: {}", answer.body);
        }
    });
}

#[test]
fn a_node_without_servers_can_be_removed_and_comes_back_as_new() {
    run(4, 1, async |cloud| {
        let body = json!({"aggregate": {"name": "one", "availability_zone": "west"}});
        cloud.post("admin", "/os-aggregates", body).await.expect(200);
        let server = cloud.active("demo", "a").await;
        let row = of(cloud, "node0").await;
        let old = row["id"].as_str().unwrap().to_owned();
        let request = format!("DELETE /os-services/{old}");
        let refused = cloud.ask("admin", "2.96", &request, None).await.refusal(409);
        assert!(refused.contains("hosting instances"), "{refused}");
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{server}"), None).await.expect(204);
        cloud.gone("demo", &server).await;
        cloud.settle().await;
        let action = json!({"add_host": {"host": "node0"}});
        cloud.post("admin", "/os-aggregates/1/action", action).await.expect(200);
        cloud.ask("admin", "2.53", "DELETE /os-services/7", None).await.refusal(400);
        cloud.ask("admin", "2.52", "DELETE /os-services/7", None).await.refusal(404);
        let scheduler = list(cloud, "2.96", "?binary=nova-scheduler").await[0].clone();
        let scheduler = format!("DELETE /os-services/{}", scheduler["id"].as_str().unwrap());
        cloud.ask("admin", "2.96", &scheduler, None).await.refusal(409);

        cloud.ask("admin", "2.96", &request, None).await.expect(204);
        let one = cloud.get("admin", "/os-aggregates/1").await.expect(200);
        assert_eq!(one["aggregate"]["hosts"], json!([]));
        assert!(cloud.controller().state.known().get::<ProviderRecord>(&old).is_none());
        cloud.ask("admin", "2.96", &request, None).await.refusal(404);
        cloud
            .until("the node is back", |cloud| {
                let known = cloud.controller().state.known();
                known.get::<NodeRecord>("node0").is_some_and(|node| node.is_up())
            })
            .await;
        assert_ne!(of(cloud, "node0").await["id"], old.as_str());
        cloud.active("demo", "b").await;
    });
}
