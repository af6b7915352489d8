//! Server groups through the API, alone and with servers.

use serde_json::{Value, json};

use super::ServerGroupRecord;
use crate::{
    quotas::UsageRecord,
    servers::tests::world::{Cloud, new_server, run},
};

fn group(policy: &str) -> Value {
    json!({"server_group": {"name": "g", "policy": policy}})
}

async fn make(cloud: &Cloud, policy: &str) -> String {
    let made = cloud.post("demo", "/os-server-groups", group(policy)).await.expect(200);
    made["server_group"]["id"].as_str().expect("id").to_owned()
}

async fn delete_all(cloud: &Cloud) {
    for group in cloud.controller().state.known().all::<ServerGroupRecord>() {
        let path = format!("DELETE /os-server-groups/{}", group.id);
        cloud.ask("demo", "2.96", &path, None).await.expect(204);
    }
}

fn in_group(name: &str, group: &str) -> Value {
    let mut body = new_server(name);
    body["os:scheduler_hints"] = json!({"group": group});
    body
}

#[test]
fn shapes_by_microversion() {
    run(1, 1, async |cloud| {
        let old = json!({"server_group": {"name": "g", "policies": ["affinity"]}});
        let ask = async |version: &str, body: &Value| {
            cloud.ask("demo", version, "POST /os-server-groups", Some(body.clone())).await
        };
        let shown = |answer: Value| {
            let mut group = answer["server_group"].clone();
            let id = group["id"].take();
            assert_eq!(id.as_str().map(str::len), Some(36));
            group
        };
        assert_eq!(
            shown(ask("2.1", &old).await.expect(200)),
            json!({"id": null, "name": "g", "policies": ["affinity"], "metadata": {}, "members": []})
        );
        assert_eq!(
            shown(ask("2.13", &old).await.expect(200)),
            json!({"id": null, "name": "g", "policies": ["affinity"], "metadata": {}, "members": [],
                   "project_id": "p-demo", "user_id": "u-demo"})
        );
        assert_eq!(
            shown(ask("2.64", &group("soft-anti-affinity")).await.expect(200)),
            json!({"id": null, "name": "g", "policy": "soft-anti-affinity", "rules": {}, "members": [],
                   "project_id": "p-demo", "user_id": "u-demo"})
        );
        let rules = json!({"server_group": {
            "name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": "3"},
        }});
        let made = shown(ask("2.96", &rules).await.expect(200));
        assert_eq!(made["rules"], json!({"max_server_per_host": 3}));
        let soft = json!({"server_group": {"name": "g", "policies": ["soft-affinity"]}});
        ask("2.15", &soft).await.expect(200);
        for (version, body) in [
            ("2.14", soft.clone()),
            ("2.64", soft),
            ("2.63", group("affinity")),
            ("2.1", json!({"server_group": {"name": "g", "policies": []}})),
            ("2.1", json!({"server_group": {"name": "g", "policies": ["affinity", "affinity"]}})),
            ("2.1", json!({"server_group": {"name": "g", "policies": ["legacy"]}})),
            ("2.1", json!({"server_group": {"name": "", "policies": ["affinity"]}})),
            ("2.64", json!({"server_group": {"name": "x".repeat(256), "policy": "affinity"}})),
            ("2.64", json!({"server_group": {"policy": "affinity"}})),
            (
                "2.64",
                json!({"server_group": {"name": "g", "policy": "anti-affinity",
                                             "rules": {"max_server_per_host": 0}}}),
            ),
            (
                "2.64",
                json!({"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"x": 1}}}),
            ),
        ] {
            ask(version, &body).await.refusal(400);
        }
        let rules = json!({"server_group": {
            "name": "g", "policy": "affinity", "rules": {"max_server_per_host": 1},
        }});
        assert_eq!(
            ask("2.64", &rules).await.refusal(400),
            "Only anti-affinity policy supports rules."
        );
        cloud.post("reader", "/os-server-groups", group("affinity")).await.refusal(403);
        delete_all(cloud).await;
    });
}

#[test]
fn lists_and_deletion() {
    run(2, 1, async |cloud| {
        let (a, b) = (make(cloud, "affinity").await, make(cloud, "anti-affinity").await);
        let ids = async |token: &str, query: &str| -> Vec<String> {
            let list = cloud.get(token, &format!("/os-server-groups{query}")).await.expect(200);
            let list = list["server_groups"].as_array().expect("groups").clone();
            list.iter().map(|g| g["id"].as_str().expect("id").to_owned()).collect()
        };
        assert_eq!(ids("demo", "").await, [a.clone(), b.clone()]);
        assert_eq!(ids("reader", "?limit=1").await, std::slice::from_ref(&a));
        assert_eq!(ids("demo", "?offset=1").await, std::slice::from_ref(&b));
        assert_eq!(ids("other", "").await, Vec::<String>::new());
        assert_eq!(ids("other", "?all_projects=1").await, Vec::<String>::new());
        assert_eq!(ids("admin", "").await, Vec::<String>::new());
        assert_eq!(ids("admin", "?all_projects=1").await, [a.clone(), b.clone()]);
        for wrong in ["?limit=-1", "?limit=x", "?offset=x", "?unknown=1"] {
            cloud.get("demo", &format!("/os-server-groups{wrong}")).await.refusal(400);
        }
        let one = format!("/os-server-groups/{a}");
        cloud.get("reader", &one).await.expect(200);
        cloud.get("other", &one).await.refusal(403);
        cloud.ask("reader", "2.96", &format!("DELETE {one}"), None).await.refusal(403);
        cloud.ask("other", "2.96", &format!("DELETE {one}"), None).await.refusal(403);
        cloud.ask("demo", "2.96", &format!("DELETE {one}"), None).await.expect(204);
        let missing = format!("Instance group {a} could not be found.");
        assert_eq!(cloud.get("demo", &one).await.refusal(404), missing);
        let again = cloud.ask("demo", "2.96", &format!("DELETE {one}"), None).await;
        assert_eq!(again.refusal(404), missing);
        cloud.ask("demo", "2.96", &format!("DELETE /os-server-groups/{b}"), None).await.expect(204);
        let known = cloud.controller().state.known();
        assert_eq!(known.count::<UsageRecord>(), 0, "what was counted was given back");
    });
}

#[test]
fn no_more_than_the_quota() {
    run(3, 1, async |cloud| {
        let asked: Vec<_> =
            (0..14).map(|_| cloud.post("demo", "/os-server-groups", group("affinity"))).collect();
        let mut refused = 0;
        for answer in futures_util::future::join_all(asked).await {
            if answer.status != 200 {
                let why = answer.refusal(403);
                assert_eq!(why, "Quota exceeded, too many server groups.");
                refused += 1;
            }
        }
        assert_eq!(refused, 4);
        let known = cloud.controller().state.known();
        assert_eq!(known.count::<ServerGroupRecord>(), 10);
        assert_eq!(known.get::<UsageRecord>("p-demo").expect("counted").server_groups, 10);
        delete_all(cloud).await;
    });
}

#[test]
fn servers_join_and_leave() {
    run(4, 3, async |cloud| {
        let id = make(cloud, "anti-affinity").await;
        let mut servers = Vec::new();
        for name in ["a", "b"] {
            let made = cloud.post("demo", "/servers", in_group(name, &id)).await.expect(202);
            servers.push(made["server"]["id"].as_str().expect("id").to_owned());
        }
        for server in &servers {
            cloud.status("demo", server, "ACTIVE").await;
        }
        assert_ne!(cloud.node_of(&servers[0]).name(), cloud.node_of(&servers[1]).name());
        let one = format!("/os-server-groups/{id}");
        let shown = cloud.get("demo", &one).await.expect(200);
        assert_eq!(shown["server_group"]["members"], json!(servers));
        cloud
            .ask("demo", "2.96", &format!("DELETE /servers/{}", servers[0]), None)
            .await
            .expect(204);
        cloud.gone("demo", &servers[0]).await;
        let shown = cloud.get("demo", &one).await.expect(200);
        assert_eq!(shown["server_group"]["members"], json!([servers[1]]));
        // A group may go while it has members.
        cloud.ask("demo", "2.96", &format!("DELETE {one}"), None).await.expect(204);
        cloud
            .ask("demo", "2.96", &format!("DELETE /servers/{}", servers[1]), None)
            .await
            .expect(204);
        cloud.gone("demo", &servers[1]).await;
        let lost = cloud.post("demo", "/servers", in_group("c", &id)).await.refusal(400);
        assert_eq!(lost, format!("Instance group {id} could not be found."));
        let id = make(cloud, "soft-affinity").await;
        cloud.post("other", "/servers", in_group("d", &id)).await.refusal(400);
        let limits = json!({"quota_set": {"server_group_members": 1}});
        furnish_project(cloud).await;
        let path = "PUT /os-quota-sets/p-demo";
        cloud.ask("admin", "2.96", path, Some(limits)).await.expect(200);
        let made = cloud.post("demo", "/servers", in_group("e", &id)).await.expect(202);
        let made = made["server"]["id"].as_str().expect("id").to_owned();
        let full = cloud.post("demo", "/servers", in_group("f", &id)).await.refusal(403);
        assert_eq!(full, "Quota exceeded, too many servers in group");
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{made}"), None).await.expect(204);
        cloud.gone("demo", &made).await;
        cloud
            .ask("demo", "2.96", &format!("DELETE /os-server-groups/{id}"), None)
            .await
            .expect(204);
    });
}

async fn furnish_project(cloud: &Cloud) {
    crate::quotas::tests::furnish(cloud).await;
}
