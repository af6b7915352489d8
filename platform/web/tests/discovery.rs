//! Version documents and the port's own pages, as clients expect them: no token, right shapes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base::World;
use serde_json::json;
use web::{
    BaseUrl, Discovery, DiscoveryStyle, Envelope, MicroversionScheme, Router, Service, VersionDoc,
    testing::{Client, FixedActors},
    v,
};

const COMPUTE: MicroversionScheme = MicroversionScheme {
    service_type: "compute",
    min: v(2, 1),
    max: v(2, 96),
    legacy_header: Some("x-openstack-nova-api-version"),
};
const PLACEMENT: MicroversionScheme = MicroversionScheme {
    service_type: "placement",
    min: v(1, 0),
    max: v(1, 39),
    legacy_header: None,
};

fn doc(
    id: &'static str,
    status: &'static str,
    path: &'static str,
    microversions: Option<MicroversionScheme>,
) -> VersionDoc {
    VersionDoc { id, status, updated: "2013-07-23T11:33:21Z", path, microversions }
}

fn run(test: impl AsyncFnOnce(Client, Arc<AtomicBool>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = ready.clone();
        let discovery = |style, root, versions| Discovery { style, root, versions };
        let router = Router::builder(World::simulated(1), Arc::new(FixedActors::new()))
            .base_url(BaseUrl::new("https://cloud"))
            .ready("cache", move || match asked.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err("not loaded yet".to_owned()),
            })
            .mount(Service::new("identity", "/identity/v3", Envelope::Keystone, ()).discovery(
                discovery(
                    DiscoveryStyle::Keystone,
                    "/identity",
                    vec![doc("v3.14", "stable", "/identity/v3", None)],
                ),
            ))
            .mount(
                Service::new("compute", "/compute/v2.1", Envelope::Nova, ())
                    .microversions(COMPUTE)
                    .discovery(discovery(
                        DiscoveryStyle::Nova,
                        "/compute",
                        vec![doc("v2.1", "CURRENT", "/compute/v2.1", Some(COMPUTE))],
                    )),
            )
            .mount(Service::new("image", "/image/v2", Envelope::Glance, ()).discovery(discovery(
                DiscoveryStyle::Glance,
                "/image",
                vec![
                    doc("v2.17", "CURRENT", "/image/v2", None),
                    doc("v2.16", "SUPPORTED", "/image/v2", None),
                ],
            )))
            .mount(
                Service::new("placement", "/placement", Envelope::Placement, ())
                    .microversions(PLACEMENT)
                    .discovery(discovery(
                        DiscoveryStyle::Placement,
                        "/placement",
                        vec![doc("v1.0", "CURRENT", "/placement", Some(PLACEMENT))],
                    )),
            )
            .build()
            .expect("router");
        test(Client::new(&router), ready).await;
    });
}

#[test]
fn keystone() {
    run(async |client, _| {
        let version = json!({
            "id": "v3.14", "status": "stable", "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": "https://cloud/identity/v3/"}],
            "media-types": [{"base": "application/json",
                             "type": "application/vnd.openstack.identity-v3+json"}],
        });
        for path in ["/identity", "/identity/"] {
            let answer = client.get(path).await.expect(300);
            assert_eq!(answer.json(), json!({"versions": {"values": [version]}}));
            assert_eq!(answer.header("location"), "https://cloud/identity/v3/");
            assert_eq!(answer.header("vary"), "X-Auth-Token");
        }
        for path in ["/identity/v3", "/identity/v3/"] {
            let answer = client.get(path).await.expect(200);
            assert_eq!(answer.json(), json!({ "version": version }));
        }
        client.get("/identity/v2.0").await.expect(404);
        let answer = client.post("/identity/v3", json!({})).await.expect(405);
        assert_eq!(answer.header("allow"), "GET, HEAD");
    });
}

#[test]
fn nova() {
    run(async |client, _| {
        let answer = client.get("/compute/").await.expect(200);
        assert_eq!(
            answer.json(),
            json!({"versions": [{
                "id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1",
                "updated": "2013-07-23T11:33:21Z",
                "links": [{"rel": "self", "href": "https://cloud/compute/v2.1/"}],
            }]})
        );
        let answer = client.get("/compute/v2.1").await.expect(200);
        assert_eq!(
            answer.json(),
            json!({"version": {
                "id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1",
                "updated": "2013-07-23T11:33:21Z",
                "links": [
                    {"rel": "self", "href": "https://cloud/compute/v2.1/"},
                    {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
                ],
                "media-types": [{"base": "application/json",
                                 "type": "application/vnd.openstack.compute+json;version=2.1"}],
            }})
        );
        let answer = client.get("/compute/v3/servers").await.expect(300);
        assert_eq!(answer.json()["choices"][0]["id"], "v2.1");
    });
}

#[test]
fn glance_and_placement() {
    run(async |client, _| {
        let link = json!([{"rel": "self", "href": "https://cloud/image/v2/"}]);
        let versions = json!({"versions": [
            {"id": "v2.17", "status": "CURRENT", "links": link},
            {"id": "v2.16", "status": "SUPPORTED", "links": link},
        ]});
        assert_eq!(client.get("/image").await.expect(300).json(), versions);
        assert_eq!(client.get("/image/versions").await.expect(200).json(), versions);
        assert_eq!(client.get("/image/v7/images").await.expect(300).json(), versions);
        assert_eq!(
            client.get("/placement/").await.expect(200).json(),
            json!({"versions": [{
                "id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT",
                "links": [{"rel": "self", "href": ""}],
            }]})
        );
    });
}

#[test]
fn the_ports_own_pages() {
    run(async |client, ready| {
        let names: Vec<_> = client.get("/").await.expect(200).json()["services"]
            .as_array()
            .expect("services")
            .iter()
            .map(|s| format!("{} {}", s["name"].as_str().unwrap(), s["href"].as_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [
                "identity https://cloud/identity",
                "compute https://cloud/compute",
                "image https://cloud/image",
                "placement https://cloud/placement",
            ]
        );
        assert_eq!(client.get("/healthz").await.expect(200).text(), "ok\n");
        assert_eq!(client.get("/readyz").await.expect(503).text(), "cache: not loaded yet\n");
        ready.store(true, Ordering::Relaxed);
        client.get("/readyz").await.expect(200);
        client.head("/readyz").await.expect(200);
        client.get("/metrics").await.expect(200);
        client.delete("/metrics").await.expect(405);
    });
}
