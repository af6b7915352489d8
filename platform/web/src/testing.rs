//! For room tests: a router called in process, actors without an identity service, golden JSON. Nothing here is
//! used by a running cloud.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use base::{Error, Map, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::{
    Actor, AuditEvent, AuditSink, Authenticator, Policy, ProjectScope, RequestBody, Router,
};

/// Knows the actors that it was told; every other token is refused.
#[derive(Clone, Default)]
pub struct FixedActors(Arc<Mutex<Map<String, Arc<Actor>>>>);

impl FixedActors {
    /// Without actors.
    pub fn new() -> FixedActors {
        FixedActors::default()
    }

    /// `admin`, `demo` (a member of project `demo`), `other` (a member of project `other`), `reader` (a reader
    /// of `demo`), `none` (no role anywhere): tokens of these names.
    pub fn usual() -> FixedActors {
        let actors = FixedActors::new();
        let all = ["admin", "manager", "member", "reader"];
        actors.add("admin", actor("admin", "admin", &all));
        actors.add("demo", actor("demo", "demo", &["member", "reader"]));
        actors.add("other", actor("other", "other", &["member", "reader"]));
        actors.add("reader", actor("reader", "demo", &["reader"]));
        actors.add("none", Actor { user_id: "none".into(), ..Actor::default() });
        actors
    }

    /// This token is this actor's.
    pub fn add(&self, token: &str, actor: Actor) {
        let mut actors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        actors.insert(token.to_owned(), Arc::new(actor));
    }
}

#[async_trait]
impl Authenticator for FixedActors {
    async fn authenticate(&self, token: &str) -> Result<Arc<Actor>> {
        let actors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        actors.get(token).cloned().ok_or_else(|| Error::unauthorized("No such token."))
    }
}

/// A user of the default domain in a project, whose ids are the names.
pub fn actor(user: &str, project: &str, roles: &[&str]) -> Actor {
    Actor {
        user_id: user.to_owned(),
        user_name: user.to_owned(),
        user_domain_id: "default".to_owned(),
        user_domain_name: "Default".to_owned(),
        project: Some(ProjectScope {
            id: project.to_owned(),
            name: project.to_owned(),
            domain_id: "default".to_owned(),
            domain_name: "Default".to_owned(),
        }),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        is_admin: roles.contains(&"admin"),
        ..Actor::default()
    }
}

/// Keeps audit events.
#[derive(Clone, Default)]
pub struct AuditKeeper(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditKeeper {
    /// What came so far; forgotten here.
    pub fn take(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AuditSink for AuditKeeper {
    fn record(&self, event: &AuditEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

/// Calls a router in process.
#[derive(Clone)]
pub struct Client {
    router: Router,
    headers: Vec<(String, String)>,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl Client {
    /// Without a token.
    pub fn new(router: &Router) -> Client {
        Client { router: router.clone(), headers: Vec::new() }
    }

    /// With this token.
    #[must_use]
    pub fn token(&self, token: &str) -> Client {
        self.header("x-auth-token", token)
    }

    /// With this header.
    #[must_use]
    pub fn header(&self, name: &str, value: &str) -> Client {
        let mut client = self.clone();
        client.headers.retain(|(n, _)| n != name);
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// With this microversion: `"compute 2.96"`.
    #[must_use]
    pub fn version(&self, version: &str) -> Client {
        self.header("openstack-api-version", version)
    }

    /// Sends a request with any body.
    ///
    /// # Panics
    /// When the path or a header is none, or the answer's body breaks off.
    #[expect(clippy::expect_used, reason = "for tests: a wrong call is a wrong test")]
    pub async fn send(&self, method: Method, path: &str, body: RequestBody) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = self.router.call(request.body(body).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, RequestBody::Full(Bytes::new())).await
    }

    /// HEAD.
    pub async fn head(&self, path: &str) -> Answer {
        self.send(Method::HEAD, path, RequestBody::Full(Bytes::new())).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, RequestBody::Full(Bytes::new())).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    /// PATCH of JSON.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, body).await
    }

    /// Any method with JSON.
    pub async fn json(&self, method: Method, path: &str, body: Value) -> Answer {
        let bytes = Bytes::from(body.to_string());
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        let client =
            if typed { self.clone() } else { self.header("content-type", "application/json") };
        client.send(method, path, RequestBody::Full(bytes)).await
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.bytes) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {} {}", self.status, self.text()),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Itself, when the status is this one.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// The sentence of an error, wherever the service's envelope puts it.
    #[track_caller]
    pub fn message(&self) -> String {
        if self.header(header::CONTENT_TYPE.as_str()).starts_with("text/html") {
            let text = self.text();
            let body = text.split("</h1>").nth(1).unwrap_or(&text);
            return body.split("<br />").next().unwrap_or(body).trim().to_owned();
        }
        let json = self.json();
        let inner = match json.get("errors").and_then(|errors| errors.get(0)) {
            Some(one) => one.get("detail"),
            None => {
                json.as_object().and_then(|map| map.values().next()).and_then(|v| v.get("message"))
            }
        };
        inner.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The routes that anybody may call, as `METHOD path`: to be compared with a list that people look at.
pub fn public_routes(router: &Router) -> Vec<String> {
    let public = router.routes().filter(|route| route.policy == Policy::Public);
    public.map(|route| format!("{} {}", route.method, route.path)).collect()
}

/// Calls every other route without a token and with a bad one, in its oldest microversion, and tells which answered
/// anything but 401. There shall be none.
pub async fn unguarded_routes(router: &Router) -> Vec<String> {
    let mut open = Vec::new();
    for route in router.routes().filter(|route| route.policy != Policy::Public) {
        let path: Vec<&str> = route
            .path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "x" } else { segment })
            .collect();
        for client in [Client::new(router), Client::new(router).token("nonsense")] {
            let since = route.since.unwrap_or_default();
            let client = client.version(&format!("{} {since}", route.service));
            let body = RequestBody::Full(Bytes::new());
            let answer = client.send(route.method.clone(), &path.join("/"), body).await;
            if answer.status != StatusCode::UNAUTHORIZED {
                open.push(format!("{} {}: {}", route.method, route.path, answer.status));
            }
        }
    }
    open
}

/// Compares a value with the sample in `tests/golden/NAME.json` of the crate whose `CARGO_MANIFEST_DIR` is given;
/// with `EVERSTACK_BLESS=1` in the environment it writes the sample instead. What differs from run to run (ids,
/// times) is for the caller to replace before: see [`stable`].
///
/// # Panics
/// When they differ, or there is no sample.
#[track_caller]
#[expect(clippy::expect_used, clippy::disallowed_methods, reason = "for tests only")]
pub fn golden(manifest_dir: &str, name: &str, value: &Value) {
    let path: PathBuf = Path::new(manifest_dir).join("tests/golden").join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(value).expect("JSON");
    text.push('\n');
    if std::env::var("EVERSTACK_BLESS").is_ok() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, &text).expect("a written sample");
        return;
    }
    let Ok(expected) = std::fs::read_to_string(&path) else {
        panic!("there is no sample {}; EVERSTACK_BLESS=1 writes it:\n{text}", path.display());
    };
    assert!(
        expected == text,
        "{} differs; EVERSTACK_BLESS=1 writes it anew\n--- sample\n{expected}\n--- seen\n{text}",
        path.display()
    );
}

/// A copy in which UUIDs, ids of 32 hex digits and times are replaced by `<id1>`, `<id2>`, `<time>`; equal ids by
/// equal names, inside longer texts (links) too.
pub fn stable(value: &Value) -> Value {
    let mut names = Map::new();
    replace(value, &mut names)
}

fn replace(value: &Value, names: &mut Map<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(replace_text(text, names)),
        Value::Array(items) => items.iter().map(|item| replace(item, names)).collect(),
        Value::Object(map) => Value::Object(
            map.iter().map(|(k, v)| (replace_text(k, names), replace(v, names))).collect(),
        ),
        other => other.clone(),
    }
}

fn replace_text(text: &str, names: &mut Map<String, String>) -> String {
    static IDS: std::sync::LazyLock<Option<regex::Regex>> = std::sync::LazyLock::new(|| {
        regex::Regex::new(
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b",
        )
        .ok()
    });
    if text.len() >= 19 && base::Timestamp::parse(text).is_some() {
        return "<time>".to_owned();
    }
    let Some(ids) = IDS.as_ref() else { return text.to_owned() };
    let replaced = ids.replace_all(text, |found: &regex::Captures<'_>| {
        let next = format!("<id{}>", names.len() + 1);
        names.entry(found[0].to_owned()).or_insert(next).clone()
    });
    replaced.into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_is_replaced() {
        let a = "3dccb8c4-08fe-4706-a91d-e843b8fe9ed2";
        let b = "0123456789abcdef0123456789abcdef";
        let value = json!({"id": a, "href": format!("http://x/{a}/{b}"), "at": "2026-01-01T00:00:00Z",
                           "n": 5, "name": "demo", b: [b]});
        assert_eq!(
            stable(&value),
            json!({"id": "<id1>", "href": "http://x/<id1>/<id2>", "at": "<time>", "n": 5, "name": "demo",
                   "<id2>": ["<id2>"]})
        );
    }
}
