//! A tour through all services in several microversions; every request that is taken and every response must
//! fit the schemas of OpenStack's own OpenAPI documents. What does not stands in `openapi_exceptions.json`
//! with the reason: an error of the documents, or of ours. That list only shrinks.

#[path = "common/documents.rs"]
mod documents;
#[path = "common/schema.rs"]
mod schema;

mod common;

use base::{Map, Set};
use common::{Cloud, fixture, send};
use documents::document;
use schema::Checker;
use serde::Deserialize;
use serde_json::{Value, json};
use web::testing::{Answer, Client};

/// Something that does not fit, and why that is so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    /// `METHOD /path/{of the document}`; a `*` at the end stands for more.
    operation: String,
    /// `request` or `response`.
    part: String,
    /// Part of the complaint.
    complaint: String,
    /// Why.
    why: String,
}

/// What was seen so far.
#[derive(Default)]
struct Tour {
    checker: Checker,
    checked: (usize, usize),
    operations: Set<String>,
    complaints: Map<(String, &'static str, String), String>,
}

impl Tour {
    /// One request, checked with its answer.
    async fn ask(
        &mut self,
        client: &Client,
        version: &str,
        ask: &str,
        body: Option<Value>,
    ) -> Answer {
        let (method, path) = ask.split_once(' ').expect("a method and a path");
        let mut client = client.clone();
        let service = path.split('/').nth(1).unwrap_or_default();
        if !version.is_empty() {
            client = client.version(&format!("{service} {version}"));
        }
        let media = match method {
            "PATCH" if service == "image" => "application/openstack-images-v2.1-json-patch",
            _ => "application/json",
        };
        let bytes = body.as_ref().map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            client = client.header("content-type", media);
        }
        let answer = send(&client, method, path, bytes).await;
        if !answer.status.is_success() {
            let refused = format!("{ask} {body:?}: {} {}", answer.status, answer.text());
            self.complain(ask.to_owned(), "request", version, refused);
            return answer;
        }
        self.judge(method, path, version, media, body.as_ref(), &answer);
        answer
    }

    fn judge(
        &mut self,
        method: &str,
        path: &str,
        version: &str,
        media: &str,
        body: Option<&Value>,
        answer: &Answer,
    ) {
        let document = document(path).expect("a document");
        let Some((name, operation)) = document.operation(method, path) else {
            self.complain(
                format!("{method} {path}"),
                "request",
                version,
                "no such operation".into(),
            );
            return;
        };
        self.operations.insert(name.clone());
        let empty = json!({});
        let action = body.and_then(Value::as_object).and_then(|map| map.keys().next());
        let action = action.map_or("", String::as_str);
        if let Some(body) = body {
            let part = operation.get("requestBody").unwrap_or(&empty);
            let schemas = document.schemas(part, media, version, action);
            self.fits(&name, "request", version, &document.value, &schemas, body);
        }
        if answer.bytes.is_empty() || method == "HEAD" {
            return;
        }
        let responses = operation["responses"].as_object().expect("responses");
        // The documents often name another good status than the one that is sent.
        let status = answer.status.as_str();
        let good = responses.get(status).or_else(|| {
            responses.iter().find(|(code, _)| code.starts_with('2')).map(|(_, response)| response)
        });
        let schemas = document.schemas(good.unwrap_or(&empty), "application/json", version, action);
        self.fits(&name, "response", version, &document.value, &schemas, &answer.json());
    }

    fn fits(
        &mut self,
        name: &str,
        part: &'static str,
        version: &str,
        document: &Value,
        schemas: &[&Value],
        body: &Value,
    ) {
        let mut least: Option<Vec<String>> = None;
        for schema in schemas {
            let wrong = self.checker.check(document, schema, body, "");
            if least.as_ref().is_none_or(|least| wrong.len() < least.len()) {
                least = Some(wrong);
            }
        }
        match part {
            "request" => self.checked.0 += 1,
            _ => self.checked.1 += 1,
        }
        match least {
            None => self.complain(name.to_owned(), part, version, "no schema".into()),
            Some(wrong) => {
                for one in wrong {
                    self.complain(name.to_owned(), part, version, one);
                }
            }
        }
    }

    fn complain(&mut self, name: String, part: &'static str, version: &str, complaint: String) {
        self.complaints.entry((name, part, complaint)).or_insert_with(|| version.to_owned());
    }

    /// What was complained about and is no known exception, and exceptions that nothing needs.
    fn rest(&self, known: &[Exception]) -> Vec<String> {
        let covers = |exception: &Exception, name: &str, part: &str, complaint: &str| {
            let operation = match exception.operation.strip_suffix('*') {
                Some(begin) => name.starts_with(begin),
                None => name == exception.operation,
            };
            operation && exception.part == part && complaint.contains(&exception.complaint)
        };
        let mut used = vec![false; known.len()];
        let mut rest = Vec::new();
        for ((name, part, complaint), version) in &self.complaints {
            let mut excused = false;
            for (used, exception) in used.iter_mut().zip(known) {
                if covers(exception, name, part, complaint) {
                    (*used, excused) = (true, true);
                }
            }
            if !excused {
                rest.push(format!("{name} {part} {version}: {complaint}"));
            }
        }
        let idle = used.iter().zip(known).filter(|(used, _)| !**used);
        rest.extend(idle.map(|(_, exception)| {
            format!(
                "needed no more: {} {} {}",
                exception.operation, exception.part, exception.complaint
            )
        }));
        rest
    }
}

fn id(answer: &Answer, key: &str) -> String {
    let json = answer.json();
    let one = if key.is_empty() { &json } else { &json[key] };
    one["id"].as_str().or(one["uuid"].as_str()).expect("an id").to_owned()
}

async fn identity(tour: &mut Tour, cloud: &Cloud, admin: &Client) {
    let v3 = "/identity/v3";
    let password =
        json!({"user": {"name": "demo", "domain": {"id": "default"}, "password": "demo"}});
    let scope = json!({"project": {"name": "demo", "domain": {"id": "default"}}});
    let auth = json!({"auth": {"identity": {"methods": ["password"], "password": password}, "scope": scope}});
    let ask = format!("POST {v3}/auth/tokens");
    let token = tour.ask(&cloud.nobody(), "", &ask, Some(auth)).await;
    let subject = admin.header("x-subject-token", token.header("x-subject-token"));
    tour.ask(&subject, "", &format!("GET {v3}/auth/tokens"), None).await;
    for list in ["catalog", "projects", "domains", "system"] {
        tour.ask(admin, "", &format!("GET {v3}/auth/{list}"), None).await;
    }
    let service = cloud.ids["service"].clone();
    for (kind, key, make, change) in [
        ("domains", "domain", json!({"name": "d", "description": "x"}), json!({"enabled": false})),
        (
            "projects",
            "project",
            json!({"name": "p", "domain_id": "default"}),
            json!({"description": "y"}),
        ),
        (
            "users",
            "user",
            json!({"name": "u", "password": "u", "email": "u@x"}),
            json!({"enabled": false}),
        ),
        (
            "groups",
            "group",
            json!({"name": "g", "domain_id": "default"}),
            json!({"description": "y"}),
        ),
        ("roles", "role", json!({"name": "r"}), json!({"description": "y"})),
        ("regions", "region", json!({"id": "far"}), json!({"description": "y"})),
        ("services", "service", json!({"type": "dns", "name": "n"}), json!({"description": "y"})),
        (
            "endpoints",
            "endpoint",
            json!({"interface": "public", "service_id": service, "url": "http://x"}),
            json!({"enabled": false}),
        ),
        (
            "policies",
            "policy",
            json!({"blob": "{}", "type": "application/json"}),
            json!({"blob": "x"}),
        ),
    ] {
        let made =
            tour.ask(admin, "", &format!("POST {v3}/{kind}"), Some(json!({key: make}))).await;
        let one = format!("{v3}/{kind}/{}", id(&made, key));
        tour.ask(admin, "", &format!("GET {v3}/{kind}"), None).await;
        tour.ask(admin, "", &format!("GET {one}"), None).await;
        tour.ask(admin, "", &format!("PATCH {one}"), Some(json!({key: change}))).await;
        tour.ask(admin, "", &format!("DELETE {one}"), None).await;
    }
    let (demo, project) = (&cloud.ids["demo"], &cloud.ids["demo_project"]);
    let grants = format!("{v3}/projects/{project}/users/{demo}/roles");
    tour.ask(admin, "", &format!("PUT {grants}/{}", cloud.ids["reader_role"]), None).await;
    tour.ask(admin, "", &format!("GET {grants}"), None).await;
    tour.ask(admin, "", &format!("DELETE {grants}/{}", cloud.ids["reader_role"]), None).await;
    tour.ask(admin, "", &format!("GET {v3}/role_assignments"), None).await;
    tour.ask(admin, "", &format!("GET {v3}/role_assignments?include_names=true"), None).await;
    tour.ask(admin, "", &format!("GET {v3}/users/{demo}/projects"), None).await;
    tour.ask(admin, "", &format!("GET {v3}/users/{demo}/groups"), None).await;
    let tags = format!("{v3}/projects/{project}/tags");
    tour.ask(admin, "", &format!("PUT {tags}"), Some(json!({"tags": ["a", "b"]}))).await;
    tour.ask(admin, "", &format!("GET {tags}"), None).await;
    let mine = cloud.user("demo", "demo").await;
    let creds = format!("{v3}/users/{demo}/application_credentials");
    let body = json!({"application_credential": {"name": "c"}});
    let made = tour.ask(&mine, "", &format!("POST {creds}"), Some(body)).await;
    let one = format!("{creds}/{}", id(&made, "application_credential"));
    tour.ask(&mine, "", &format!("GET {creds}"), None).await;
    tour.ask(&mine, "", &format!("GET {one}"), None).await;
    tour.ask(&mine, "", &format!("DELETE {one}"), None).await;
    let body = json!({"credential": {"type": "cert", "blob": "x", "user_id": demo}});
    let made = tour.ask(admin, "", &format!("POST {v3}/credentials"), Some(body)).await;
    tour.ask(admin, "", &format!("GET {v3}/credentials"), None).await;
    let one = format!("{v3}/credentials/{}", id(&made, "credential"));
    tour.ask(admin, "", &format!("DELETE {one}"), None).await;
}

async fn image(tour: &mut Tour, cloud: &Cloud, admin: &Client, demo: &Client) {
    let images = "/image/v2/images";
    let body = json!({"name": "i", "disk_format": "raw", "container_format": "bare", "tags": ["t"],
                      "visibility": "shared", "colour": "red"});
    let made = tour.ask(demo, "", &format!("POST {images}"), Some(body)).await;
    let one = format!("{images}/{}", id(&made, ""));
    tour.ask(demo, "", &format!("GET {images}"), None).await;
    tour.ask(demo, "", &format!("GET {one}"), None).await;
    let change = json!([{"op": "replace", "path": "/name", "value": "j"},
                        {"op": "add", "path": "/size_of_hat", "value": "8"}]);
    tour.ask(demo, "", &format!("PATCH {one}"), Some(change)).await;
    let bytes = demo.header("content-type", "application/octet-stream");
    send(&bytes, "PUT", &format!("{one}/file"), vec![0; 65536]).await.expect(204);
    tour.ask(demo, "", &format!("GET {one}"), None).await;
    let other = json!({"member": cloud.ids["other_project"]});
    tour.ask(demo, "", &format!("POST {one}/members"), Some(other)).await;
    tour.ask(demo, "", &format!("GET {one}/members"), None).await;
    let member = format!("{one}/members/{}", cloud.ids["other_project"]);
    tour.ask(demo, "", &format!("GET {member}"), None).await;
    let theirs = cloud.user("other", "other").await;
    tour.ask(&theirs, "", &format!("PUT {member}"), Some(json!({"status": "accepted"}))).await;
    tour.ask(demo, "", &format!("DELETE {member}"), None).await;
    tour.ask(demo, "", &format!("PUT {one}/tags/more"), None).await;
    tour.ask(demo, "", &format!("GET {one}/tasks"), None).await;
    tour.ask(admin, "", "GET /image/v2/tasks", None).await;
    for name in ["image", "images", "member", "members", "task", "tasks"] {
        tour.ask(demo, "", &format!("GET /image/v2/schemas/{name}"), None).await;
    }
    for name in ["import", "stores", "usage"] {
        tour.ask(demo, "", &format!("GET /image/v2/info/{name}"), None).await;
    }
    tour.ask(demo, "", &format!("DELETE {one}"), None).await;
}

async fn placement(tour: &mut Tour, admin: &Client, version: &str) {
    let since =
        |minor: u32| version.split_once('.').is_some_and(|(_, m)| m.parse().unwrap_or(0) >= minor);
    let all = "/placement/resource_providers";
    let uuid = format!("44444444-4444-4444-8444-{:0>12}", version.replace('.', ""));
    let make = json!({"name": format!("rp{version}"), "uuid": uuid});
    tour.ask(admin, version, &format!("POST {all}"), Some(make)).await;
    let one = format!("{all}/{uuid}");
    tour.ask(admin, version, &format!("GET {all}"), None).await;
    tour.ask(admin, version, &format!("GET {one}"), None).await;
    let inventory =
        json!({"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}});
    tour.ask(admin, version, &format!("PUT {one}/inventories"), Some(inventory)).await;
    tour.ask(admin, version, &format!("GET {one}/inventories"), None).await;
    tour.ask(admin, version, &format!("GET {one}/inventories/VCPU"), None).await;
    tour.ask(admin, version, &format!("GET {one}/usages"), None).await;
    tour.ask(admin, version, &format!("GET {one}/allocations"), None).await;
    if since(1) {
        tour.ask(admin, version, &format!("GET {one}/aggregates"), None).await;
    }
    if since(2) {
        tour.ask(admin, version, "GET /placement/resource_classes", None).await;
        tour.ask(admin, version, "GET /placement/resource_classes/VCPU", None).await;
    }
    if since(6) {
        tour.ask(admin, version, "GET /placement/traits", None).await;
        tour.ask(admin, version, &format!("GET {one}/traits"), None).await;
        let traits = json!({"traits": ["HW_CPU_X86_VMX"], "resource_provider_generation": 1});
        tour.ask(admin, version, &format!("PUT {one}/traits"), Some(traits)).await;
    }
    if since(10) {
        tour.ask(admin, version, "GET /placement/allocation_candidates?resources=VCPU:1", None)
            .await;
    }
    let consumer =
        format!("/placement/allocations/55555555-5555-4555-8555-{:0>12}", version.replace('.', ""));
    let mut held = match since(12) {
        true => json!({"allocations": {&*uuid: {"resources": {"VCPU": 1}}}}),
        false => {
            json!({"allocations": [{"resource_provider": {"uuid": uuid}, "resources": {"VCPU": 1}}]})
        }
    };
    for (minor, key, value) in [
        (8, "project_id", json!("p")),
        (8, "user_id", json!("u")),
        (28, "consumer_generation", Value::Null),
        (38, "consumer_type", json!("INSTANCE")),
    ] {
        if since(minor) {
            held[key] = value;
        }
    }
    tour.ask(admin, version, &format!("PUT {consumer}"), Some(held)).await;
    tour.ask(admin, version, &format!("GET {consumer}"), None).await;
    if since(9) {
        tour.ask(admin, version, "GET /placement/usages?project_id=p", None).await;
    }
    tour.ask(admin, version, &format!("DELETE {consumer}"), None).await;
    let renamed = json!({"name": format!("again{version}")});
    tour.ask(admin, version, &format!("PUT {one}"), Some(renamed)).await;
    tour.ask(admin, version, &format!("DELETE {one}"), None).await;
}

async fn compute(tour: &mut Tour, cloud: &Cloud, admin: &Client, demo: &Client, version: &str) {
    let since =
        |minor: u32| version.split_once('.').is_some_and(|(_, m)| m.parse().unwrap_or(0) >= minor);
    let base = "/compute/v2.1";
    let key_name = format!("k{}", version.replace('.', "-"));
    let (project, image) = (&cloud.ids["demo_project"], &cloud.ids["image"]);
    let flavor = json!({"flavor": {"name": format!("f{version}"), "id": format!("f{version}"), "ram": 64,
                                   "vcpus": 1, "disk": 1}});
    tour.ask(admin, version, &format!("POST {base}/flavors"), Some(flavor)).await;
    let one = format!("{base}/flavors/f{version}");
    tour.ask(demo, version, &format!("GET {base}/flavors"), None).await;
    tour.ask(demo, version, &format!("GET {base}/flavors/detail"), None).await;
    tour.ask(demo, version, &format!("GET {one}"), None).await;
    let specs = json!({"extra_specs": {"hw:cpu_policy": "shared"}});
    tour.ask(admin, version, &format!("POST {one}/os-extra_specs"), Some(specs)).await;
    tour.ask(admin, version, &format!("GET {one}/os-extra_specs"), None).await;
    tour.ask(admin, version, &format!("DELETE {one}/os-extra_specs/hw:cpu_policy"), None).await;
    let mut key = json!({"keypair": {"name": &key_name}});
    if since(92) {
        key["keypair"]["public_key"] = PUBLIC_KEY.into();
    }
    tour.ask(demo, version, &format!("POST {base}/os-keypairs"), Some(key)).await;
    tour.ask(demo, version, &format!("GET {base}/os-keypairs"), None).await;
    tour.ask(demo, version, &format!("GET {base}/os-keypairs/{key_name}"), None).await;
    let group = match since(64) {
        true => json!({"server_group": {"name": "g", "policy": "affinity"}}),
        false => json!({"server_group": {"name": "g", "policies": ["affinity"]}}),
    };
    let made = tour.ask(demo, version, &format!("POST {base}/os-server-groups"), Some(group)).await;
    let group = format!("{base}/os-server-groups/{}", id(&made, "server_group"));
    tour.ask(demo, version, &format!("GET {base}/os-server-groups"), None).await;
    tour.ask(demo, version, &format!("GET {group}"), None).await;
    tour.ask(demo, version, &format!("DELETE {group}"), None).await;
    let mut wish = json!({"server": {"name": format!("s{version}"), "flavorRef": format!("f{version}"),
        "imageRef": image, "metadata": {"a": "b"}, "key_name": &key_name}});
    if since(37) {
        wish["server"]["networks"] = "none".into();
    }
    if since(52) {
        wish["server"]["tags"] = json!(["one"]);
    }
    if since(90) {
        wish["server"]["hostname"] = "host".into();
    }
    let made = tour.ask(demo, version, &format!("POST {base}/servers"), Some(wish)).await;
    let server = id(&made, "server");
    let one = format!("{base}/servers/{server}");
    cloud.active(demo, &server).await;
    for list in ["servers", "servers/detail", "limits", "os-availability-zone"] {
        tour.ask(demo, version, &format!("GET {base}/{list}"), None).await;
    }
    tour.ask(demo, version, &format!("GET {one}"), None).await;
    tour.ask(admin, version, &format!("GET {one}"), None).await;
    tour.ask(admin, version, &format!("GET {base}/servers/detail?all_tenants=1"), None).await;
    let name = json!({"server": {"name": "renamed"}});
    tour.ask(demo, version, &format!("PUT {one}"), Some(name)).await;
    tour.ask(demo, version, &format!("POST {one}/metadata"), Some(json!({"metadata": {"c": "d"}})))
        .await;
    tour.ask(demo, version, &format!("PUT {one}/metadata/c"), Some(json!({"meta": {"c": "e"}})))
        .await;
    tour.ask(demo, version, &format!("GET {one}/metadata"), None).await;
    tour.ask(demo, version, &format!("GET {one}/metadata/c"), None).await;
    tour.ask(demo, version, &format!("DELETE {one}/metadata/c"), None).await;
    tour.ask(demo, version, &format!("GET {one}/ips"), None).await;
    if since(26) {
        tour.ask(demo, version, &format!("PUT {one}/tags"), Some(json!({"tags": ["a", "b"]})))
            .await;
        tour.ask(demo, version, &format!("GET {one}/tags"), None).await;
        tour.ask(demo, version, &format!("DELETE {one}/tags/a"), None).await;
    }
    for action in
        [json!({"os-stop": null}), json!({"os-start": null}), json!({"reboot": {"type": "HARD"}})]
    {
        tour.ask(demo, version, &format!("POST {one}/action"), Some(action)).await;
        cloud.settle().await;
    }
    let actions =
        tour.ask(demo, version, &format!("GET {one}/os-instance-actions"), None).await.json();
    let request = actions["instanceActions"][0]["request_id"].as_str().expect("a request");
    tour.ask(admin, version, &format!("GET {one}/os-instance-actions/{request}"), None).await;
    tour.ask(demo, version, &format!("DELETE {one}"), None).await;
    cloud.settle().await;
    tour.ask(demo, version, &format!("DELETE {base}/os-keypairs/{key_name}"), None).await;
    tour.ask(admin, version, &format!("DELETE {base}/flavors/f{version}"), None).await;
    for path in ["os-hypervisors", "os-hypervisors/detail", "os-services", "os-aggregates"] {
        tour.ask(admin, version, &format!("GET {base}/{path}"), None).await;
    }
    let aggregate = json!({"aggregate": {"name": "a", "availability_zone": "z"}});
    let made =
        tour.ask(admin, version, &format!("POST {base}/os-aggregates"), Some(aggregate)).await;
    let one = format!("{base}/os-aggregates/{}", made.json()["aggregate"]["id"]);
    tour.ask(admin, version, &format!("GET {one}"), None).await;
    let wish = json!({"set_metadata": {"metadata": {"k": "v"}}});
    tour.ask(admin, version, &format!("POST {one}/action"), Some(wish)).await;
    tour.ask(admin, version, &format!("PUT {one}"), Some(json!({"aggregate": {"name": "b"}})))
        .await;
    tour.ask(admin, version, &format!("DELETE {one}"), None).await;
    let quotas = format!("{base}/os-quota-sets/{project}");
    tour.ask(demo, version, &format!("GET {quotas}"), None).await;
    tour.ask(admin, version, &format!("GET {quotas}/detail"), None).await;
    tour.ask(demo, version, &format!("GET {quotas}/defaults"), None).await;
    tour.ask(admin, version, &format!("PUT {quotas}"), Some(json!({"quota_set": {"cores": 30}})))
        .await;
    tour.ask(admin, version, &format!("GET {base}/os-quota-class-sets/default"), None).await;
    tour.ask(admin, version, &format!("GET {base}/os-simple-tenant-usage"), None).await;
    tour.ask(demo, version, &format!("GET {base}/os-simple-tenant-usage/{project}"), None).await;
}

const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f tour";

#[test]
fn a_tour_through_all_services_fits_the_openapi_documents() {
    let known: Vec<Exception> =
        serde_json::from_str(include_str!("openapi_exceptions.json")).expect("exceptions");
    assert!(known.iter().all(|exception| !exception.why.is_empty()));
    common::run(1, async |world| {
        let (cloud, who) = fixture(&world).await;
        let (admin, demo) = (&who["admin"], &who["demo"]);
        let mut tour = Tour::default();
        identity(&mut tour, &cloud, admin).await;
        image(&mut tour, &cloud, admin, demo).await;
        for version in ["1.0", "1.6", "1.12", "1.20", "1.28", "1.39"] {
            placement(&mut tour, admin, version).await;
        }
        for version in ["2.1", "2.26", "2.47", "2.60", "2.73", "2.79", "2.90", "2.96"] {
            compute(&mut tour, &cloud, admin, demo, version).await;
        }
        let (requests, responses) = tour.checked;
        let seen = tour.operations.len();
        println!("{requests} requests and {responses} responses of {seen} operations checked");
        assert!(requests > 100 && responses > 300, "only {requests} and {responses}");
        assert!(tour.checker.unknown.is_empty(), "not understood: {:?}", tour.checker.unknown);
        let rest = tour.rest(&known);
        assert!(rest.is_empty(), "{} do not fit:\n{}", rest.len(), rest.join("\n"));
    });
}
