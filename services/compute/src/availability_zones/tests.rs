//! Zones through the API, in a simulated cloud.

use serde_json::{Value, json};
use web::testing::{golden, stable};

use crate::servers::tests::world::{Cloud, run};

async fn zones(cloud: &Cloud, token: &str) -> Vec<(String, bool)> {
    let body = cloud.get(token, "/os-availability-zone").await.expect(200);
    let all = body["availabilityZoneInfo"].as_array().unwrap();
    let one = |zone: &Value| {
        assert_eq!(zone["hosts"], Value::Null);
        let available = zone["zoneState"]["available"].as_bool().unwrap();
        (zone["zoneName"].as_str().unwrap().to_owned(), available)
    };
    all.iter().map(one).collect()
}

#[test]
fn follow_the_nodes() {
    run(1, 2, async |cloud| {
        assert_eq!(zones(cloud, "demo").await, [("nova".to_owned(), true)]);
        let body = json!({"aggregate": {"name": "w", "availability_zone": "west"}});
        cloud.post("admin", "/os-aggregates", body).await.expect(200);
        // Without a node it is no zone.
        assert_eq!(zones(cloud, "demo").await.len(), 1);
        let action = json!({"add_host": {"host": "node1"}});
        cloud.post("admin", "/os-aggregates/1/action", action).await.expect(200);
        let both = [("nova".to_owned(), true), ("west".to_owned(), true)];
        assert_eq!(zones(cloud, "demo").await, both);
        let detail = cloud.get("admin", "/os-availability-zone/detail").await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "availability_zones/detail", &stable(&detail));
        cloud.get("demo", "/os-availability-zone/detail").await.refusal(403);
        let body = json!({"host": "node1", "binary": "nova-compute"});
        cloud.ask("admin", "2.1", "PUT /os-services/disable", Some(body)).await.expect(200);
        let off = [("nova".to_owned(), true), ("west".to_owned(), false)];
        assert_eq!(zones(cloud, "demo").await, off);
    });
}
