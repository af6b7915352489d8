//! What other services do by function: providers of nodes, claims of servers; and that the API leaves
//! both alone.

use base::{Kind, Map};
use placement::{
    AllocationRecord, Consumer, Resources, UsageRecord, allocations::actions::*, capacity_of,
    providers::actions::*, room_of, usage_of,
};
use serde_json::{Value, json};

use crate::world::{AGGREGATE, C1, C2, Cloud, P1, P2, allocation, run};

async fn node(cloud: &Cloud, id: &str, totals: Resources) {
    let name = format!("node-{id}");
    cloud
        .state
        .transact("test::node", |txn| ensure_node(txn, id, &name, &totals))
        .await
        .expect("a node");
}

async fn take(cloud: &Cloud, consumer: &str, provider: &str, what: Resources) -> base::Result<()> {
    let consumer = Consumer::server(consumer, "p", "u");
    cloud.state.transact("test::claim", |txn| claim(txn, &consumer, provider, &what)).await
}

#[test]
fn a_node_has_novas_ratios_and_keeps_an_administrators() {
    run(1, async |cloud| {
        let totals = Resources::vm(4, 4096, 100);
        node(&cloud, P1, totals.clone()).await;
        let known = cloud.state.known();
        assert_eq!(capacity_of(&known, P1), Resources::vm(16, 3584, 100));
        assert_eq!(room_of(&known, P1).unwrap().largest, totals);
        let before = known.revision();
        node(&cloud, P1, totals.clone()).await;
        assert_eq!(cloud.state.known().revision(), before, "nothing was to be written");

        let path = format!("/resource_providers/{P1}/inventories");
        let mut body = cloud.get(&path).await;
        body["inventories"]["VCPU"]["allocation_ratio"] = json!(2.0);
        body["inventories"]["MEMORY_MB"]["reserved"] = json!(1024);
        body["inventories"]["SRIOV_NET_VF"] = json!({"total": 3});
        let changed = cloud.put(&path, body).await.expect(200).json();
        assert_eq!(changed["inventories"]["VCPU"]["max_unit"], 4);
        node(&cloud, P1, Resources::vm(8, 4096, 100)).await;
        let mut capacity = Resources::vm(16, 3072, 100);
        capacity.set("SRIOV_NET_VF", 3);
        assert_eq!(capacity_of(&cloud.state.known(), P1), capacity);
        // Little nodes have little to reserve, and no disk is no inventory.
        node(&cloud, P2, Resources::vm(1, 256, 0)).await;
        assert_eq!(capacity_of(&cloud.state.known(), P2), Resources::vm(4, 0, 0));
    });
}

#[test]
fn what_a_node_has_is_the_nodes_to_say() {
    run(2, async |cloud| {
        node(&cloud, P1, Resources::vm(4, 4096, 100)).await;
        let one = format!("/resource_providers/{P1}");
        let url = format!("/placement{one}");
        let path = format!("{one}/inventories");
        let client = cloud.at("1.39");
        let mut body = cloud.get(&path).await;
        body["inventories"]["VCPU"]["total"] = json!(400);
        let refused = cloud.put(&path, body).await.expect(409);
        assert!(refused.message().contains("stands for the node"), "{}", refused.text());
        client.delete(&format!("{url}/inventories")).await.expect(409);
        client.delete(&format!("{url}/inventories/DISK_GB")).await.expect(409);
        client.put(&url, json!({"name": "other"})).await.expect(409);
        client.delete(&url).await.expect(409);
        // Traits, aggregates and parts are an administrator's.
        cloud.traits(P1, &["CUSTOM_FAST"]).await;
        cloud.aggregates(P1, &[AGGREGATE]).await;
        cloud.provider(P2, Some(P1), &[("VGPU", 1)]).await;
        let remove =
            async || cloud.state.transact("test::remove", |txn| remove_node(txn, P1)).await;
        assert_eq!(remove().await.unwrap_err().kind(), Kind::Conflict, "it has a part");
        client.delete(&format!("/placement/resource_providers/{P2}")).await.expect(204);
        remove().await.expect("removed");
        remove().await.expect("removed again");
        client.delete("/placement/traits/CUSTOM_FAST").await.expect(204);
        // Its name is free again.
        let body = json!({"name": format!("node-{P1}")});
        client.post("/placement/resource_providers", body).await.expect(200);
    });
}

#[test]
fn claims() {
    run(3, async |cloud| {
        node(&cloud, P1, Resources::vm(2, 4096, 100)).await;
        node(&cloud, P2, Resources::vm(2, 4096, 100)).await;
        let vm = Resources::vm(2, 1024, 10);
        take(&cloud, C1, P1, vm.clone()).await.expect("room");
        let before = cloud.state.known().revision();
        take(&cloud, C1, P1, vm.clone()).await.expect("the same again");
        assert_eq!(cloud.state.known().revision(), before, "nothing was to be written");
        let error = take(&cloud, C2, P1, Resources::vm(3, 1, 1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.message().ends_with("VCPU: 3 asked, one consumer may take 2."), "{error}");
        let error = take(&cloud, C2, P1, Resources::vm(1, 4000, 1)).await.unwrap_err();
        assert!(error.message().ends_with("MEMORY_MB: 4000 asked, 2560 of 3584 free."), "{error}");
        let error = take(&cloud, C2, crate::world::NOBODY, vm.clone()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        // On its way from one node to the other it holds both.
        take(&cloud, C1, P2, Resources::vm(1, 512, 5)).await.expect("room");
        let seen = cloud.get(&format!("/allocations/{C1}")).await;
        assert_eq!(
            seen["allocations"][P1]["resources"],
            json!({"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10})
        );
        assert_eq!(
            (&seen["consumer_type"], &seen["project_id"]),
            (&json!("INSTANCE"), &json!("p"))
        );
        let from = |provider: &'static str| {
            let state = cloud.state.clone();
            async move {
                state.transact("test::from", |txn| release_from(txn, C1, provider)).await.unwrap();
            }
        };
        from(P1).await;
        from(P1).await;
        let known = cloud.state.known();
        assert!(usage_of(&known, P1).is_empty());
        assert_eq!(usage_of(&known, P2), Resources::vm(1, 512, 5));
        for _ in 0..2 {
            cloud.state.transact("test::release", |txn| release(txn, C1)).await.expect("released");
        }
        let known = cloud.state.known();
        assert!(usage_of(&known, P2).is_empty() && known.get::<AllocationRecord>(C1).is_none());
        assert_eq!(known.get::<UsageRecord>(P2).unwrap().used.to_map(), Map::new());
    });
}

#[test]
fn nobody_edits_what_a_server_holds() {
    run(4, async |cloud| {
        node(&cloud, P1, Resources::vm(4, 4096, 100)).await;
        take(&cloud, C1, P1, Resources::vm(1, 512, 5)).await.expect("room");
        let path = format!("/placement/allocations/{C1}");
        let client = cloud.at("1.39");
        let mine = allocation(P1, json!({"VCPU": 1}), json!(1));
        let refused = client.put(&path, mine.clone()).await.expect(409);
        assert!(refused.message().contains("belong to a server"), "{}", refused.text());
        client.post("/placement/allocations", json!({C1: mine})).await.expect(409);
        client.delete(&path).await.expect(409);
        assert_eq!(usage_of(&cloud.state.known(), P1), Resources::vm(1, 512, 5));
        // What an administrator takes of a node for something else counts, and is the administrator's.
        let other = format!("/allocations/{C2}");
        cloud.put(&other, allocation(P1, json!({"VCPU": 3}), Value::Null)).await.expect(204);
        assert_eq!(usage_of(&cloud.state.known(), P1).vcpu, 4);
        let error = take(&cloud, C2, P1, Resources::vm(1, 1, 1)).await.unwrap_err();
        assert!(error.message().contains("through the Placement API"), "{error}");
        cloud.state.transact("test::release", |txn| release(txn, C2)).await.expect("left alone");
        assert_eq!(usage_of(&cloud.state.known(), P1).vcpu, 4);
        let busy = cloud.state.transact("test::remove", |txn| remove_node(txn, P1)).await;
        assert_eq!(busy.unwrap_err().kind(), Kind::Conflict);
    });
}

#[test]
fn a_name_that_is_taken() {
    run(5, async |cloud| {
        let body = json!({"name": format!("node-{P1}")});
        cloud.at("1.39").post("/placement/resource_providers", body).await.expect(200);
        let totals = Resources::vm(1, 1024, 1);
        let name = format!("node-{P1}");
        let error = cloud
            .state
            .transact("test::node", |txn| ensure_node(txn, P1, &name, &totals))
            .await
            .unwrap_err();
        assert!(error.message().contains("another one has this name"), "{error}");
    });
}
