//! Limits through the API.

use serde_json::json;

use crate::servers::tests::world::run;

#[test]
fn what_a_project_may_have_and_has() {
    run(1, 1, async |cloud| {
        cloud.active("demo", "vm").await;
        let newest = json!({"limits": {"rate": [], "absolute": {
            "maxTotalCores": 20,
            "maxTotalInstances": 10,
            "maxTotalKeypairs": 100,
            "maxServerMeta": 128,
            "maxTotalRAMSize": 51200,
            "maxServerGroupMembers": 10,
            "maxServerGroups": 10,
            "totalRAMUsed": 512,
            "totalCoresUsed": 1,
            "totalInstancesUsed": 1,
            "totalServerGroupsUsed": 0,
        }}});
        assert_eq!(cloud.get("reader", "/limits").await.expect(200), newest);
        for (version, count) in
            [("2.57", 11), ("2.56", 13), ("2.38", 14), ("2.35", 19), ("2.1", 19)]
        {
            let shown = cloud.ask("demo", version, "GET /limits", None).await.expect(200);
            let absolute = shown["limits"]["absolute"].as_object().expect("limits").len();
            assert_eq!(absolute, count, "{version}");
        }
        assert_eq!(cloud.get("admin", "/limits?tenant_id=p-demo").await.expect(200), newest);
        cloud.get("other", "/limits?tenant_id=p-demo").await.refusal(403);
        cloud.ask("demo", "2.57", "GET /limits?reserved=1", None).await.expect(200);
        cloud.get("demo", "/limits?reserved=1").await.refusal(400);
    });
}
