//! The way of one request: find the card, know the actor, agree on a version, ask the policy, take the body,
//! run the handler, word the answer.
//!
//! A token is asked for before a path is called unknown, as the real services' filters do; only Keystone,
//! which has no such filter, looks for the path first.

use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base::{Error, Result};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use tracing::Instrument;

use crate::{
    Actor, AuditEvent, Body, BodyKind, Envelope, Microversion, Policy, Query, Reply, RequestBody,
    ResponseBody, Router, Words, audit, body,
    call::{Params, Request},
    envelope::Site,
    microversion::vary,
    request_id,
    route::Found,
    router::{Inner, Mounted, MountedCard},
};

/// The client's address: the server puts it into a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asked what, kept apart from the request, which the handler takes.
struct Head {
    id: Arc<str>,
    method: Method,
    path: String,
    accept: Option<HeaderValue>,
    remote: Option<IpAddr>,
}

/// What was found out on the way, for whatever ends it.
pub(crate) struct Way<'r> {
    service: Option<&'r Mounted>,
    card: Option<&'r MountedCard>,
    pub(crate) envelope: Envelope,
    version: Option<Microversion>,
    negotiating: bool,
    actor: Arc<Actor>,
    pub(crate) allow: Option<String>,
    unfinished: bool,
}

impl Router {
    /// Answers one request, in process or from a socket.
    pub async fn call(&self, request: http::Request<RequestBody>) -> Response<ResponseBody> {
        let inner = &*self.0;
        let started = inner.world.now();
        let (parts, body) = request.into_parts();
        let head = Head {
            id: request_id::new(&inner.world),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            accept: parts.headers.get(header::ACCEPT).cloned(),
            remote: parts.extensions.get::<Peer>().map(|peer| peer.0.ip()),
        };
        let mut way = Way {
            service: None,
            card: None,
            envelope: Envelope::Plain,
            version: None,
            negotiating: false,
            actor: Actor::anonymous(),
            allow: None,
            unfinished: false,
        };
        let slot = Slot::take(&self.0);
        let span = tracing::info_span!(
            "request",
            request.id = &*head.id,
            request.method = head.method.as_str(),
            request.path = head.path,
            request.global_id = tracing::field::Empty,
        );
        let answer = match &slot {
            Some(_) => {
                inner.answer(&head, &mut way, parts, body, &span).instrument(span.clone()).await
            }
            None => Err(Error::unavailable("Too many requests are at work; try again.")),
        };
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => span.in_scope(|| {
                let reply = way.envelope.render(&error, &inner.site(&head, &way));
                match &way.allow {
                    Some(allow) => reply.header("allow", allow),
                    None => reply,
                }
            }),
        };
        let mut response = reply.into_response(head.method == Method::HEAD);
        let headers = response.headers_mut();
        request_id::stamp(headers, &head.id, way.envelope == Envelope::Nova);
        if way.envelope == Envelope::Keystone {
            vary(headers, "X-Auth-Token");
        }
        if let (Some(version), Some(scheme)) =
            (way.version, way.service.and_then(|service| service.scheme.as_ref()))
        {
            scheme.stamp(headers, version);
        }
        let took = inner.world.now().since(started);
        let status = response.status();
        let stats = match (way.card, way.service) {
            (Some(card), _) => &card.stats,
            (None, Some(service)) => &service.unmatched,
            (None, None) => &inner.unmatched,
        };
        stats.count(status, took);
        span.in_scope(|| {
            tracing::debug!(status = status.as_u16(), duration_us = took.as_micros(), "answered");
        });
        inner.audit(head, &way, status);
        match slot {
            Some(slot) => response.map(|body| body.holding(slot)),
            None => response,
        }
    }
}

impl Inner {
    fn site<'s>(&'s self, head: &'s Head, way: &Way<'s>) -> Site<'s> {
        Site {
            request_id: &head.id,
            accept: head.accept.as_ref(),
            version: way.version.unwrap_or_default(),
            scheme: way.service.and_then(|service| service.scheme.as_ref()),
            identity_url: &self.identity_url,
            negotiating: way.negotiating,
        }
    }

    async fn answer<'r>(
        &'r self,
        head: &Head,
        way: &mut Way<'r>,
        parts: Parts,
        body: RequestBody,
        span: &tracing::Span,
    ) -> Result<Reply> {
        let long = parts.uri.path_and_query().map_or(0, |uri| uri.as_str().len());
        if long > self.limits.uri {
            return Ok(Reply::bytes(414, "text/plain", "The request's URI is too long.\n"));
        }
        if let Some(page) = self.page(&head.method, &head.path, way) {
            return page;
        }
        let Some((service, rest, legacy)) = self.locate(&head.path) else {
            let under =
                |root: &str| head.path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
            let Some(root) = self.roots.iter().find(|root| under(root.path)) else {
                return Err(way.envelope.no_route());
            };
            way.envelope = root.envelope;
            return match &root.choices {
                Some(choices) => Ok(Reply::json_bytes(300, choices.clone())),
                None => Err(way.envelope.no_route()),
            };
        };
        way.service = Some(service);
        way.envelope = service.info.envelope;
        let global_request_id = request_id::global(&parts.headers);
        if let Some(id) = &global_request_id {
            span.record("request.global_id", &**id);
        }
        // Glance alone minds a slash at the end: `/images/` is an image without an id, not the list.
        let minded = service.info.envelope == Envelope::Glance && rest.len() > 1;
        let found = service.find(rest).filter(|_| !(minded && rest.ends_with('/')));
        let public = found.as_ref().is_some_and(|(found, _)| {
            service.cards_of(found, &head.method).any(|card| card.policy == Policy::Public)
        });
        let filter_first = service.info.envelope != Envelope::Keystone;
        if filter_first && !public {
            way.actor = self.authenticate(&parts.headers).await?;
        }
        if let Some(scheme) = service.scheme.as_ref().filter(|_| !legacy) {
            let words = match service.info.envelope {
                Envelope::Placement => Words::Placement,
                _ => Words::Nova,
            };
            way.negotiating = true;
            way.version = Some(scheme.negotiate(&parts.headers, words)?);
            way.negotiating = false;
        }
        let oldest = service.scheme.as_ref().map(|scheme| scheme.min);
        let version = way.version.or(oldest).unwrap_or_default();
        let Some((found, project)) = found else { return Err(service.info.envelope.no_route()) };
        let card = service.choose(&found, &head.method, version, way)?;
        way.card = Some(card);
        if !filter_first && card.policy != Policy::Public {
            way.actor = self.authenticate(&parts.headers).await?;
        }
        if let Some(project) = project
            && card.policy != Policy::Public
            && project != way.actor.project_id()
        {
            return Err(Error::bad_request(format!(
                "Malformed request URL: URL's project_id '{project}' doesn't match Context's \
                 project_id '{}'",
                way.actor.project_id()
            )));
        }
        let params = Params(card.names.iter().copied().zip(found.values).collect());
        service.permit(card, &way.actor, &params)?;
        let query = Query::parse(parts.uri.query().unwrap_or(""))?;
        let body = self.take_body(service, card, &parts.headers, body).await?;
        let asked = Arc::new(AtomicBool::new(false));
        let request = Request {
            world: self.world.clone(),
            actor: way.actor.clone(),
            version,
            request_id: head.id.clone(),
            global_request_id,
            method: parts.method,
            path: head.path.clone(),
            route: card.path,
            params,
            query,
            headers: parts.headers,
            body,
            base_url: self.base_url.clone(),
            service: service.info.clone(),
            remote: head.remote,
            asked: asked.clone(),
        };
        let reply = self.run(card, request, span, way).await?;
        let checked = !matches!(card.policy, Policy::Checked(_)) || asked.load(Ordering::Relaxed);
        if !checked && !reply.status.is_client_error() {
            return Err(Error::internal(format!(
                "{} {} answered without having asked a policy",
                card.method, card.path
            )));
        }
        Ok(reply)
    }

    /// The service whose prefix the path has, what is below, and whether it is the legacy prefix.
    fn locate<'p>(&self, path: &'p str) -> Option<(&Mounted, &'p str, bool)> {
        let below = |prefix: &str| {
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        self.services.iter().find_map(|service| {
            let usual = below(service.info.prefix).map(|rest| (service, rest, false));
            usual.or_else(|| Some((service, below(service.legacy?)?, true)))
        })
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Actor>> {
        let token = headers.get("x-auth-token").and_then(|token| token.to_str().ok());
        match token {
            Some(token) if !token.is_empty() => self.authenticator.authenticate(token).await,
            _ => Err(Error::unauthorized("The request has no token.")),
        }
    }

    async fn take_body(
        &self,
        service: &Mounted,
        card: &MountedCard,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<Body> {
        let envelope = service.info.envelope;
        match card.body {
            BodyKind::Stream => {
                if !card.media.is_empty() {
                    body::check_media(headers, card.media, envelope)?;
                }
                Ok(Body::Stream(body.into_stream(self.world.clone(), self.limits.body)))
            }
            BodyKind::Whole { limit } => {
                let bytes = body.read(&self.world, limit, self.limits.body).await?;
                if bytes.is_empty() {
                    return Ok(Body::Empty);
                }
                if !card.media.is_empty() {
                    body::check_media(headers, card.media, envelope)?;
                }
                Ok(Body::Bytes(bytes))
            }
        }
    }

    /// Runs the handler. One that may change something runs to its end even when the client has gone or lost
    /// patience; one that only reads ends with the request. A panic is a 500.
    async fn run(
        &self,
        card: &MountedCard,
        request: Request,
        span: &tracing::Span,
        way: &mut Way<'_>,
    ) -> Result<Reply> {
        let streaming = card.body == BodyKind::Stream;
        let change = audit::action(&request.method).is_some();
        let answer = (card.run)(request);
        let panicked = || Error::internal(format!("{} {} panicked", card.method, card.path));
        if change {
            let task = self.world.spawn("request", answer.instrument(span.clone()));
            if streaming {
                return task.await.ok_or_else(panicked)?;
            }
            return match self.world.timeout(self.limits.handler, task).await {
                Ok(ended) => ended.ok_or_else(panicked)?,
                Err(_) => {
                    way.unfinished = true;
                    Err(Error::unavailable(format!(
                        "The request took longer than {} seconds. It goes on and may still be carried \
                         out: look before you try again.",
                        self.limits.handler.as_secs()
                    )))
                }
            };
        }
        let caught = AssertUnwindSafe(answer).catch_unwind();
        match self.world.timeout(self.limits.handler, caught).await {
            Ok(ended) => ended.map_err(|_| panicked())?,
            Err(_) => Err(Error::unavailable(format!(
                "The request took longer than {} seconds.",
                self.limits.handler.as_secs()
            ))),
        }
    }

    fn audit(&self, head: Head, way: &Way<'_>, status: StatusCode) {
        let Some(action) = audit::action(&head.method) else { return };
        let Some(service) = way.service else { return };
        self.audit.record(&AuditEvent {
            id: self.world.uuid().to_string(),
            time: self.world.wall(),
            action,
            outcome: match status {
                _ if way.unfinished => "unknown",
                status if status.is_success() => "success",
                _ => "failure",
            },
            status: status.as_u16(),
            initiator: way.actor.clone(),
            address: head.remote,
            service: service.info.name,
            method: head.method,
            route: way.card.map_or("", |card| card.path),
            path: head.path,
            request_id: head.id,
        });
    }
}

impl Mounted {
    /// What stands at the path; and the project's id when the path starts with one.
    fn find<'p>(&self, rest: &'p str) -> Option<(Found<'_>, Option<&'p str>)> {
        if let Some(found) = self.routes.find(rest) {
            return Some((found, None));
        }
        if !self.project_in_path {
            return None;
        }
        let (project, rest) = rest.strip_prefix('/')?.split_once('/')?;
        let plain =
            project.len() >= 32 && project.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !plain {
            return None;
        }
        Some((self.routes.find(rest)?, Some(project)))
    }

    /// The cards of a path that answer this method. A HEAD is answered as a GET without its body, unless it
    /// has a card.
    fn cards_of<'s>(
        &'s self,
        found: &'s Found<'_>,
        method: &'s Method,
    ) -> impl Iterator<Item = &'s MountedCard> {
        let has = |method: &Method| found.cards.iter().any(|(m, _)| m == method);
        let head_as_get = *method == Method::HEAD && !has(method);
        let wanted = if head_as_get { &Method::GET } else { method };
        found
            .cards
            .iter()
            .filter(move |(method, _)| method == wanted)
            .filter_map(|(_, index)| self.cards.get(*index))
    }

    fn choose<'s>(
        &'s self,
        found: &Found<'_>,
        method: &Method,
        version: Microversion,
        way: &mut Way<'_>,
    ) -> Result<&'s MountedCard> {
        let get_also =
            *method == Method::HEAD && !found.cards.iter().any(|(m, _)| m == Method::HEAD);
        let wanted = if get_also { &Method::GET } else { method };
        let mut known = false;
        for (_, index) in found.cards.iter().filter(|(m, _)| m == wanted) {
            known = true;
            match self.cards.get(*index) {
                Some(card) if card.holds(version) => return Ok(card),
                _ => {}
            }
        }
        // To Nova, a path with another method is another path.
        if known || self.info.envelope == Envelope::Nova {
            return Err(self.info.envelope.no_route());
        }
        let mut methods: Vec<&str> = found.cards.iter().map(|(m, _)| m.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        way.allow = Some(methods.join(", "));
        Err(self.info.envelope.no_method())
    }

    /// The route's own policy, before anything is loaded.
    fn permit(&self, card: &MountedCard, actor: &Actor, params: &Params) -> Result<()> {
        let Policy::Rule(name, _) = card.policy else { return Ok(()) };
        let mut target = crate::Target::owned(actor.project_id(), &actor.user_id);
        for (name, value) in params.iter() {
            target = target.with(name, value);
        }
        let rules = &self.info.rules;
        if card.rule.is_some_and(|rule| rules.allows_at(rule, actor, &target)) {
            return Ok(());
        }
        Err(self.info.envelope.refused(name))
    }
}

/// A place among the requests at work.
struct Slot(Arc<Inner>);

impl Slot {
    fn take(inner: &Arc<Inner>) -> Option<Slot> {
        let before = inner.in_flight.fetch_add(1, Ordering::Relaxed);
        // Made first, so that its drop takes back the addition either way.
        let slot = Slot(inner.clone());
        (before < inner.limits.concurrent).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
