//! Hosts through the API, in a simulated cloud.

use serde_json::json;
use web::testing::{golden, stable};

use crate::servers::tests::world::run;

#[test]
fn as_before_2_43() {
    run(1, 1, async |cloud| {
        let get = async |path: &str| {
            cloud.ask("admin", "2.42", &format!("GET /os-hosts{path}"), None).await
        };
        let all = get("").await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "hosts/list", &stable(&all));
        assert_eq!(get("?zone=nova").await.expect(200)["hosts"].as_array().unwrap().len(), 1);
        assert_eq!(get("?zone=").await.expect(200), all);
        assert_eq!(get("?zone=xxx").await.expect(200), json!({"hosts": []}));
        cloud.active("demo", "a").await;
        let one = get("/node0").await.expect(200);
        golden(env!("CARGO_MANIFEST_DIR"), "hosts/one", &stable(&one));
        get("/nobody").await.refusal(404);
        for action in ["startup", "shutdown", "reboot"] {
            get(&format!("/nobody/{action}")).await.refusal(404);
            get(&format!("/node0/{action}")).await.refusal(501);
        }
        let put = async |host: &str, body| {
            cloud.ask("admin", "2.1", &format!("PUT /os-hosts/{host}"), Some(body)).await
        };
        let off = put("node0", json!({"status": "disable"})).await.expect(200);
        assert_eq!(off, json!({"host": "node0", "status": "disabled"}));
        assert_eq!(get("?zone=nova").await.expect(200), json!({"hosts": []}));
        put("node0", json!({"status": "Enable"})).await.expect(200);
        put("node0", json!({"maintenance_mode": "enable"})).await.refusal(501);
        put("nobody", json!({"status": "enable", "maintenance_mode": "enable"})).await.refusal(404);
        for body in [
            json!({}),
            json!({"status": "invalid", "maintenance_mode": "enable"}),
            json!({"status": "enable", "maintenance_mode": "invalid"}),
            json!({"power": "on"}),
        ] {
            put("node0", body).await.refusal(400);
        }
        cloud.ask("admin", "2.43", "GET /os-hosts", None).await.refusal(404);
        cloud.ask("demo", "2.42", "GET /os-hosts", None).await.refusal(403);
    });
}
