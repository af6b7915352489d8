//! What answers look like, microversion by microversion.

use serde_json::{Value, json};
use web::testing::golden;

use crate::world::{AGGREGATE, C1, Cloud, P1, P2, P3, allocation, run};

fn sample(name: &str, value: &Value) {
    golden(env!("CARGO_MANIFEST_DIR"), name, value);
}

async fn furnish(cloud: &Cloud) {
    cloud.provider(P1, None, &[("VCPU", 8), ("MEMORY_MB", 1024)]).await;
    cloud.put("/resource_classes/CUSTOM_GPU", json!({})).await.expect(201);
    cloud.provider(P2, Some(P1), &[("CUSTOM_GPU", 2)]).await;
    cloud.provider(P3, None, &[("DISK_GB", 100)]).await;
    cloud.traits(P2, &["CUSTOM_FAST", "HW_CPU_X86_AVX2"]).await;
    cloud.traits(P3, &["MISC_SHARES_VIA_AGGREGATE"]).await;
    cloud.aggregates(P1, &[AGGREGATE]).await;
    cloud.aggregates(P3, &[AGGREGATE]).await;
    let mut body = allocation(P1, json!({"VCPU": 2, "MEMORY_MB": 256}), Value::Null);
    body["allocations"][P3] = json!({"resources": {"DISK_GB": 5}});
    cloud.put(&format!("/allocations/{C1}"), body).await.expect(204);
}

#[test]
fn one_of_each() {
    run(1, async |cloud| {
        furnish(&cloud).await;
        let p1 = format!("/resource_providers/{P1}");
        let of_consumer = format!("/allocations/{C1}");
        let candidates =
            "/allocation_candidates?resources=VCPU:1,DISK_GB:10&resources_GPU=CUSTOM_GPU:1";
        let flat = "/allocation_candidates?resources=VCPU:1,DISK_GB:10";
        for (name, path, versions) in [
            ("provider", p1.as_str(), &["1.0", "1.1", "1.6", "1.11", "1.14", "1.39"][..]),
            ("providers", "/resource_providers", &["1.39"]),
            ("inventories", &format!("{p1}/inventories"), &["1.0"]),
            ("inventory", &format!("{p1}/inventories/VCPU"), &["1.0"]),
            ("usages", &format!("{p1}/usages"), &["1.0"]),
            ("aggregates", &format!("{p1}/aggregates"), &["1.1", "1.19"]),
            ("traits_of", &format!("/resource_providers/{P2}/traits"), &["1.6"]),
            ("allocations_of", &format!("{p1}/allocations"), &["1.0", "1.28"]),
            ("allocations", &of_consumer, &["1.0", "1.12", "1.28", "1.38"]),
            ("totals", "/usages?project_id=p", &["1.9", "1.38"]),
            ("totals_all", "/usages?project_id=p&consumer_type=all", &["1.38"]),
            ("classes", "/resource_classes", &["1.2"]),
            ("class", "/resource_classes/CUSTOM_GPU", &["1.2"]),
            ("traits", "/traits?associated=true", &["1.6"]),
            ("candidates", flat, &["1.10", "1.12", "1.17", "1.27", "1.29", "1.34"]),
            ("candidates_groups", candidates, &["1.33", "1.34"]),
        ] {
            for version in versions {
                let answer = cloud.at(version).get(&format!("/placement{path}")).await.expect(200);
                sample(&format!("{name}_{version}"), &answer.json());
                let dated = answer.headers.contains_key("last-modified");
                let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
                assert_eq!(dated, minor >= 15, "{name} {version}");
                assert_eq!(answer.header("openstack-api-version"), format!("placement {version}"));
            }
        }
        for path in ["/placement", "/placement/"] {
            let version = cloud.at("1.0").get(path).await.expect(200).json();
            sample("version", &version);
        }
    });
}

#[test]
fn what_is_made_is_found_where_it_says() {
    run(2, async |cloud| {
        let body = json!({"name": "one", "uuid": P1.replace('-', "")});
        let made = cloud.at("1.19").post("/placement/resource_providers", body).await.expect(201);
        assert!(made.bytes.is_empty());
        let place = made.header("location").to_owned();
        assert_eq!(place, format!("http://localhost/placement/resource_providers/{P1}"));
        let path = place.strip_prefix("http://localhost").unwrap().to_owned();
        let seen = cloud.at("1.39").get(&path).await.expect(200);
        assert_eq!(seen.json()["name"], "one");
        let body = json!({"name": "two"});
        let made = cloud.at("1.20").post("/placement/resource_providers", body).await.expect(200);
        let id = made.json()["uuid"].as_str().unwrap().to_owned();
        assert!(made.header("location").ends_with(&id));
        let body = json!({"resource_class": "VCPU", "total": 4});
        let path = format!("/placement/resource_providers/{id}/inventories");
        let made = cloud.at("1.0").post(&path, body).await.expect(201);
        assert_eq!(made.json()["resource_provider_generation"], 1);
        assert!(made.header("location").ends_with(&format!("{id}/inventories/VCPU")));
        let client = cloud.at("1.6");
        client.put("/placement/traits/CUSTOM_A", json!({})).await.expect(201);
        client.put("/placement/traits/CUSTOM_A", json!({})).await.expect(204);
        client.get("/placement/traits/CUSTOM_A").await.expect(204);
        client.delete("/placement/traits/CUSTOM_A").await.expect(204);
        client.get("/placement/traits/CUSTOM_A").await.expect(404);
        // Before 1.7 a PUT renames, from 1.7 on it makes.
        let body = json!({"name": "CUSTOM_B"});
        client.post("/placement/resource_classes", body.clone()).await.expect(201);
        let body = json!({"name": "CUSTOM_C"});
        client.put("/placement/resource_classes/CUSTOM_B", body).await.expect(200);
        client.get("/placement/resource_classes/CUSTOM_B").await.expect(404);
        let client = cloud.at("1.7");
        client.put("/placement/resource_classes/CUSTOM_C", json!({})).await.expect(204);
        client.put("/placement/resource_classes/CUSTOM_D", json!({})).await.expect(201);
    });
}
