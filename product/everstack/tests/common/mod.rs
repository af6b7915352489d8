//! A whole cloud for tests from outside: one controller on a store in memory, two simulated nodes, the real
//! APIs called in process, virtual time. Makes nothing up: the same lines put a real cloud together.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::{sync::Arc, time::Duration};

use agent::fake::{FakeNode, FakeSettings};
use async_trait::async_trait;
use base::{Map, Result, Secret, World};
use bytes::Bytes;
use everstack::{
    cloud::{self, Controller, Parts},
    credentials::Passwords,
};
use http::Method;
use orders::{Connector, NodeEnd};
use serde_json::{Value, json};
use state::{Sealer, Store, backend::MemoryStore};
use web::{
    RequestBody,
    testing::{Answer, Client},
};

/// The cloud.
pub struct Cloud {
    /// The world it lives in.
    pub world: World,
    /// Its controller.
    pub controller: Controller,
    /// Kept so that they run on.
    pub nodes: Vec<FakeNode>,
    /// What tests call by name: ids, by what stands between braces in paths and bodies.
    pub ids: Map<&'static str, String>,
}

/// Links a node to the one controller.
struct Dial {
    world: World,
    hub: nodes::Hub,
}

#[async_trait]
impl Connector for Dial {
    async fn connect(&self) -> Result<NodeEnd> {
        let (node, end) = orders::link();
        let hub = self.hub.clone();
        self.world.spawn("accept", async move { hub.accept(end).await });
        Ok(node)
    }
}

/// Runs a test in a world of this seed, on one thread, in virtual time.
pub fn run<T>(seed: u64, test: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::simulated(seed)).await })
}

impl Cloud {
    /// A cloud of one controller and two nodes, all of it up and settled.
    pub async fn start(world: &World) -> Cloud {
        let scope = world.scope("c0");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(world.clone()));
        let controller = cloud::start(Parts {
            world: scope.clone(),
            store,
            sealer: Sealer::from_key(&scope, [7; 32]),
            name: "c0".into(),
            address: String::new(),
            url: "http://cloud.test".into(),
            region: "RegionOne".into(),
            image_store: Arc::new(image::store::MemoryStore::new("memory")),
            passwords: Passwords { admin: Secret::new("admin"), demo: Secret::new("demo") },
            identity: identity::Config::default().with_cheap_hashes(),
            policies: vec![],
            images: image::Options::default(),
            session_ttl: Duration::from_secs(10),
            audit: Arc::new(web::AuditLog),
        })
        .await
        .expect("a controller");
        let dial = Dial { world: world.clone(), hub: controller.hub.clone() };
        let connector: Arc<dyn Connector> = Arc::new(dial);
        let nodes = (0..2).map(|number| {
            let name = format!("n{number}");
            let node = FakeNode::new(world, &name, FakeSettings::default(), connector.clone());
            node.start();
            node
        });
        let cloud =
            Cloud { world: world.clone(), controller, nodes: nodes.collect(), ids: Map::new() };
        cloud.settle().await;
        cloud
    }

    /// Calls without a token.
    pub fn nobody(&self) -> Client {
        Client::new(&self.controller.router)
    }

    /// A token of this user, scoped as said.
    pub async fn log_in(&self, user: &str, password: &str, scope: Option<Value>) -> String {
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": {
            "name": user, "domain": {"id": "default"}, "password": password}}}});
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        let answer = self.nobody().post("/identity/v3/auth/tokens", json!({"auth": auth})).await;
        answer.expect(201).header("x-subject-token").to_owned()
    }

    /// Calls as this user (whose password is its name) in this project of the default domain.
    pub async fn user(&self, user: &str, project: &str) -> Client {
        let scope = json!({"project": {"name": project, "domain": {"id": "default"}}});
        self.nobody().token(&self.log_in(user, user, Some(scope)).await)
    }

    /// Waits until a server is ACTIVE.
    pub async fn active(&self, client: &Client, id: &str) {
        for _ in 0..600 {
            let path = format!("/compute/v2.1/servers/{id}");
            let server = client.get(&path).await.expect(200).json();
            if server["server"]["status"] == "ACTIVE" {
                return;
            }
            self.world.sleep(Duration::from_millis(200)).await;
        }
        panic!("the server {id} never becomes active");
    }

    /// Whether a key only says that somebody is alive, or how tokens are signed.
    pub fn is_heartbeat(&self, key: &str) -> bool {
        ["/state.sessions/", "/nodes.nodes/", "/identity.token_keys/"]
            .iter()
            .any(|table| key.contains(table))
    }

    /// Waits until the reconcilers have nothing to do.
    pub async fn settle(&self) {
        for _ in 0..6000 {
            self.world.sleep(Duration::from_millis(100)).await;
            let ready = self.controller.hub.linked().len() == self.nodes.len();
            if ready && self.controller.runtime.settled() {
                return;
            }
        }
        panic!("the cloud never settles: {:?}", self.controller.runtime.status());
    }
}

/// Bytes as they are, with a method by name.
pub async fn send(client: &Client, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    client.send(method, path, RequestBody::Full(body.into())).await
}

/// Ids for names in braces; `"{x_number}"` in quotes becomes a number.
pub fn with_ids(text: &str, ids: &Map<&'static str, String>) -> String {
    let mut text = text.to_owned();
    for (name, id) in ids {
        text = text.replace(&format!("\"{{{name}_number}}\""), id);
        text = text.replace(&format!("{{{name}}}"), id);
    }
    text
}

/// A cloud with something of everything in it, and who calls it: `admin`, `demo` (a member of project demo),
/// `reader` (a reader of it), `other` (a member of another project), `unscoped`, `bad` (a token that is none),
/// `nobody` (without a token).
pub async fn fixture(world: &World) -> (Cloud, Map<&'static str, Client>) {
    let mut cloud = Cloud::start(world).await;
    let admin = cloud.user("admin", "admin").await;
    let mut ids = Map::new();
    let found = |answer: Answer, kind: &str, name: &str| -> String {
        let list = answer.expect(200).json();
        let of_name =
            list[kind].as_array().and_then(|all| all.iter().find(|one| one["name"] == name));
        of_name.and_then(|one| one["id"].as_str()).expect(name).to_owned()
    };
    let v3 = "/identity/v3";
    for (id, kind, name) in [
        ("demo", "users", "demo"),
        ("admin", "users", "admin"),
        ("demo_project", "projects", "demo"),
        ("admin_project", "projects", "admin"),
        ("member", "roles", "member"),
        ("reader_role", "roles", "reader"),
        ("admin_role", "roles", "admin"),
        ("service", "services", "nova"),
    ] {
        ids.insert(id, found(admin.get(&format!("{v3}/{kind}")).await, kind, name));
    }
    let made = |answer: Answer, key: &str| -> String {
        assert!(answer.status.is_success(), "{}", answer.text());
        let json = answer.json();
        let one = if key.is_empty() { &json } else { &json[key] };
        one["id"].as_str().expect("an id").to_owned()
    };
    let project = json!({"project": {"name": "other", "domain_id": "default"}});
    ids.insert(
        "other_project",
        made(admin.post(&format!("{v3}/projects"), project).await, "project"),
    );
    for (user, project, role) in
        [("reader", "demo_project", "reader_role"), ("other", "other_project", "member")]
    {
        let body = json!({"user": {"name": user, "password": user, "domain_id": "default"}});
        let id = made(admin.post(&format!("{v3}/users"), body).await, "user");
        let grant = format!("{v3}/projects/{}/users/{id}/roles/{}", ids[project], ids[role]);
        send(&admin, "PUT", &grant, "").await.expect(204);
    }
    let demo = cloud.user("demo", "demo").await;
    let who = Map::from([
        ("admin", admin.clone()),
        ("demo", demo.clone()),
        ("reader", cloud.user("reader", "demo").await),
        ("other", cloud.user("other", "other").await),
        ("unscoped", cloud.nobody().token(&cloud.log_in("demo", "demo", None).await)),
        ("bad", cloud.nobody().token("nonsense")),
        ("nobody", cloud.nobody()),
    ]);
    let images = "/image/v2/images";
    let bytes = |client: &Client| client.header("content-type", "application/octet-stream");
    for (id, visibility, format, disk) in [
        ("image", "public", "raw", 0),
        ("big", "public", "raw", 500),
        ("hidden", "private", "raw", 0),
    ] {
        let body = json!({"name": id, "disk_format": format, "container_format": "bare",
                          "visibility": visibility, "min_disk": disk});
        ids.insert(id, made(admin.post(images, body).await, ""));
        let path = format!("{images}/{}/file", ids[id]);
        send(&bytes(&admin), "PUT", &path, vec![0; 65536]).await.expect(204);
    }
    let body = json!({"name": "queued", "disk_format": "qcow2", "container_format": "bare"});
    ids.insert("queued", made(demo.post(images, body).await, ""));

    let shelf = json!({"name": "shelf"});
    let placement = admin.version("placement 1.39");
    let answer = placement.post("/placement/resource_providers", shelf).await.expect(200).json();
    let shelf = answer["uuid"].as_str().expect("an id").to_owned();
    let inventory =
        json!({"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 8}}});
    let path = format!("/placement/resource_providers/{shelf}/inventories");
    placement.put(&path, inventory).await.expect(200);
    let held = json!({"allocations": {&*shelf: {"resources": {"VCPU": 1}}}, "project_id": "p", "user_id": "u",
                      "consumer_generation": null, "consumer_type": "INSTANCE"});
    let path = "/placement/allocations/33333333-3333-4333-8333-333333333333";
    placement.put(path, held).await.expect(204);
    let path = format!("/placement/resource_providers/{shelf}");
    let now = placement.get(&path).await.expect(200).json();
    ids.insert("shelf_generation", now["generation"].to_string());
    ids.insert("shelf", shelf);
    let all = placement.get("/placement/resource_providers?name=n0").await.expect(200).json();
    let node = all["resource_providers"][0]["uuid"].as_str().expect("a provider of the node n0");
    ids.insert("provider", node.to_owned());

    let compute = demo.version("compute 2.96");
    let operator = admin.version("compute 2.96");
    let flavor =
        json!({"flavor": {"name": "small", "id": "small", "ram": 64, "vcpus": 1, "disk": 1}});
    ids.insert("flavor", made(operator.post("/compute/v2.1/flavors", flavor).await, "flavor"));
    let key = json!({"keypair": {"name": "key"}});
    demo.version("compute 2.91").post("/compute/v2.1/os-keypairs", key).await.expect(201);
    let server = json!({"server": {"name": "server", "flavorRef": "small", "imageRef": ids["image"],
                                   "networks": "none"}});
    let server = made(compute.post("/compute/v2.1/servers", server).await, "server");
    cloud.ids = ids;
    cloud.active(&compute, &server).await;
    cloud.ids.insert("server", server);
    cloud.settle().await;
    (cloud, who)
}
