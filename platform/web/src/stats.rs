//! How often each route answered what, and how long it took.

use std::{sync::OnceLock, time::Duration};

use http::{Method, StatusCode};

use crate::metrics::{Counter, Histogram, Registry};

const STATUSES: [u16; 28] = [
    200, 201, 202, 203, 204, 206, 300, 304, 400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 414,
    415, 416, 422, 429, 499, 500, 501, 503, 0,
];

/// The metrics of one route.
pub(crate) struct Stats {
    registry: Registry,
    service: &'static str,
    method: String,
    route: &'static str,
    counts: [OnceLock<Counter>; STATUSES.len()],
    seconds: OnceLock<Histogram>,
}

impl Stats {
    pub(crate) fn new(
        registry: &Registry,
        service: &'static str,
        method: &Method,
        route: &'static str,
    ) -> Stats {
        // What no card took is counted under no method, lest anybody make new series.
        let method = if route == "none" { "none".to_owned() } else { method.to_string() };
        Stats {
            registry: registry.clone(),
            service,
            method,
            route,
            counts: [const { OnceLock::new() }; STATUSES.len()],
            seconds: OnceLock::new(),
        }
    }

    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let labels = [("service", self.service), ("method", &self.method), ("route", self.route)];
        let at = STATUSES.iter().position(|s| *s == status.as_u16()).unwrap_or(STATUSES.len() - 1);
        if let Some(counter) = self.counts.get(at) {
            counter
                .get_or_init(|| {
                    let status = if at == STATUSES.len() - 1 { "other" } else { status.as_str() };
                    let [service, method, route] = labels;
                    self.registry.counter(
                        "everstack_web_requests_total",
                        "Requests answered.",
                        &[service, method, route, ("status", status)],
                    )
                })
                .inc();
        }
        self.seconds
            .get_or_init(|| {
                self.registry.histogram(
                    "everstack_web_request_seconds",
                    "Time from a request's head to its answer's.",
                    &labels,
                )
            })
            .observe(took);
    }
}
