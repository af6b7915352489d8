//! A whole cloud in one process, one thread and one seed: several controllers on one faulty store, fake
//! nodes with the real agent, the real APIs called in process. Time is virtual; the seed decides what
//! goes wrong and in which order things happen.

mod guards;
mod invariants;
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent::fake::{FakeNode, FakeSettings};
use async_trait::async_trait;
use base::{Error, Result, Secret, World};
use bytes::Bytes;
use http::Method;
use orders::{Connector, NodeEnd};
use serde_json::{Value, json};
use state::{Sealer, Store, backend::MemoryStore, faulty::FaultyStore};
use web::{
    RequestBody,
    testing::{Answer, Client},
};

use crate::{
    cloud::{self, Controller, Parts},
    credentials::Passwords,
};

/// The cloud.
pub struct Lab {
    /// The world that all of it lives in.
    pub world: World,
    /// The store, with its faults.
    pub store: FaultyStore,
    /// The nodes.
    pub nodes: Vec<FakeNode>,
    controllers: Controllers,
    images: Arc<image::store::MemoryStore>,
    token: Mutex<String>,
}

/// Controllers that run now, by number; a dead one's place is empty.
type Controllers = Arc<Mutex<Vec<Option<(World, Controller)>>>>;

/// Dials any controller that lives.
struct Dial {
    world: World,
    controllers: Controllers,
}

#[async_trait]
impl Connector for Dial {
    async fn connect(&self) -> Result<NodeEnd> {
        let living: Vec<_> = {
            let all = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().flatten().filter(|(world, _)| !world.killed()).cloned().collect()
        };
        if living.is_empty() {
            return Err(Error::unavailable("no controller lives"));
        }
        let chosen = usize::try_from(self.world.below(living.len() as u64)).unwrap_or(0);
        let (world, controller) = &living[chosen];
        let (node, end) = orders::link();
        let hub = controller.hub.clone();
        world.spawn("accept", async move { hub.accept(end).await });
        Ok(node)
    }
}

/// Runs a test in a world of this seed.
pub fn run<T>(seed: u64, test: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::simulated(seed)).await })
}

impl Lab {
    /// A cloud of so many controllers and nodes, all of them up, with a flavor `f` and an image.
    pub async fn new(world: &World, controllers: usize, nodes: usize) -> Lab {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(world.clone()));
        let lab = Lab {
            world: world.clone(),
            store: FaultyStore::new(world.clone(), memory),
            nodes: Vec::new(),
            controllers: Arc::new(Mutex::new(vec![])),
            images: Arc::new(image::store::MemoryStore::new("lab")),
            token: Mutex::default(),
        };
        for number in 0..controllers {
            lab.controllers().push(None);
            lab.start_controller(number).await;
        }
        let connector: Arc<dyn Connector> =
            Arc::new(Dial { world: world.clone(), controllers: lab.controllers.clone() });
        let nodes = (0..nodes).map(|number| {
            let settings = FakeSettings::default();
            let node = FakeNode::new(world, &format!("n{number}"), settings, connector.clone());
            node.start();
            node
        });
        let lab = Lab { nodes: nodes.collect(), ..lab };
        lab.log_in().await;
        lab
    }

    fn controllers(&self) -> std::sync::MutexGuard<'_, Vec<Option<(World, Controller)>>> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a controller (again). May fail while the store does; then try again later.
    pub async fn start_controller(&self, number: usize) -> bool {
        self.kill_controller(number);
        let world = self.world.scope(&format!("c{number}"));
        let started = cloud::start(Parts {
            world: world.clone(),
            store: Arc::new(self.store.process(&world)),
            sealer: Sealer::from_key(&world, [7; 32]),
            name: format!("c{number}"),
            address: String::new(),
            url: "http://lab".into(),
            region: "RegionOne".into(),
            image_store: self.images.clone(),
            passwords: Passwords { admin: Secret::new("admin"), demo: Secret::new("demo") },
            identity: identity::Config::default().with_cheap_hashes(),
            policies: vec![],
            images: image::Options::default(),
            session_ttl: Duration::from_secs(10),
            audit: Arc::new(web::AuditLog),
        });
        // A crash while it starts kills its scope, and nothing of it goes on.
        match self.world.timeout(Duration::from_secs(60), started).await {
            Ok(Ok(controller)) if !world.killed() => {
                self.controllers()[number] = Some((world, controller));
                true
            }
            _ => {
                world.kill();
                false
            }
        }
    }

    /// `kill -9`.
    pub fn kill_controller(&self, number: usize) {
        if let Some((world, _)) = self.controllers()[number].take() {
            world.kill();
        }
    }

    /// Starts every controller that is dead.
    pub async fn revive(&self) {
        let count = self.controllers().len();
        for number in 0..count {
            loop {
                let lives =
                    self.controllers()[number].as_ref().is_some_and(|(world, _)| !world.killed());
                if lives || self.start_controller(number).await {
                    break;
                }
                self.world.sleep(Duration::from_millis(500)).await;
            }
        }
    }

    /// Some living controller, chosen by the seed.
    pub fn any(&self) -> Option<Controller> {
        let living: Vec<_> = self
            .controllers()
            .iter()
            .flatten()
            .filter(|(world, _)| !world.killed())
            .map(|(_, controller)| controller.clone())
            .collect();
        if living.is_empty() {
            return None;
        }
        let chosen = usize::try_from(self.world.below(living.len() as u64)).unwrap_or(0);
        Some(living[chosen].clone())
    }

    /// One request to some controller; none when it died under it or none lives.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        let controller = self.any()?;
        let world = controller.state.world().clone();
        let token = self.token();
        let client = Client::new(&controller.router).token(&token).version("compute 2.37");
        let path = path.to_owned();
        // In the controller's scope, so that it dies with it.
        let answered = world.spawn("request", async move {
            match body {
                Some(body) => client.json(method, &path, body).await,
                None => client.send(method, &path, RequestBody::Full(Bytes::new())).await,
            }
        });
        self.world.timeout(Duration::from_secs(120), answered).await.ok()?
    }

    /// As [`Lab::ask`], again and again until it is answered by something else than a 5xx.
    pub async fn insist(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        for _ in 0..200 {
            if let Some(answer) = self.ask(method.clone(), path, body.clone()).await
                && !answer.status.is_server_error()
            {
                return answer;
            }
            self.world.sleep(Duration::from_millis(200)).await;
            self.revive().await;
        }
        panic!("{method} {path} is never answered");
    }

    /// The admin's token.
    pub fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn log_in(&self) {
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": "admin"}}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}});
        let answer = self.insist(Method::POST, "/identity/v3/auth/tokens", Some(body)).await;
        let token = answer.expect(201).header("x-subject-token").to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Waits until every controller's reconcilers are settled, with no faults from here on.
    pub async fn settle(&self) {
        self.store.calm();
        self.revive().await;
        for _ in 0..6000 {
            self.world.sleep(Duration::from_millis(100)).await;
            let all: Vec<_> = self.controllers().iter().flatten().map(|(_, c)| c.clone()).collect();
            if all.iter().all(|controller| controller.runtime.settled()) && self.servers_settled() {
                return;
            }
        }
        let controller = self.any().expect("a controller lives");
        panic!("the cloud never settles: {:?}", controller.runtime.status());
    }
}
