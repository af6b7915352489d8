//! HTTP as OpenStack's services speak it: routes as data, policies, microversions, error envelopes, paging,
//! discovery, validation with the real messages, and the server itself. Knows no resource.
//!
//! A service hands over [`Service`]s full of [`Card`]s; the product mounts them on one [`Router`] and gives
//! that to [`server::serve`]. `docs/how-to-add-a-resource.md` is the checklist.

mod actor;
mod audit;
mod body;
mod call;
mod card;
mod discovery;
mod dispatch;
mod envelope;
mod limits;
pub mod metrics;
mod microversion;
mod pages;
pub mod paging;
mod patience;
mod policy;
mod query;
mod reply;
mod request_id;
mod route;
mod router;
pub mod server;
mod service;
mod stats;
pub mod testing;
pub mod validate;

pub use self::{
    actor::{Actor, ApplicationCredentialScope, Authenticator, DomainScope, ProjectScope},
    audit::{AuditEvent, AuditLog, AuditSink},
    body::{Body, BodyStream, RequestBody},
    call::{BaseUrl, Call, Params, Request, ServiceInfo},
    card::{BODY_LIMIT, BodyKind, Card, Handler},
    discovery::{Discovery, DiscoveryStyle, VersionDoc},
    dispatch::Peer,
    envelope::Envelope,
    limits::Limits,
    microversion::{Microversion, MicroversionScheme, NotAVersion, Words, v},
    policy::{Overrides, Policy, Rulebook, Target},
    query::{Query, encode},
    reply::{ByteStream, Reply, ReplyBody, ResponseBody},
    router::{RouteInfo, Router, RouterBuilder},
    service::Service,
    validate::Schema,
};
