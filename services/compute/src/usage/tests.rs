//! Usage through the API: living and deleted servers, periods, pages.

use std::time::Duration;

use serde_json::{Value, json};

use crate::servers::tests::world::{Cloud, run};

fn at(cloud: &Cloud, plus: u64) -> String {
    let text = cloud.world.wall().plus(Duration::from_secs(plus)).iso_micros_zoneless();
    text.get(..19).expect("a time").to_owned()
}

async fn of(cloud: &Cloud, token: &str, path: &str) -> Value {
    cloud.get(token, &format!("/os-simple-tenant-usage{path}")).await.expect(200)
}

#[test]
fn hours_of_servers() {
    run(1, 2, async |cloud| {
        let start = at(cloud, 0);
        let living = cloud.active("demo", "living").await;
        let dead = cloud.active("demo", "dead").await;
        let others = cloud.active("other", "others").await;
        cloud.world.sleep(Duration::from_secs(3600)).await;
        cloud.ask("demo", "2.96", &format!("DELETE /servers/{dead}"), None).await.expect(204);
        cloud.gone("demo", &dead).await;
        cloud.settle().await;
        cloud.world.sleep(Duration::from_secs(3600)).await;
        let end = at(cloud, 60);
        let query = format!("?start={start}&end={end}");
        let shown = of(cloud, "reader", &format!("/p-demo{query}")).await;
        let usage = &shown["tenant_usage"];
        assert_eq!(usage["tenant_id"], "p-demo");
        assert_eq!(usage["start"], format!("{start}.000000"));
        let hours = usage["total_hours"].as_f64().expect("hours");
        assert!((hours - 3.0).abs() < 0.05, "{hours}");
        let memory = usage["total_memory_mb_usage"].as_f64().expect("memory");
        assert!((memory - hours * 512.0).abs() < 0.001);
        let servers = usage["server_usages"].as_array().expect("servers");
        assert_eq!(servers.len(), 2);
        for server in servers {
            let ended = server["instance_id"] == dead.as_str();
            assert!(ended || server["instance_id"] == living.as_str());
            assert_eq!(server["state"], if ended { "terminated" } else { "active" });
            assert_eq!(server["ended_at"].is_null(), !ended);
            assert_eq!((&server["vcpus"], &server["local_gb"]), (&json!(1), &json!(1)));
            assert_eq!(server["flavor"], "m1");
            let hours = server["hours"].as_f64().expect("hours");
            let expected = if ended { 1.0 } else { 2.0 };
            assert!((hours - expected).abs() < 0.05, "{hours}");
            let uptime = server["uptime"].as_u64().expect("seconds");
            assert!(uptime.abs_diff(if ended { 3600 } else { 7200 }) < 120, "{uptime}");
        }
        // Only within the period.
        let later = at(cloud, 0);
        let query = format!("?start={later}.000000&end={end}");
        cloud.world.sleep(Duration::from_secs(1800)).await;
        let shown = of(cloud, "demo", &format!("/p-demo{query}")).await;
        assert_eq!(shown["tenant_usage"]["server_usages"].as_array().map(Vec::len), Some(1));
        let hours = shown["tenant_usage"]["total_hours"].as_f64().expect("hours");
        assert!((hours - 60.0 / 3600.0).abs() < 0.001, "{hours}");
        assert_eq!(of(cloud, "admin", "/nobody").await, json!({"tenant_usage": {}}));
        // All projects, for administrators.
        let all = of(cloud, "admin", &format!("?start={start}&detailed=1")).await;
        let all = all["tenant_usages"].as_array().expect("usages").clone();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1]["server_usages"][0]["instance_id"], others.as_str());
        let brief = of(cloud, "admin", &format!("?start={start}")).await;
        assert_eq!(brief["tenant_usages"][0].get("server_usages"), None);
        // In pages, by server.
        let mut seen = Vec::new();
        let mut next = Some(format!("?start={start}&detailed=1&limit=1"));
        while let Some(query) = next {
            let page = of(cloud, "admin", &query).await;
            for usage in page["tenant_usages"].as_array().expect("usages") {
                for server in usage["server_usages"].as_array().expect("servers") {
                    seen.push(server["instance_id"].as_str().expect("id").to_owned());
                }
            }
            let link = page["tenant_usages_links"][0]["href"].as_str();
            next = link.and_then(|link| link.split_once('?')).map(|(_, query)| format!("?{query}"));
        }
        seen.sort();
        let mut expected = vec![living, dead, others];
        expected.sort();
        assert_eq!(seen, expected);
    });
}

#[test]
fn what_is_no_period() {
    run(2, 1, async |cloud| {
        for query in [
            "?start=2026-01-02T00:00:00&end=2026-01-01T00:00:00",
            "?start=2026-01-01T00:00:00&end=2026-01-01T00:00:00",
            "?start=tomorrow",
            "?start=2026-01-01",
            "?start=2026-01-01T00:00:00Z",
            "?start=2026-01-01T00:00:00%2B01:00",
            "?start=2026-01-01%2000:00:00",
            "?end=2026-13-01T00:00:00",
            "?limit=-1",
            "?marker=none",
            "?x=1",
        ] {
            cloud.get("admin", &format!("/os-simple-tenant-usage{query}")).await.refusal(400);
        }
        cloud
            .get("admin", "/os-simple-tenant-usage?start=2025-12-31%2000:00:00.5")
            .await
            .expect(200);
        cloud.get("admin", "/os-simple-tenant-usage").await.expect(200);
        cloud.get("demo", "/os-simple-tenant-usage").await.refusal(403);
        cloud.get("other", "/os-simple-tenant-usage/p-demo").await.refusal(403);
    });
}

#[test]
fn a_project_without_an_id_is_not_the_list() {
    run(1, 1, async |cloud| {
        cloud.get("admin", "/os-simple-tenant-usage").await.expect(200);
        cloud.get("admin", "/os-simple-tenant-usage/").await.expect(404);
    });
}
