//! A cloud that has only images, called in process; tokens say who asks: `project/role,role`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Error, Result, World};
use bytes::Bytes;
use control::Runtime;
use http_body_util::BodyExt;
use serde_json::Value;
use state::{Schema, State, backend::MemoryStore as Keys};
use web::{Actor, Authenticator, ProjectScope, RequestBody, Router};

use crate::{
    Images, Options,
    store::{MemoryStore, Store},
};

pub(crate) const ALICE: &str = "alpha/member,reader";
pub(crate) const READER: &str = "alpha/reader";
pub(crate) const BOB: &str = "beta/member,reader";
pub(crate) const ADMIN: &str = "admin/admin,manager,member,reader";

struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Arc<Actor>> {
        let Some((project, roles)) = token.split_once('/') else {
            return Err(Error::unauthorized("no such token"));
        };
        let roles: Vec<String> = roles.split(',').map(str::to_owned).collect();
        Ok(Arc::new(Actor {
            user_id: format!("user-of-{project}"),
            project: Some(ProjectScope { id: project.to_owned(), ..ProjectScope::default() }),
            is_admin: roles.iter().any(|role| role == "admin"),
            roles,
            ..Actor::default()
        }))
    }
}

/// What can be sent.
pub(crate) trait IntoBody {
    fn into_body(self) -> RequestBody;
}

impl IntoBody for &'static str {
    fn into_body(self) -> RequestBody {
        RequestBody::Full(self.into())
    }
}

impl IntoBody for &'static [u8] {
    fn into_body(self) -> RequestBody {
        RequestBody::Full(self.into())
    }
}

impl IntoBody for String {
    fn into_body(self) -> RequestBody {
        RequestBody::Full(self.into())
    }
}

impl IntoBody for Vec<u8> {
    fn into_body(self) -> RequestBody {
        RequestBody::Full(self.into())
    }
}

impl IntoBody for RequestBody {
    fn into_body(self) -> RequestBody {
        self
    }
}

pub(crate) struct Cloud {
    pub(crate) world: World,
    pub(crate) state: State,
    pub(crate) images: Images,
    pub(crate) store: MemoryStore,
    pub(crate) runtime: Runtime,
    pub(crate) router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The sentence of an error, out of Glance's page.
    pub(crate) fn error(&self) -> String {
        let text = self.text();
        let body = text.split("</h1>").nth(1).unwrap_or(&text);
        let body = body.split("<br").next().unwrap_or(body).trim().to_owned();
        body.replace("&#x27;", "'")
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&amp;", "&")
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Cloud {
    pub(crate) async fn new() -> Cloud {
        Cloud::with(Options::default(), MemoryStore::new("here")).await
    }

    pub(crate) async fn with(options: Options, store: MemoryStore) -> Cloud {
        let world = World::real();
        let keys = Arc::new(Keys::new(world.clone()));
        Cloud::over(world, keys, "c1", options, store).await
    }

    pub(crate) async fn over(
        world: World,
        keys: Arc<Keys>,
        name: &str,
        options: Options,
        store: MemoryStore,
    ) -> Cloud {
        let schema = crate::schema(Schema::new());
        let state = State::open(world.clone(), keys, schema, name).await.expect("state");
        let place: Arc<dyn Store> = Arc::new(store.clone());
        let images = Images::new(&state, place, options);
        let runtime = Runtime::new(&state);
        let router = Router::builder(world.clone(), Arc::new(Tokens))
            .mount(crate::service(images.clone()))
            .build()
            .expect("router");
        Cloud { world, state, images, store, runtime, router }
    }

    pub(crate) fn start(&self) {
        for reconciler in self.images.reconcilers() {
            self.runtime.start(reconciler);
        }
    }

    pub(crate) async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl IntoBody,
    ) -> Answer {
        let whole = path == "/image" || path.starts_with("/image/");
        let path = if whole { path.to_owned() } else { format!("/image/v2{path}") };
        let mut request = http::Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.call(request.body(body.into_body()).expect("request")).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(token, "GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send(token, "DELETE", path, &[], "").await
    }

    pub(crate) async fn json(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send(token, method, path, &[("content-type", "application/json")], body.to_string())
            .await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.json(token, "POST", path, body).await
    }

    pub(crate) async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        self.json(token, "PUT", path, body).await
    }

    pub(crate) async fn patch(&self, token: &str, id: &str, body: Value) -> Answer {
        let media = "application/openstack-images-v2.1-json-patch";
        let path = format!("/images/{id}");
        self.send(token, "PATCH", &path, &[("content-type", media)], body.to_string()).await
    }

    pub(crate) async fn upload(&self, token: &str, id: &str, bytes: impl IntoBody) -> Answer {
        let headers = [("content-type", "application/octet-stream")];
        self.send(token, "PUT", &format!("/images/{id}/file"), &headers, bytes).await
    }

    /// Makes an image and gives its id.
    pub(crate) async fn make(&self, token: &str, body: Value) -> String {
        let made = self.post(token, "/images", body).await.expect(201).json();
        made["id"].as_str().expect("id").to_owned()
    }

    /// Makes a raw image with bytes.
    pub(crate) async fn active(&self, token: &str, bytes: &'static [u8]) -> String {
        let body =
            serde_json::json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
        let id = self.make(token, body).await;
        self.upload(token, &id, bytes).await.expect(204);
        id
    }

    pub(crate) async fn show(&self, token: &str, id: &str) -> Value {
        self.get(token, &format!("/images/{id}")).await.expect(200).json()
    }

    pub(crate) async fn ids(&self, token: &str, query: &str) -> Vec<String> {
        let list = self.get(token, &format!("/images{query}")).await.expect(200).json();
        let images = list["images"].as_array().expect("images").iter();
        images.map(|image| image["id"].as_str().expect("id").to_owned()).collect()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        for _ in 0..2000 {
            if so().await {
                return;
            }
            self.world.sleep(Duration::from_millis(5)).await;
        }
        panic!("{what} never came to be");
    }
}
