//! Allocations of every shape, and reshaping.

use serde_json::{Value, json};

use crate::world::{C1, C2, Cloud, P1, P2, allocation, run};

async fn used(cloud: &Cloud, provider: &str) -> Value {
    cloud.get(&format!("/resource_providers/{provider}/usages")).await["usages"].clone()
}

async fn of(cloud: &Cloud, consumer: &str) -> Value {
    cloud.get(&format!("/allocations/{consumer}")).await
}

#[test]
fn every_shape_of_a_put() {
    run(1, async |cloud| {
        cloud.provider(P1, None, &[("VCPU", 8)]).await;
        let list = json!([{"resource_provider": {"uuid": P1}, "resources": {"VCPU": 1}}]);
        let map = json!({P1: {"resources": {"VCPU": 1}}});
        let owned = |allocations: &Value| json!({"allocations": allocations, "project_id": "p", "user_id": "u"});
        let mut with_generation = owned(&map);
        with_generation["consumer_generation"] = Value::Null;
        let mut with_mappings = with_generation.clone();
        with_mappings["mappings"] = json!({"": [P1], "_A": [P1]});
        let mut with_type = with_mappings.clone();
        with_type["consumer_type"] = "THING".into();
        let path = format!("/placement/allocations/{C1}");
        for (version, good, bad) in [
            ("1.0", json!({"allocations": list}), owned(&list)),
            ("1.8", owned(&list), json!({"allocations": list})),
            ("1.11", owned(&list), owned(&map)),
            ("1.12", owned(&map), owned(&list)),
            ("1.27", owned(&map), with_generation.clone()),
            ("1.28", with_generation.clone(), owned(&map)),
            ("1.33", with_generation.clone(), with_mappings.clone()),
            ("1.34", with_mappings.clone(), with_type.clone()),
            ("1.38", with_type.clone(), with_mappings.clone()),
            ("1.39", with_type, with_generation.clone()),
        ] {
            let client = cloud.at(version);
            let refused = client.put(&path, bad).await;
            assert_eq!(refused.status, 400, "{version}: {}", refused.text());
            let taken = client.put(&path, good).await;
            assert_eq!(taken.status, 204, "{version}: {}", taken.text());
            assert_eq!(used(&cloud, P1).await, json!({"VCPU": 1}), "{version}");
            client.delete(&path).await.expect(204);
            assert_eq!(used(&cloud, P1).await, json!({"VCPU": 0}), "{version}");
        }
        let nobody = json!({"allocations": list});
        cloud.at("1.0").put(&path, nobody).await.expect(204);
        let seen = of(&cloud, C1).await;
        assert_eq!(seen["project_id"], "00000000-0000-0000-0000-000000000000");
        assert_eq!(seen["consumer_type"], "unknown");
    });
}

#[test]
fn many_at_once_are_all_or_nothing() {
    run(2, async |cloud| {
        cloud.provider(P1, None, &[("VCPU", 4)]).await;
        cloud.provider(P2, None, &[("VCPU", 4)]).await;
        let path = "/placement/allocations";
        let client = cloud.at("1.39");
        let both = json!({
            C1: allocation(P1, json!({"VCPU": 4}), Value::Null),
            C2: allocation(P2, json!({"VCPU": 4}), Value::Null),
        });
        client.post(path, both).await.expect(204);
        // They change places, though both providers are full.
        let swap = json!({
            C1: allocation(P2, json!({"VCPU": 4}), json!(1)),
            C2: allocation(P1, json!({"VCPU": 4}), json!(1)),
        });
        client.post(path, swap).await.expect(204);
        assert_eq!(of(&cloud, C1).await["allocations"][P2]["resources"]["VCPU"], 4);
        // One gives all back, the other asks for too much: nothing happens.
        let mut nothing = allocation(P1, json!({"VCPU": 1}), json!(2));
        nothing["allocations"] = json!({});
        let too_much = json!({C1: nothing, C2: allocation(P1, json!({"VCPU": 5}), json!(2))});
        client.post(path, too_much).await.expect(409);
        assert_eq!(used(&cloud, P2).await, json!({"VCPU": 4}));
        let handed_over = json!({C1: nothing, C2: allocation(P2, json!({"VCPU": 4}), json!(2))});
        client.post(path, handed_over).await.expect(204);
        assert_eq!(of(&cloud, C1).await, json!({"allocations": {}}));
        assert_eq!(
            (used(&cloud, P1).await, used(&cloud, P2).await),
            (json!({"VCPU": 0}), json!({"VCPU": 4}))
        );
        // Empty allocations of nobody are fine.
        let mut new = nothing.clone();
        new["consumer_generation"] = Value::Null;
        cloud.put(&format!("/allocations/{C1}"), new).await.expect(204);
    });
}

#[test]
fn units_and_shrunken_providers() {
    run(3, async |cloud| {
        cloud.provider(P1, None, &[]).await;
        let has = |total: u64| {
            json!({"resource_provider_generation": Value::Null, "inventories": {"DISK_GB": {
                "total": total, "min_unit": 10, "max_unit": 50, "step_size": 10,
            }}})
        };
        let path = format!("/resource_providers/{P1}/inventories");
        let mut body = has(100);
        body["resource_provider_generation"] = cloud.generation(P1).await.into();
        cloud.put(&path, body).await.expect(200);
        let own = format!("/allocations/{C1}");
        for (amount, status) in [(5, 409), (60, 409), (25, 409), (50, 204)] {
            let body = allocation(P1, json!({"DISK_GB": amount}), Value::Null);
            let answer = cloud.put(&own, body).await;
            assert_eq!(answer.status, status, "{amount}: {}", answer.text());
        }
        // The provider may shrink below what is taken; then less, or as much, is taken, but not more.
        let mut body = has(40);
        body["resource_provider_generation"] = cloud.generation(P1).await.into();
        cloud.put(&path, body).await.expect(200);
        let other = allocation(P1, json!({"DISK_GB": 10}), Value::Null);
        cloud.put(&format!("/allocations/{C2}"), other).await.expect(409);
        cloud.put(&own, allocation(P1, json!({"DISK_GB": 50}), json!(1))).await.expect(204);
        cloud.put(&own, allocation(P1, json!({"DISK_GB": 40}), json!(2))).await.expect(204);
        cloud.put(&own, allocation(P1, json!({"DISK_GB": 50}), json!(3))).await.expect(409);
    });
}

#[test]
fn reshape() {
    run(4, async |cloud| {
        cloud.provider(P1, None, &[("VCPU", 4), ("VGPU", 2)]).await;
        cloud.provider(P2, Some(P1), &[]).await;
        let body = allocation(P1, json!({"VCPU": 4, "VGPU": 2}), Value::Null);
        cloud.put(&format!("/allocations/{C1}"), body).await.expect(204);
        let mut moved = allocation(P1, json!({"VCPU": 4}), json!(1));
        moved["allocations"][P2] = json!({"resources": {"VGPU": 2}});
        let (one, two) = (cloud.generation(P1).await, cloud.generation(P2).await);
        let shape = |one: u64, moved: &Value| {
            json!({
                "inventories": {
                    P1: {"resource_provider_generation": one,
                         "inventories": {"VCPU": {"total": 4}}},
                    P2: {"resource_provider_generation": two,
                         "inventories": {"VGPU": {"total": 2}}},
                },
                "allocations": {C1: moved},
            })
        };
        let path = "/placement/reshaper";
        let service = cloud.as_at("service", "1.39");
        let stale = service.post(path, shape(one + 1, &moved)).await.expect(409).json();
        assert_eq!(stale["errors"][0]["code"], "placement.concurrent_update");
        // Without moving what stands on it, nothing is reshaped.
        let kept = allocation(P1, json!({"VCPU": 4, "VGPU": 2}), json!(1));
        let in_use = service.post(path, shape(one, &kept)).await.expect(409).json();
        assert_eq!(in_use["errors"][0]["code"], "placement.inventory.inuse");
        let mut unknown = shape(one, &moved);
        unknown["inventories"][crate::world::NOBODY] = unknown["inventories"][P1].clone();
        let unknown = service.post(path, unknown).await.expect(400).json();
        assert_eq!(unknown["errors"][0]["code"], "placement.resource_provider.not_found");
        assert_eq!(cloud.generation(P1).await, one);
        service.post(path, shape(one, &moved)).await.expect(204);
        assert_eq!(used(&cloud, P1).await, json!({"VCPU": 4}));
        assert_eq!(used(&cloud, P2).await, json!({"VGPU": 2}));
        assert_eq!(of(&cloud, C1).await["consumer_generation"], 2);
    });
}
