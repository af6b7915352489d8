//! Counts: which servers ran within a time, and how much that was. Pure.

use base::Timestamp;
use serde_json::{Map, Value, json};

use crate::servers::ServerRecord;

/// A time that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: Timestamp,
    pub(super) stop: Timestamp,
}

impl Period {
    /// Whether the server ran within it.
    pub(super) fn holds(&self, server: &ServerRecord) -> bool {
        server.launched_at.is_some_and(|at| at < self.stop)
            && server.terminated_at.is_none_or(|at| at > self.start)
    }

    /// For how many hours of it.
    pub(super) fn hours(&self, server: &ServerRecord) -> f64 {
        let Some(launched) = server.launched_at else { return 0.0 };
        let start = launched.max(self.start);
        let stop = server.terminated_at.map_or(self.stop, |at| at.min(self.stop));
        stop.since(start).as_secs_f64() / 3600.0
    }
}

/// A server with its id.
pub(super) struct Used<'s> {
    pub(super) id: &'s str,
    pub(super) server: &'s ServerRecord,
}

impl Used<'_> {
    fn local_gb(&self) -> u64 {
        self.server.flavor.disk + self.server.flavor.ephemeral
    }

    fn show(&self, period: &Period, now: Timestamp) -> Value {
        let server = self.server;
        let flavor = &server.flavor;
        let launched = server.launched_at.unwrap_or(now);
        let state = match server.terminated_at {
            Some(_) => "terminated",
            None => server.vm_state().name(),
        };
        json!({
            "hours": period.hours(server),
            "flavor": flavor.name,
            "instance_id": self.id,
            "name": server.name,
            "tenant_id": server.project_id,
            "memory_mb": flavor.ram,
            "local_gb": self.local_gb(),
            "vcpus": flavor.vcpus,
            "started_at": launched.iso_micros_zoneless(),
            "ended_at": server.terminated_at.map(Timestamp::iso_micros_zoneless),
            "state": state,
            "uptime": server.terminated_at.unwrap_or(now).since(launched).as_secs(),
        })
    }
}

/// What one project used: the sums, and each server when `detailed`.
pub(super) fn project(
    period: &Period,
    id: &str,
    servers: &[Used<'_>],
    detailed: bool,
    now: Timestamp,
) -> Value {
    let sum = |of: &dyn Fn(&Used<'_>) -> f64| -> f64 {
        servers.iter().map(|used| of(used) * period.hours(used.server)).sum()
    };
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let float = |number: u64| number as f64;
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("tenant_id", id.into());
    if detailed {
        add("server_usages", servers.iter().map(|used| used.show(period, now)).collect());
    }
    add("total_local_gb_usage", sum(&|used| float(used.local_gb())).into());
    add("total_vcpus_usage", sum(&|used| f64::from(used.server.flavor.vcpus)).into());
    add("total_memory_mb_usage", sum(&|used| float(used.server.flavor.ram)).into());
    add("total_hours", sum(&|_| 1.0).into());
    add("start", period.start.iso_micros_zoneless().into());
    add("stop", period.stop.iso_micros_zoneless().into());
    Value::Object(view)
}
