//! All services on one port: built once, then only read. The way of one request is in `dispatch`.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
};

use base::{Error, Map, Result, World};
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::{
    AuditLog, AuditSink, Authenticator, BaseUrl, BodyKind, Call, Envelope, Limits, Microversion,
    MicroversionScheme, Overrides, Policy, Reply, Rulebook, Service,
    call::{Request, ServiceInfo},
    discovery::Document,
    metrics::Registry,
    policy::RuleId,
    route::Routes,
    stats::Stats,
};

/// Answers requests. Clones share everything.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) base_url: Arc<BaseUrl>,
    pub(crate) identity_url: String,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) ready: Vec<(&'static str, Readiness)>,
    /// Longest prefix first.
    pub(crate) services: Vec<Mounted>,
    /// By path, without a slash at the end.
    pub(crate) documents: Map<String, (Document, Envelope)>,
    /// Where services' versions are listed: what is below but unknown is answered in their words.
    pub(crate) roots: Vec<Root>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) unmatched: Stats,
}

/// Where a service's versions are listed.
pub(crate) struct Root {
    pub(crate) path: &'static str,
    pub(crate) envelope: Envelope,
    /// What an unknown path below is answered with (300), where the service does that.
    pub(crate) choices: Option<Bytes>,
}

/// Says why this process should get no requests yet.
pub(crate) type Readiness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A service without the type of its context.
pub(crate) struct Mounted {
    pub(crate) info: Arc<ServiceInfo>,
    /// Another prefix, for the oldest microversion only.
    pub(crate) legacy: Option<&'static str>,
    pub(crate) scheme: Option<MicroversionScheme>,
    pub(crate) project_in_path: bool,
    pub(crate) routes: Routes,
    pub(crate) cards: Vec<MountedCard>,
    /// Of requests that no card took.
    pub(crate) unmatched: Stats,
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// A card without the type of its context.
pub(crate) struct MountedCard {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) names: Vec<&'static str>,
    pub(crate) policy: Policy,
    pub(crate) rule: Option<RuleId>,
    pub(crate) since: Option<Microversion>,
    pub(crate) until: Option<Microversion>,
    pub(crate) body: BodyKind,
    pub(crate) media: &'static [&'static str],
    pub(crate) run: Box<dyn Fn(Request) -> Answer + Send + Sync>,
    pub(crate) stats: Stats,
}

impl MountedCard {
    pub(crate) fn holds(&self, version: Microversion) -> bool {
        self.since.is_none_or(|since| version >= since)
            && self.until.is_none_or(|until| version <= until)
    }
}

/// A route, for guards and documents that walk all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The service.
    pub service: &'static str,
    /// The method.
    pub method: Method,
    /// With the service's prefix: `/compute/v2.1/servers/{server_id}`.
    pub path: String,
    /// Who may.
    pub policy: Policy,
    /// First microversion.
    pub since: Option<Microversion>,
    /// Last microversion.
    pub until: Option<Microversion>,
    /// The body is a stream.
    pub streaming: bool,
}

type Mount = Box<dyn FnOnce(&Overrides, &Registry) -> Result<Mounted>>;

/// Builds a [`Router`].
pub struct RouterBuilder {
    world: World,
    authenticator: Arc<dyn Authenticator>,
    audit: Arc<dyn AuditSink>,
    base_url: BaseUrl,
    limits: Limits,
    registry: Registry,
    ready: Vec<(&'static str, Readiness)>,
    mounts: Vec<(&'static str, Mount)>,
    discoveries: Vec<(&'static str, Envelope, crate::Discovery)>,
    overrides: Map<String, Overrides>,
}

impl Router {
    /// What `/metrics` shows, to add to.
    pub fn metrics(&self) -> &Registry {
        &self.0.registry
    }

    /// A router without services.
    pub fn builder(world: World, authenticator: Arc<dyn Authenticator>) -> RouterBuilder {
        RouterBuilder {
            world,
            authenticator,
            audit: Arc::new(AuditLog),
            base_url: BaseUrl::new("http://localhost"),
            limits: Limits::default(),
            registry: Registry::default(),
            ready: Vec::new(),
            mounts: Vec::new(),
            discoveries: Vec::new(),
            overrides: Map::new(),
        }
    }

    /// All routes of all services.
    pub fn routes(&self) -> impl Iterator<Item = RouteInfo> {
        self.0.services.iter().flat_map(|service| {
            service.cards.iter().map(|card| RouteInfo {
                service: service.info.name,
                method: card.method.clone(),
                path: format!("{}{}", service.info.prefix, card.path),
                policy: card.policy,
                since: card.since,
                until: card.until,
                streaming: card.body == BodyKind::Stream,
            })
        })
    }

    /// The policies in force of a service: names and rules.
    pub fn policies(&self, service: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
        let found = self.0.services.iter().find(|mounted| mounted.info.name == service)?;
        Some(found.info.rules.iter())
    }

    /// Where clients reach this cloud.
    pub fn base_url(&self) -> &BaseUrl {
        &self.0.base_url
    }
}

impl RouterBuilder {
    /// Where clients reach this cloud; links and the catalog start with it.
    #[must_use]
    pub fn base_url(mut self, url: BaseUrl) -> Self {
        self.base_url = url;
        self
    }

    /// Where audit events go; else to the log.
    #[must_use]
    pub fn audit(mut self, sink: Arc<dyn AuditSink>) -> Self {
        self.audit = sink;
        self
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// `/readyz` is 503 while this gives a reason.
    #[must_use]
    pub fn ready(
        mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.ready.push((name, Box::new(check)));
        self
    }

    /// Rules that replace a service's defaults.
    #[must_use]
    pub fn policy(mut self, service: &str, overrides: Overrides) -> Self {
        self.overrides.insert(service.to_owned(), overrides);
        self
    }

    /// Mounts a service.
    #[must_use]
    pub fn mount<C: Clone + Send + Sync + 'static>(mut self, mut service: Service<C>) -> Self {
        if let Some(discovery) = service.discovery.take() {
            self.discoveries.push((service.name, service.envelope, discovery));
        }
        let name = service.name;
        self.mounts
            .push((name, Box::new(move |overrides, registry| mount(service, overrides, registry))));
        self
    }

    /// Builds it. Refuses wrong policies, two cards for one request, overrides of services that are not there.
    pub fn build(mut self) -> Result<Router> {
        let mut services: Vec<Mounted> = Vec::new();
        for (name, mount) in self.mounts {
            let overrides = self.overrides.remove(name).unwrap_or_default();
            let mounted = mount(&overrides, &self.registry)?;
            if let Some(other) = services.iter().find(|s| s.info.prefix == mounted.info.prefix) {
                let (a, b, prefix) = (other.info.name, name, other.info.prefix);
                return Err(Error::internal(format!(
                    "{a} and {b} both want the prefix {prefix:?}"
                )));
            }
            services.push(mounted);
        }
        if let Some(name) = self.overrides.keys().next() {
            return Err(Error::bad_request(format!(
                "there is a policy file for {name}, but no such service"
            )));
        }
        services.sort_by_key(|service| std::cmp::Reverse(service.info.prefix.len()));
        let mut documents = Map::new();
        let mut roots = Vec::new();
        let mut listed = Vec::new();
        for (name, envelope, discovery) in &self.discoveries {
            roots.push(Root {
                path: discovery.root,
                envelope: *envelope,
                choices: discovery.choices(&self.base_url),
            });
            listed.push(json!({
                "name": name,
                "href": self.base_url.join(discovery.root),
                "versions": discovery.versions.iter().map(|doc| json!({
                    "id": doc.id,
                    "href": self.base_url.join(doc.path),
                })).collect::<Vec<_>>(),
            }));
            for document in discovery.documents(&self.base_url) {
                documents.insert(document.path.clone(), (document, *envelope));
            }
        }
        let body = json!({"name": "Everstack", "services": listed}).to_string().into();
        let home = Document { path: String::new(), status: 200, body, location: None };
        documents.entry(String::new()).or_insert((home, Envelope::Plain));
        let identity_root = self.discoveries.iter().find(|(_, e, _)| *e == Envelope::Keystone);
        let identity_url = self
            .base_url
            .join(identity_root.map_or("/identity", |(_, _, discovery)| discovery.root));
        Ok(Router(Arc::new(Inner {
            world: self.world,
            authenticator: self.authenticator,
            audit: self.audit,
            base_url: Arc::new(self.base_url),
            identity_url,
            limits: self.limits,
            unmatched: Stats::new(&self.registry, "none", &Method::GET, "none"),
            registry: self.registry,
            ready: self.ready,
            services,
            documents,
            roots,
            in_flight: AtomicUsize::new(0),
        })))
    }
}

fn mount<C: Clone + Send + Sync + 'static>(
    service: Service<C>,
    overrides: &Overrides,
    registry: &Registry,
) -> Result<Mounted> {
    let Service { name, prefix, envelope, context, microversions, cards, rules, .. } = service;
    let wrong = |why: String| Err(Error::internal(format!("service {name}: {why}")));
    if !prefix.is_empty() && (!prefix.starts_with('/') || prefix.ends_with('/')) {
        return wrong(format!("the prefix {prefix:?} starts with a slash and ends without one"));
    }
    let defaults = cards.iter().flat_map(|card| card.policy.rules()).chain(rules);
    let rules = Rulebook::compile(name, defaults, overrides)?;
    let mut routes = Routes::default();
    let mut mounted: Vec<MountedCard> = Vec::new();
    for card in cards {
        let label = format!("{} {}", card.method, card.path);
        if !card.path.starts_with('/') {
            return wrong(format!("the path of {label} starts with a slash"));
        }
        let overlaps = |other: &&MountedCard| {
            let apart = |a: Option<Microversion>, b: Option<Microversion>| match (a, b) {
                (Some(until), Some(since)) => until < since,
                _ => false,
            };
            other.method == card.method
                && same_shape(other.path, card.path)
                && !apart(other.until, card.since)
                && !apart(card.until, other.since)
        };
        if mounted.iter().any(|other| overlaps(&other)) {
            return wrong(format!("two cards answer {label}"));
        }
        let rule = match card.policy {
            Policy::Rule(rule, _) => rules.find(rule),
            _ => None,
        };
        let names = routes.add(card.method.clone(), card.path, mounted.len());
        let (context, handler) = (context.clone(), card.handler);
        mounted.push(MountedCard {
            stats: Stats::new(registry, name, &card.method, card.path),
            method: card.method,
            path: card.path,
            names,
            policy: card.policy,
            rule,
            since: card.since,
            until: card.until,
            body: card.body,
            media: card.media,
            run: Box::new(move |request| handler(Call { context: context.clone(), request })),
        });
    }
    Ok(Mounted {
        info: Arc::new(ServiceInfo { name, prefix, envelope, rules }),
        scheme: microversions,
        project_in_path: service.project_in_path,
        legacy: service.legacy,
        routes,
        cards: mounted,
        unmatched: Stats::new(registry, name, &Method::GET, "none"),
    })
}

/// Whether two paths differ in the names of their parameters only.
fn same_shape(a: &str, b: &str) -> bool {
    let mut a = a.split('/').filter(|s| !s.is_empty());
    let mut b = b.split('/').filter(|s| !s.is_empty());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x == y || (x.starts_with('{') && y.starts_with('{')) => {}
            _ => return false,
        }
    }
}
