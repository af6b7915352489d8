//! Who changed what, with which outcome: one event for each request that may change something, with the
//! fields of CADF (DMTF DSP0262). Where events go is the product's choice.

use std::{net::IpAddr, sync::Arc};

use base::Timestamp;
use http::Method;

use crate::Actor;

/// One change that was tried.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Its own id.
    pub id: String,
    /// When it ended.
    pub time: Timestamp,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// `success`, `failure`, or `unknown` when it was not awaited to its end.
    pub outcome: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Who; anonymous when no token was given or it was bad.
    pub initiator: Arc<Actor>,
    /// From where.
    pub address: Option<IpAddr>,
    /// The service.
    pub service: &'static str,
    /// The method.
    pub method: Method,
    /// The card's path, or empty when there is none.
    pub route: &'static str,
    /// The path as sent.
    pub path: String,
    /// The request's id.
    pub request_id: Arc<str>,
}

/// Where audit events go. It must not block.
pub trait AuditSink: Send + Sync {
    /// Takes one event.
    fn record(&self, event: &AuditEvent);
}

/// Writes events to the log, under the target `audit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditLog;

impl AuditSink for AuditLog {
    fn record(&self, event: &AuditEvent) {
        let who = match event.initiator.is_anonymous() {
            true => "nobody",
            false => &event.initiator.user_name,
        };
        let project = event.initiator.project_id();
        let address = event.address.map(|address| address.to_string());
        tracing::info!(
            target: "audit",
            {
            event.id,
            event.time = event.time.iso_micros(),
            event.action,
            event.outcome,
            reason.code = event.status,
            initiator.id = event.initiator.user_id,
            initiator.name = event.initiator.user_name,
            initiator.project_id = project,
            initiator.address = address,
            resource.service = event.service,
            resource.route = event.route,
            resource.path = event.path,
            request.id = &*event.request_id
            },
            "{} {} by {who}: {}", event.method, event.path, event.status
        );
    }
}

/// CADF's word for a method.
pub(crate) fn action(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE => None,
        Method::DELETE => Some("delete"),
        Method::POST => Some("create"),
        _ => Some("update"),
    }
}
