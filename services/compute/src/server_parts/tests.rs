//! Parts of servers that have no room of their own, through the API.

use crate::servers::tests::world::run;

#[test]
fn processors_in_diagnostics_have_all_their_fields() {
    run(1, 1, async |cloud| {
        let id = cloud.active("demo", "one").await;
        let ask = format!("GET /servers/{id}/diagnostics");
        let shown = cloud.ask("admin", "2.48", &ask, None).await.expect(200);
        for cpu in shown["cpu_details"].as_array().expect("a list") {
            let keys: Vec<&str> =
                cpu.as_object().expect("one").keys().map(String::as_str).collect();
            assert_eq!(keys, ["id", "time", "utilisation"]);
        }
        assert!(shown["cpu_details"][0]["time"].is_u64(), "{shown}");
    });
}
