//! Hypervisors through the API, in a simulated cloud.

use serde_json::{Value, json};
use web::testing::{golden, stable};

use crate::servers::tests::world::{Cloud, run};

async fn get(cloud: &Cloud, version: &str, path: &str) -> Value {
    cloud.ask("admin", version, &format!("GET /os-hypervisors{path}"), None).await.expect(200)
}

async fn refused(cloud: &Cloud, version: &str, path: &str, status: u16) -> String {
    let request = format!("GET /os-hypervisors{path}");
    cloud.ask("admin", version, &request, None).await.refusal(status)
}

/// Numbers are made from ids, which differ from run to run of another seed.
fn numberless(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.get("id").is_some_and(Value::is_u64) {
                    map.insert("id".into(), "<number>".into());
                }
                map.values_mut().for_each(walk);
            }
            Value::Array(list) => list.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    stable(&value)
}

#[test]
fn shapes() {
    run(1, 1, async |cloud| {
        cloud.active("demo", "a").await;
        let sample = |name: &str, value: Value| {
            let name = format!("hypervisors/{name}");
            golden(env!("CARGO_MANIFEST_DIR"), &name, &numberless(value));
        };
        sample("list_2.1", get(cloud, "2.1", "").await);
        sample("detail_2.1", get(cloud, "2.1", "/detail").await);
        sample("detail_2.28", get(cloud, "2.28", "/detail").await);
        sample("list_2.53_servers", get(cloud, "2.53", "?with_servers=true").await);
        sample("detail_2.53", get(cloud, "2.53", "/detail").await);
        sample("detail_2.88", get(cloud, "2.88", "/detail?with_servers=1").await);
        sample("statistics", get(cloud, "2.87", "/statistics").await);
        sample("search", get(cloud, "2.52", "/node/search").await);
        sample("servers", get(cloud, "2.52", "/node0/servers").await);
        let id = get(cloud, "2.1", "").await["hypervisors"][0]["id"].to_string();
        sample("uptime", get(cloud, "2.1", &format!("/{id}/uptime")).await);
        let one = get(cloud, "2.1", &format!("/{id}")).await;
        assert_eq!(one["hypervisor"], get(cloud, "2.1", "/detail").await["hypervisors"][0]);
    });
}

#[test]
fn without_servers() {
    run(2, 1, async |cloud| {
        let brief = async |version: &str, path: &str| {
            get(cloud, version, path).await["hypervisors"][0].get("servers").cloned()
        };
        assert_eq!(brief("2.53", "?with_servers=true").await, None);
        assert_eq!(brief("2.75", "?with_servers=true").await, Some(json!([])));
        assert_eq!(brief("2.75", "").await, None);
        assert_eq!(brief("2.52", "/node0/servers").await, None);
    });
}

#[test]
fn pages_and_patterns() {
    run(3, 5, async |cloud| {
        for version in ["2.33", "2.53", "2.96"] {
            let mut seen = Vec::new();
            let mut path = "/detail?limit=2".to_owned();
            loop {
                let page = get(cloud, version, &path).await;
                for one in page["hypervisors"].as_array().unwrap() {
                    seen.push(one["hypervisor_hostname"].as_str().unwrap().to_owned());
                }
                let Some(next) = page.get("hypervisors_links") else { break };
                let href = next[0]["href"].as_str().unwrap();
                path = href.split("os-hypervisors").nth(1).unwrap().to_owned();
            }
            seen.sort();
            assert_eq!(seen, ["node0", "node1", "node2", "node3", "node4"], "{version}");
        }
        let all = get(cloud, "2.32", "?limit=2").await;
        assert_eq!(all["hypervisors"].as_array().unwrap().len(), 5);
        let found = get(cloud, "2.53", "?hypervisor_hostname_pattern=ode3").await;
        assert_eq!(found["hypervisors"].as_array().unwrap().len(), 1);
        refused(cloud, "2.53", "?hypervisor_hostname_pattern=x", 404).await;
        refused(cloud, "2.53", "?hypervisor_hostname_pattern=node&limit=1", 400).await;
        refused(cloud, "2.53", "?hypervisor_hostname_pattern=a%20b", 400).await;
        refused(cloud, "2.53", "?with_servers=perhaps", 400).await;
        refused(cloud, "2.53", "?colour=blue", 400).await;
        refused(cloud, "2.33", "?marker=nothing", 400).await;
        refused(cloud, "2.33", "?limit=-1", 400).await;
        refused(cloud, "2.52", "/nothing/search", 404).await;
        refused(cloud, "2.52", "/x", 404).await;
        refused(cloud, "2.52", "/1", 404).await;
        refused(cloud, "2.53", "/1", 400).await;
        refused(cloud, "2.53", "/5f0a9d9e-0c6b-4a44-8f6c-0f1f2f3f4f5f", 404).await;
        for path in ["/node0/search", "/node0/servers"] {
            refused(cloud, "2.53", path, 404).await;
        }
        refused(cloud, "2.88", "/statistics", 404).await;
        cloud.ask("demo", "2.96", "GET /os-hypervisors", None).await.refusal(403);
    });
}
