//! For this crate's tests: a cloud's identity in one process, on the memory store, called through the
//! router.

use std::{sync::Arc, time::Duration};

use base::{Secret, World};
use serde_json::{Value, json};
use state::{Schema, Sealer, State, backend::MemoryStore};
use web::{BaseUrl, Router, testing::Client};

use crate::{Bootstrap, BuiltIn, Config, Identity};

/// A cloud with nothing but identity.
pub(crate) struct Cloud {
    pub(crate) identity: Identity,
    pub(crate) router: Router,
    pub(crate) state: State,
    pub(crate) world: World,
}

/// Runs a test in a world of its own; a failure names the seed.
pub(crate) fn run<T>(test: impl AsyncFnOnce(Cloud) -> T) -> T {
    run_with(1, Config::default(), test)
}

/// The same with a seed and settings.
pub(crate) fn run_with<T>(seed: u64, config: Config, test: impl AsyncFnOnce(Cloud) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        println!("seed {seed}");
        let world = World::simulated(seed);
        let store = Arc::new(MemoryStore::new(world.clone()));
        let schema = crate::schema(Schema::new());
        let state = State::open(world.clone(), store, schema, "c1").await.expect("state");
        let sealer = Sealer::from_key(&world, [7; 32]);
        let identity = Identity::new(&state, config.with_cheap_hashes(), &sealer);
        identity.bootstrap(&bootstrap()).await.expect("bootstrap");
        let router = Router::builder(world.clone(), Arc::new(identity.clone()))
            .base_url(BaseUrl::new("http://cloud"))
            .mount(crate::service(&identity))
            .build()
            .expect("router");
        test(Cloud { identity, router, state, world }).await
    })
}

fn bootstrap() -> Bootstrap {
    Bootstrap {
        admin_password: Secret::new("admin"),
        demo_password: Some(Secret::new("demo")),
        region: "RegionOne".into(),
        services: vec![
            BuiltIn::new("identity", "keystone", "Identity", "/identity/v3"),
            BuiltIn::new("compute", "nova", "Compute", "/compute/v2.1"),
        ],
    }
}

/// The body of a log-in by password.
pub(crate) fn by_password(user: &str, password: &str, scope: Option<Value>) -> Value {
    let mut auth = json!({"identity": {
        "methods": ["password"],
        "password": {"user": {
            "name": user, "domain": {"id": "default"}, "password": password,
        }},
    }});
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    json!({"auth": auth})
}

/// The scope of a project of the default domain.
pub(crate) fn project(name: &str) -> Option<Value> {
    Some(json!({"project": {"name": name, "domain": {"id": "default"}}}))
}

impl Cloud {
    /// Without a token.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(&self.router)
    }

    /// Logs in; the token and what it says.
    pub(crate) async fn token(
        &self,
        user: &str,
        password: &str,
        scope: Option<Value>,
    ) -> (String, Value) {
        let body = by_password(user, password, scope);
        let answer = self.nobody().post("/identity/v3/auth/tokens", body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
        let token = answer.headers["x-subject-token"].to_str().expect("text").to_owned();
        (token, answer.json())
    }

    /// Who runs the cloud, in the project `admin`.
    pub(crate) async fn admin(&self) -> Client {
        let (token, _) = self.token("admin", "admin", project("admin")).await;
        self.nobody().token(&token)
    }

    /// Who only uses it, in the project `demo`.
    pub(crate) async fn demo(&self) -> Client {
        let (token, _) = self.token("demo", "demo", project("demo")).await;
        self.nobody().token(&token)
    }

    /// Makes something and gives its id.
    pub(crate) async fn make(&self, path: &str, body: Value) -> String {
        let admin = self.admin().await;
        let answer = admin.post(&format!("/identity/v3{path}"), body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
        let body = answer.json();
        let inner = body.as_object().and_then(|o| o.values().next()).expect("one name");
        inner["id"].as_str().expect("an id").to_owned()
    }

    /// Lets time pass.
    pub(crate) async fn wait(&self, seconds: u64) {
        self.world.sleep(Duration::from_secs(seconds)).await;
    }
}
