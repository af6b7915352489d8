//! From the request to the machine and back.

use std::time::Duration;

use serde_json::json;

use super::world::{Cloud, new_server, run, run_with, tiny};
use crate::{
    ComputeConfig,
    servers::{BatchRecord, DeletedServer, GoneRecord, ServerRecord},
};

fn label_counts(cloud: &Cloud) -> Vec<(&'static str, u64)> {
    cloud.store.counts().into_iter().map(|(label, count)| (label, count.done)).collect()
}

#[test]
fn post_to_active_is_three_commits_and_delete_two() {
    run(1, 3, async |cloud| {
        let id = cloud.active("demo", "vm").await;
        cloud.settle().await;
        assert_eq!(
            label_counts(cloud),
            [("servers::create", 1), ("servers::place", 1), ("servers::report", 1)]
        );
        assert_eq!(cloud.node_of(&id).host().on().len(), 1);
        cloud.store.reset_counts();
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{id}"), None).await.expect(204);
        let shown = cloud.get("demo", &format!("/servers/{id}")).await;
        if shown.status == 200 {
            assert_eq!(shown.body["server"]["OS-EXT-STS:task_state"], "deleting");
            assert_eq!(shown.body["server"]["status"], "ACTIVE");
        }
        cloud.gone("demo", &id).await;
        cloud.settle().await;
        assert_eq!(label_counts(cloud), [("servers::delete", 1), ("servers::report", 1)]);
        let known = cloud.controller().state.known();
        assert_eq!(known.count::<ServerRecord>(), 0);
        assert_eq!(known.count::<GoneRecord>(), 0);
        assert_eq!(known.count::<DeletedServer>(), 1);
        cloud
            .until("no machine is left", |cloud| {
                cloud.nodes.iter().all(|node| node.host().on().is_empty())
            })
            .await;
    });
}

#[test]
fn stops_starts_and_reboots() {
    run(2, 2, async |cloud| {
        let id = cloud.active("demo", "vm").await;
        cloud.act("demo", &id, json!({"os-stop": null})).await.expect(202);
        let off = cloud.status("demo", &id, "SHUTOFF").await;
        assert_eq!(off["OS-EXT-STS:power_state"], 4);
        assert!(cloud.node_of(&id).host().on().is_empty());
        cloud.act("demo", &id, json!({"os-start": null})).await.expect(202);
        let on = cloud.status("demo", &id, "ACTIVE").await;
        assert_eq!(on["OS-EXT-STS:power_state"], 1);
        let launches = cloud.node_of(&id).host().launches();
        cloud.act("demo", &id, json!({"reboot": {"type": "HARD"}})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
        cloud.act("demo", &id, json!({"reboot": {"type": "SOFT"}})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
        assert!(cloud.node_of(&id).host().launches() >= launches);
        // A hard reboot switches on what is off.
        cloud.act("demo", &id, json!({"os-stop": null})).await.expect(202);
        cloud.status("demo", &id, "SHUTOFF").await;
        cloud.act("demo", &id, json!({"reboot": {"type": "hard"}})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;

        let actions =
            cloud.get("demo", &format!("/servers/{id}/os-instance-actions")).await.expect(200);
        let names: Vec<_> = actions["instanceActions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action["action"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["reboot", "stop", "reboot", "reboot", "start", "stop", "create"]);
        let request = actions["instanceActions"][6]["request_id"].as_str().unwrap();
        let created = cloud
            .get("admin", &format!("/servers/{id}/os-instance-actions/{request}"))
            .await
            .expect(200);
        let event = &created["instanceAction"]["events"][0];
        assert_eq!(event["event"], "compute__do_build_and_run_instance");
        assert_eq!(event["result"], "Success");
        assert_eq!(event["host"], cloud.node_of(&id).name());
    });
}

#[test]
fn a_guest_that_switches_itself_off_stays_off() {
    run(3, 1, async |cloud| {
        let id = cloud.active("demo", "vm").await;
        cloud.node_of(&id).host().guest_power_off(&id.as_str().into());
        cloud.status("demo", &id, "SHUTOFF").await;
        cloud.node_of(&id).reboot();
        cloud.world.sleep(Duration::from_secs(120)).await;
        cloud.status("demo", &id, "SHUTOFF").await;
        cloud.act("demo", &id, json!({"os-start": null})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
    });
}

#[test]
fn nobody_has_room() {
    run_with(4, 2, tiny(), ComputeConfig::default(), async |cloud| {
        let mut body = new_server("vm");
        body["server"]["flavorRef"] = json!("big");
        cloud.post("demo", "/servers", body.clone()).await.refusal(403);
        let id = cloud.post("admin", "/servers", body).await;
        // 500 cores are more than the quota, for an administrator too.
        assert_eq!(id.status, 403);

        let mut body = new_server("vm");
        body["server"]["flavorRef"] = json!("2");
        let id = cloud.post("demo", "/servers", body).await.expect(202)["server"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let server = cloud.status("demo", &id, "ERROR").await;
        assert_eq!(server["fault"]["message"], "No valid host was found.");
        assert_eq!(server["fault"]["code"], 500);
        assert!(server["fault"].get("details").is_none());
        let server = cloud.get("admin", &format!("/servers/{id}")).await.expect(200);
        let details = server["server"]["fault"]["details"].as_str().unwrap();
        assert!(details.contains("node0") && details.contains("node1"), "{details}");
        assert!(details.contains("memory"), "{details}");
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{id}"), None).await.expect(204);
        cloud.get("demo", &format!("/servers/{id}")).await.expect(404);
    });
}

#[test]
fn a_machine_that_cannot_start_is_in_error_and_a_hard_reboot_gets_it_out() {
    run(5, 1, async |cloud| {
        cloud.nodes[0].host().fail_next(0, 1, true);
        let id = cloud.create("demo", "vm").await;
        let server = cloud.status("demo", &id, "ERROR").await;
        assert!(!server["fault"]["message"].as_str().unwrap().is_empty());
        cloud.nodes[0].host().fail_next(0, 0, false);
        // It never ran: Nova refuses a reboot of such.
        let refused = cloud.act("demo", &id, json!({"reboot": {"type": "HARD"}})).await;
        assert_eq!(
            refused.refusal(409),
            format!("Instance {id} is in an invalid state for 'reboot'")
        );
        // An administrator's word brings a newer order, and the node tries again.
        cloud.act("admin", &id, json!({"os-resetState": {"state": "active"}})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
        cloud.act("demo", &id, json!({"os-stop": null})).await.expect(202);
        cloud.status("demo", &id, "SHUTOFF").await;
        cloud.nodes[0].host().fail_next(0, 1, true);
        cloud.act("demo", &id, json!({"os-start": null})).await.expect(202);
        cloud.status("demo", &id, "ERROR").await;
        cloud.nodes[0].host().fail_next(0, 0, false);
        cloud.act("demo", &id, json!({"reboot": {"type": "HARD"}})).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
    });
}

#[test]
fn an_administrator_resets_states() {
    run(6, 1, async |cloud| {
        let id = cloud.active("demo", "vm").await;
        let reset = |state: &str| json!({"os-resetState": {"state": state}});
        cloud.act("demo", &id, reset("error")).await.expect(403);
        cloud.act("admin", &id, reset("error")).await.expect(202);
        cloud.status("demo", &id, "ERROR").await;
        cloud.world.sleep(Duration::from_secs(60)).await;
        cloud.status("demo", &id, "ERROR").await;
        cloud.act("admin", &id, reset("active")).await.expect(202);
        cloud.status("demo", &id, "ACTIVE").await;
        cloud.act("admin", &id, reset("error")).await.expect(202);
        cloud.act("demo", &id, json!({"os-stop": null})).await.expect(202);
        cloud.status("demo", &id, "SHUTOFF").await;
    });
}

#[test]
fn a_node_goes_away_and_comes_back() {
    run(7, 2, async |cloud| {
        let (kept, deleted) = (cloud.active("demo", "a").await, cloud.active("demo", "b").await);
        for node in &cloud.nodes {
            node.kill();
        }
        cloud
            .until("the nodes are away", |cloud| {
                let known = cloud.controller().state.known();
                known.all::<nodes::NodeRecord>().all(|node| !node.is_up())
            })
            .await;
        let shown = cloud.get("admin", &format!("/servers/{kept}")).await.expect(200);
        assert_eq!(shown["server"]["status"], "ACTIVE");
        assert_eq!(shown["server"]["host_status"], "UNKNOWN");
        // The owner's delete does not wait, and what the machine may hold stays claimed.
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{deleted}"), None).await.expect(204);
        cloud.get("demo", &format!("/servers/{deleted}")).await.expect(404);
        assert_eq!(cloud.controller().state.known().count::<GoneRecord>(), 1);
        assert!(cloud.inconsistencies().is_empty());
        for node in &cloud.nodes {
            node.start();
        }
        cloud
            .until("it is cleared away", |cloud| {
                cloud.controller().state.known().count::<GoneRecord>() == 0
            })
            .await;
        cloud.status("demo", &kept, "ACTIVE").await;
        let on: Vec<_> = cloud.nodes.iter().flat_map(|node| node.host().on()).collect();
        assert_eq!(on.len(), 1, "{on:?}");
        assert_eq!(on[0].0.as_str(), kept);
    });
}

#[test]
fn a_node_that_goes_away_while_it_makes_a_server_ready() {
    let mut settings = agent::fake::FakeSettings::default();
    settings.times.prepare = Duration::from_secs(100);
    run_with(8, 1, settings, ComputeConfig::default(), async |cloud| {
        let id = cloud.create("demo", "vm").await;
        cloud
            .until("it has a place", |cloud| {
                let known = cloud.controller().state.known();
                known.get::<ServerRecord>(&id).is_some_and(|server| server.place.is_some())
            })
            .await;
        cloud.nodes[0].kill();
        let server = cloud.status("demo", &id, "ERROR").await;
        assert_eq!(
            server["fault"]["message"],
            "The node node0 went away while it made the server ready."
        );
        cloud.nodes[0].start();
        cloud.status("demo", &id, "ACTIVE").await;
    });
}

#[test]
fn many_at_once_are_shown_before_they_are_made() {
    run(9, 3, async |cloud| {
        cloud.raise_quota("p-demo", 100).await;
        let mut body = new_server("many");
        body["server"]["min_count"] = json!(60);
        body["server"]["max_count"] = json!("200");
        body["server"]["user_data"] = json!("QUJD".repeat(2000));
        body["server"]["config_drive"] = json!(true);
        body["server"]["return_reservation_id"] = json!(true);
        let answer = cloud.post("demo", "/servers", body).await.expect(202);
        let reservation = answer["reservation_id"].as_str().unwrap().to_owned();
        assert!(reservation.starts_with("r-"));
        // 100 fit, and are as good as made.
        let list = cloud.get("demo", "/servers/detail").await.expect(200);
        let servers = list["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 100);
        let mut names: Vec<_> = servers.iter().map(|s| s["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 100);
        let refused = cloud.post("demo", "/servers", new_server("one more")).await.refusal(403);
        assert_eq!(
            refused,
            "Quota exceeded for cores, instances: Requested 1, 1, but already used 100, 100 of 100, 100 \
             cores, instances"
        );
        // Some are touched while they may still be a part of the batch.
        let id = |at: usize| servers[at]["id"].as_str().unwrap().to_owned();
        let (renamed, deleted) = (id(99), id(98));
        cloud
            .ask(
                "demo",
                "2.96",
                &format!("PUT /servers/{renamed}"),
                Some(json!({"server": {"name": "other"}})),
            )
            .await
            .expect(200);
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{deleted}"), None).await.expect(204);
        cloud.settle().await;
        cloud
            .until("all run", |cloud| {
                let known = cloud.controller().state.known();
                known.count::<BatchRecord>() == 0
                    && known.all::<ServerRecord>().filter(|s| s.launched_at.is_some()).count() == 99
            })
            .await;
        assert_eq!(cloud.status("demo", &renamed, "ACTIVE").await["name"], "other");
        cloud.get("demo", &format!("/servers/{deleted}")).await.expect(404);
        let list = cloud.get("demo", &format!("/servers?reservation_id={reservation}")).await;
        for server in list.expect(200)["servers"].as_array().unwrap() {
            let id = server["id"].as_str().unwrap();
            cloud.ask("demo", "2.96", &format!("DELETE /servers/{id}"), None).await.expect(204);
        }
        cloud
            .until("all are gone", |cloud| {
                cloud.controller().state.known().count::<ServerRecord>() == 0
            })
            .await;
        assert_eq!(cloud.controller().state.known().count::<crate::servers::BlobUsers>(), 0);
    });
}

#[test]
fn tombstones_are_bounded() {
    let config = ComputeConfig {
        keep_deleted_per_project: 5,
        keep_deleted: Duration::from_secs(3600),
        ..ComputeConfig::default()
    };
    run_with(10, 1, Default::default(), config, async |cloud| {
        for n in 0..9 {
            let id = cloud.active("demo", &format!("vm{n}")).await;
            cloud.ask("demo", "2.96", &format!("DELETE /servers/{id}"), None).await.expect(204);
            cloud.gone("demo", &id).await;
        }
        cloud.settle().await;
        let known = cloud.controller().state.known();
        assert_eq!(known.count::<DeletedServer>(), 5);
        assert_eq!(known.count::<crate::instance_actions::ActionsRecord>(), 5);
        cloud.world.sleep(Duration::from_secs(3700)).await;
        cloud
            .until("the old ones go", |cloud| {
                cloud.controller().state.known().count::<DeletedServer>() == 0
            })
            .await;
    });
}
