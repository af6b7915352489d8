//! One request, as a handler sees it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base::{Error, Result, World};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Actor, Body, BodyStream, Envelope, Microversion, Query, Rulebook, Schema, Target, body,
    validate,
};

/// Where clients reach this cloud: `https://cloud.example:8774`, without a slash at the end. Never taken from
/// a request's `Host`, so that answers can be rendered ahead and nobody can plant links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Arc<str>);

impl BaseUrl {
    /// Of this address; a slash at the end is dropped.
    pub fn new(url: &str) -> BaseUrl {
        BaseUrl(url.trim_end_matches('/').into())
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An absolute URL; `path` starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

/// What is the same for all requests to one service.
#[derive(Debug)]
pub struct ServiceInfo {
    /// `compute`.
    pub name: &'static str,
    /// `/compute/v2.1`; empty for a service at the root.
    pub prefix: &'static str,
    /// How it words its errors.
    pub envelope: Envelope,
    /// Its policies in force.
    pub rules: Rulebook,
}

/// Everything about a request but the service's context; a [`Call`] dereferences to it.
pub struct Request {
    /// Clock, ids, randomness.
    pub world: World,
    /// Who asks; [`Actor::anonymous`] on public routes.
    pub actor: Arc<Actor>,
    /// The microversion to answer in.
    pub version: Microversion,
    /// `req-…`, also in the answer.
    pub request_id: Arc<str>,
    /// The id that the client gave the request, across services.
    pub global_request_id: Option<Arc<str>>,
    /// The method.
    pub method: Method,
    /// The whole path, as sent.
    pub path: String,
    /// The card's own path: `/servers/{server_id}`.
    pub route: &'static str,
    /// Parameters of the path, decoded.
    pub params: Params,
    /// The query.
    pub query: Query,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// Where clients reach this cloud.
    pub base_url: Arc<BaseUrl>,
    /// The service that is called.
    pub service: Arc<ServiceInfo>,
    /// The client's address, when it came by a socket.
    pub remote: Option<IpAddr>,
    /// Set as soon as the handler asked a policy.
    pub(crate) asked: Arc<AtomicBool>,
}

/// One request with its service's context.
pub struct Call<C> {
    /// The service's context.
    pub context: C,
    /// The request.
    pub request: Request,
}

impl<C> std::ops::Deref for Call<C> {
    type Target = Request;
    fn deref(&self) -> &Request {
        &self.request
    }
}

impl<C> std::ops::DerefMut for Call<C> {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

/// Parameters of a path.
#[derive(Clone, Debug, Default)]
pub struct Params(pub(crate) Vec<(&'static str, String)>);

impl Params {
    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Request {
    /// A parameter of the path by the name it has in the card; empty when the card has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        debug_assert!(self.params.get(name).is_some(), "{} has no {{{name}}}", self.route);
        self.params.get(name).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body's bytes; none when nothing was sent or the card is streaming.
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Stream(_) => &[],
        }
    }

    /// Takes the body's bytes away.
    pub fn take_bytes(&mut self) -> Bytes {
        match std::mem::replace(&mut self.body, Body::Empty) {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Stream(_) => Bytes::new(),
        }
    }

    /// Takes the body's stream away. On a card that is not streaming: a stream of what was read.
    pub fn take_stream(&mut self) -> BodyStream {
        let whole = match std::mem::replace(&mut self.body, Body::Empty) {
            Body::Stream(stream) => return stream,
            Body::Bytes(bytes) => bytes,
            Body::Empty => Bytes::new(),
        };
        crate::RequestBody::Full(whole).into_stream(self.world.clone(), crate::limits::PATIENCE)
    }

    /// The body as a JSON object; 400 in the service's words when it is missing, malformed or no object.
    /// (Keystone takes a missing one for `{}`.)
    pub fn value(&self) -> Result<Value> {
        match self.any_value()? {
            value @ Value::Object(_) => Ok(value),
            other => Err(self.service.envelope.not_an_object(&other)),
        }
    }

    /// The body as any JSON (patches are lists); 400 in the service's words when it is malformed. A missing one
    /// is what the service takes it for.
    pub fn any_value(&self) -> Result<Value> {
        match self.bytes() {
            [] => self.service.envelope.without_body(),
            bytes => body::parse_json(bytes, self.service.envelope),
        }
    }

    /// The body as a JSON object of this shape. Prefer [`Request::input`], which has the real messages.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.value()?).map_err(|error| {
            Error::bad_request(format!("The body of the request is not as expected: {error}"))
        })
    }

    /// The body as a JSON object that fits the schema at this microversion; 400 in the service's words.
    pub fn input(&self, schema: &Schema) -> Result<Value> {
        let value = self.value()?;
        validate::check(schema, &value, self.version, self.service.envelope.into())?;
        Ok(value)
    }

    /// [`Request::input`], then read into `T`.
    pub fn input_as<T: DeserializeOwned>(&self, schema: &Schema) -> Result<T> {
        serde_json::from_value(self.input(schema)?).map_err(|error| {
            Error::bad_request(format!("The body of the request is not as expected: {error}"))
        })
    }

    /// Checks any JSON (an action's body, say) as [`Request::input`] does the whole body.
    pub fn check(&self, schema: &Schema, value: &Value) -> Result<()> {
        validate::check(schema, value, self.version, self.service.envelope.into())
    }

    /// Checks the query; 400 in the service's words.
    pub fn check_query(&self, schema: &Schema) -> Result<()> {
        validate::check_query(schema, &self.query, self.version, self.service.envelope.into())
    }

    /// Nova's `/action`: the name of the one action in the body, and the whole body, for the action's schema.
    pub fn action(&self) -> Result<(String, Value)> {
        let body = self.any_value()?;
        match body.as_object().map(|map| (map.len(), map.keys().next())) {
            Some((1, Some(name))) => Ok((name.clone(), body)),
            _ => Err(Error::bad_request("Malformed request body")),
        }
    }

    /// Whether the actor may do this to that. An unknown name is never allowed.
    pub fn allowed(&self, name: &str, target: &Target<'_>) -> bool {
        self.asked.store(true, Ordering::Relaxed);
        debug_assert!(self.service.rules.has(name), "{name} is no policy of {}", self.service.name);
        self.service.rules.allows(name, &self.actor, target)
    }

    /// 403 in the service's words unless the actor may do this to that.
    pub fn allow(&self, name: &str, target: &Target<'_>) -> Result<()> {
        if self.allowed(name, target) {
            return Ok(());
        }
        Err(self.service.envelope.refused(name))
    }

    /// The actor's own things as a target: what route policies are checked against.
    pub fn own(&self) -> Target<'_> {
        Target::owned(self.actor.project_id(), &self.actor.user_id)
    }

    /// An absolute URL under this service's prefix; `path` starts with a slash.
    pub fn link(&self, path: &str) -> String {
        format!("{}{}{path}", self.base_url.as_str(), self.service.prefix)
    }

    /// Nova's "bookmark": an absolute URL without the version: `http://…/compute/servers/ID`.
    pub fn bookmark(&self, path: &str) -> String {
        let prefix = self.service.prefix;
        let bare = match prefix.rsplit_once('/') {
            Some((bare, last)) if last.starts_with('v') => bare,
            _ => prefix,
        };
        format!("{}{bare}{path}", self.base_url.as_str())
    }

    /// Nova's `links` of one thing: self and bookmark.
    pub fn nova_links(&self, path: &str) -> Value {
        serde_json::json!([
            {"rel": "self", "href": self.link(path)},
            {"rel": "bookmark", "href": self.bookmark(path)},
        ])
    }

    /// An absolute URL of this cloud; `path` starts with a slash.
    pub fn root_link(&self, path: &str) -> String {
        self.base_url.join(path)
    }
}
