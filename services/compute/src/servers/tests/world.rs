//! A cloud in one thread: a controller with this service, simulated nodes with the real agent, a store that
//! can fail. Time is virtual; the seed decides the rest.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent::fake::{FakeNode, FakeSettings, fake_inventory};
use async_trait::async_trait;
use base::{Error, Map, Result, Timestamp, World};
use control::Runtime;
use http_body_util::BodyExt;
use image::images::{Data, ImageRecord, Status, Visibility};
use nodes::{Hub, HubConfig, NodeRecord};
use orders::{Connector, NodeEnd, link};
use serde_json::{Value, json};
use state::{Schema, Session, State, backend::MemoryStore, faulty::FaultyStore};
use web::{Actor, Authenticator, ProjectScope, Router};

use crate::{Compute, ComputeConfig, flavors::FlavorRecord};

/// The image that is there.
pub(crate) const IMAGE: &str = "11111111-1111-4111-8111-111111111111";

/// One controller's life.
#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) world: World,
    pub(crate) state: State,
    pub(crate) hub: Hub,
    pub(crate) runtime: Runtime,
    pub(crate) router: Router,
}

/// The cloud.
pub(crate) struct Cloud {
    pub(crate) world: World,
    pub(crate) store: FaultyStore,
    pub(crate) nodes: Vec<FakeNode>,
    dial: Arc<Dial>,
    config: ComputeConfig,
}

/// Reaches the controller that is there, if one is.
#[derive(Default)]
struct Dial(Mutex<Option<Controller>>);

impl Dial {
    fn there(&self) -> Option<Controller> {
        let there = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        there.filter(|controller| !controller.world.killed())
    }
}

#[async_trait]
impl Connector for Dial {
    async fn connect(&self) -> Result<NodeEnd> {
        let controller = self.there().ok_or_else(|| Error::unavailable("nobody there"))?;
        let (node, end) = link();
        let hub = controller.hub.clone();
        controller.world.spawn("accept", async move { hub.accept(end).await });
        Ok(node)
    }
}

/// Tokens are names: `admin`, `demo`, `reader`, `other`.
struct Names;

#[async_trait]
impl Authenticator for Names {
    async fn authenticate(&self, token: &str) -> Result<Arc<Actor>> {
        let (project, roles): (&str, &[&str]) = match token {
            "admin" => ("p-admin", &["admin", "manager", "member", "reader"]),
            "demo" => ("p-demo", &["member", "reader"]),
            "reader" => ("p-demo", &["reader"]),
            "other" => ("p-other", &["member", "reader"]),
            _ => return Err(Error::unauthorized("no such token")),
        };
        Ok(Arc::new(Actor {
            user_id: format!("u-{token}"),
            user_name: token.to_owned(),
            project: Some(ProjectScope {
                id: project.to_owned(),
                name: project.to_owned(),
                ..ProjectScope::default()
            }),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            is_admin: token == "admin",
            ..Actor::default()
        }))
    }
}

/// Runs a test in a cloud of so many nodes.
pub(crate) fn run(seed: u64, nodes: usize, test: impl AsyncFnOnce(&mut Cloud)) {
    run_with(seed, nodes, FakeSettings::default(), ComputeConfig::default(), test);
}

/// As [`run`], with nodes and a service of this kind.
pub(crate) fn run_with(
    seed: u64,
    nodes: usize,
    settings: FakeSettings,
    config: ComputeConfig,
    test: impl AsyncFnOnce(&mut Cloud),
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let world = World::simulated(seed);
        let store = FaultyStore::new(world.clone(), Arc::new(MemoryStore::new(world.clone())));
        let dial = Arc::new(Dial::default());
        let nodes = (0..nodes)
            .map(|n| FakeNode::new(&world, &format!("node{n}"), settings.clone(), dial.clone()))
            .collect();
        let mut cloud = Cloud { world, store, nodes, dial, config };
        cloud.start_controller().await;
        cloud.furnish().await;
        for node in &cloud.nodes {
            node.start();
        }
        cloud.settle().await;
        cloud
            .until("all nodes are linked", |cloud| {
                let known = cloud.controller().state.known();
                known.all::<NodeRecord>().filter(|node| node.is_up()).count() == cloud.nodes.len()
            })
            .await;
        cloud.store.reset_counts();
        test(&mut cloud).await;
        let faults = cloud.inconsistencies();
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    });
}

/// A small node.
pub(crate) fn tiny() -> FakeSettings {
    FakeSettings { inventory: fake_inventory(2, 2048, 20), ..FakeSettings::default() }
}

fn schema() -> Schema {
    let schema = identity::schema(Schema::new());
    let schema = image::schema(schema);
    let schema = placement::schema(schema);
    let schema = nodes::schema(schema);
    crate::schema(schema)
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Map<String, String>,
}

impl Answer {
    /// The body of an answer of this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The sentence of a refusal.
    #[track_caller]
    pub(crate) fn refusal(self, status: u16) -> String {
        let body = self.expect(status);
        let fault = body.as_object().and_then(|map| map.values().next()).expect("a fault");
        assert_eq!(fault["code"], status);
        fault["message"].as_str().expect("a message").to_owned()
    }
}

impl Cloud {
    pub(crate) fn controller(&self) -> Controller {
        self.dial.there().expect("a controller")
    }

    /// A controller starts, after the one before it died.
    pub(crate) async fn start_controller(&self) {
        let world = self.world.scope("c1");
        let store = Arc::new(self.store.process(&world));
        let state = State::open(world.clone(), store, schema(), "c1").await.expect("state");
        let session = Session::begin(&state, Duration::from_secs(6), "").await.expect("session");
        let runtime = Runtime::new(&state);
        let hub = Hub::new(&state, HubConfig::default());
        let compute =
            Compute { state: state.clone(), hub: hub.clone(), config: self.config.clone() };
        crate::start(&compute, &runtime);
        hub.start(&runtime, Some(session));
        let router = Router::builder(world.clone(), Arc::new(Names))
            .mount(crate::service(compute))
            .build()
            .expect("router");
        let controller = Controller { world, state, hub, runtime, router };
        *self.dial.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(controller);
    }

    /// Starts one when there is none.
    pub(crate) async fn revive(&self) {
        if self.dial.there().is_none() {
            self.start_controller().await;
        }
    }

    /// Flavors and an image.
    async fn furnish(&self) {
        let state = self.controller().state;
        let now = self.world.wall();
        state
            .transact("test::furnish", |txn| {
                for (id, vcpus, ram, disk) in
                    [("1", 1, 512, 1), ("2", 2, 2048, 20), ("big", 500, 512, 1)]
                {
                    crate::flavors::create(
                        txn,
                        id,
                        flavor(&format!("m{id}"), vcpus, ram, disk, now),
                    )?;
                }
                txn.create(IMAGE, image(now))
            })
            .await
            .expect("furnished");
    }

    /// A project may have so many servers and cores.
    pub(crate) async fn raise_quota(&self, project: &str, most: i64) {
        let limits: Map<String, i64> = [("instances", most), ("cores", most), ("ram", most * 1000)]
            .map(|(name, most)| (name.to_owned(), most))
            .into();
        self.controller()
            .state
            .transact("test::quota", |txn| {
                let limits = limits.clone();
                txn.put(project, crate::quotas::QuotaRecord { limits, ..Default::default() })
            })
            .await
            .expect("raised");
    }

    /// Asks the API of the controller that is there.
    pub(crate) async fn ask(
        &self,
        token: &str,
        version: &str,
        request: &str,
        body: Option<Value>,
    ) -> Answer {
        self.try_ask(token, version, request, body).await.expect("the controller lives")
    }

    /// As [`Cloud::ask`]; none when the controller died before it answered.
    pub(crate) async fn try_ask(
        &self,
        token: &str,
        version: &str,
        request: &str,
        body: Option<Value>,
    ) -> Option<Answer> {
        let controller = self.dial.there()?;
        let (method, path) = request.split_once(' ').expect("method and path");
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/compute/v2.1{path}"))
            .header("x-auth-token", token)
            .header("content-type", "application/json")
            .header("openstack-api-version", format!("compute {version}"))
            .body(web::RequestBody::Full(bytes.into()))
            .expect("request");
        let router = controller.router.clone();
        controller
            .world
            .spawn("request", async move {
                let response = router.call(request).await;
                let (parts, body) = response.into_parts();
                let bytes = body.collect().await.expect("body").to_bytes();
                let body = match bytes.is_empty() {
                    true => Value::Null,
                    false => serde_json::from_slice(&bytes).expect("JSON"),
                };
                let text = |value: &http::HeaderValue| value.to_str().unwrap_or("").to_owned();
                let headers = parts.headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
                Answer { status: parts.status.as_u16(), body, headers }
            })
            .await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "2.96", &format!("GET {path}"), None).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(token, "2.96", &format!("POST {path}"), Some(body)).await
    }

    /// Makes a server; its id.
    pub(crate) async fn create(&self, token: &str, name: &str) -> String {
        let body = self.post(token, "/servers", new_server(name)).await.expect(202);
        body["server"]["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a server and waits until it runs.
    pub(crate) async fn active(&self, token: &str, name: &str) -> String {
        let id = self.create(token, name).await;
        self.status(token, &id, "ACTIVE").await;
        id
    }

    /// Waits until a server has a status.
    pub(crate) async fn status(&self, token: &str, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        for _ in 0..2000 {
            self.revive().await;
            let answer = self.try_ask(token, "2.96", &format!("GET /servers/{id}"), None).await;
            if let Some(answer) = answer {
                if answer.status == 200
                    && answer.body["server"]["status"] == status
                    && answer.body["server"]["OS-EXT-STS:task_state"].is_null()
                {
                    return answer.body["server"].clone();
                }
                last = answer.body;
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        panic!("{id} never became {status}: {last}");
    }

    /// Waits until a server is no more.
    pub(crate) async fn gone(&self, token: &str, id: &str) {
        for _ in 0..2000 {
            self.revive().await;
            let answer = self.try_ask(token, "2.96", &format!("GET /servers/{id}"), None).await;
            if answer.is_some_and(|answer| answer.status == 404) {
                return;
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        panic!("{id} never went");
    }

    pub(crate) async fn act(&self, token: &str, id: &str, action: Value) -> Answer {
        self.post(token, &format!("/servers/{id}/action"), action).await
    }

    /// Waits until the reconcilers have nothing to do.
    pub(crate) async fn settle(&self) {
        self.controller().runtime.settle().await;
    }

    /// Waits for a state of the cloud.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Cloud) -> bool) {
        for _ in 0..2000 {
            self.revive().await;
            if holds(self) {
                return;
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}");
    }

    /// The node that a server is on.
    pub(crate) fn node_of(&self, id: &str) -> &FakeNode {
        let server = super::super::find(&self.controller().state.known(), id).unwrap().unwrap();
        let name = server.node().expect("a place").to_owned();
        self.nodes.iter().find(|node| node.name() == name).expect("the node")
    }
}

/// A body that makes a server.
pub(crate) fn new_server(name: &str) -> Value {
    json!({"server": {
        "name": name, "imageRef": IMAGE, "flavorRef": "1", "networks": "none",
    }})
}

pub(crate) fn flavor(name: &str, vcpus: u32, ram: u64, disk: u64, now: Timestamp) -> FlavorRecord {
    FlavorRecord {
        name: name.to_owned(),
        ram,
        vcpus,
        disk,
        ephemeral: 0,
        swap: 0,
        rxtx_factor: 1.0,
        is_public: true,
        description: None,
        extra_specs: Map::new(),
        projects: base::Set::new(),
        created_at: now,
        updated_at: None,
    }
}

fn image(now: Timestamp) -> ImageRecord {
    ImageRecord {
        name: Some("tiny".to_owned()),
        owner: Some("p-admin".to_owned()),
        status: Status::Active,
        visibility: Visibility::Public,
        container_format: Some("bare".to_owned()),
        disk_format: Some("qcow2".to_owned()),
        min_disk: 0,
        min_ram: 0,
        protected: false,
        hidden: false,
        tags: base::Set::new(),
        properties: Map::new(),
        members: Map::new(),
        data: Some(Data {
            object: "o".to_owned(),
            place: "p".to_owned(),
            size: 1000,
            md5: String::new(),
            sha512: "ab".repeat(64),
            inspected: true,
            virtual_size: Some(1 << 20),
        }),
        upload: None,
        import: None,
        created_at: now,
        updated_at: now,
    }
}
