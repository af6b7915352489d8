//! `/os-hosts`, up to 2.42.

use base::{Error, Kind, Map, Result};
use nodes::NodeRecord;
use placement::usage_of;
use serde_json::{Value, json};
use web::{
    Call, Card, Policy, Reply, Schema,
    validate::{Literal, prop},
};

use crate::{
    Compute,
    policies::ADMIN,
    servers::{FlavorCopy, on_node},
    services::rows,
};

type Handled = Result<Reply>;

const SWITCH: Schema = Schema::string().literals(&[
    Literal::Text("enable"),
    Literal::Text("disable"),
    Literal::Text("Enable"),
    Literal::Text("Disable"),
    Literal::Text("ENABLE"),
    Literal::Text("DISABLE"),
]);
const UPDATE: Schema =
    Schema::object(&[prop("status", SWITCH), prop("maintenance_mode", SWITCH)]).min_len(1);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ONE: &str = "/os-hosts/{host_name}";
    let rule = |name| Policy::Rule(name, ADMIN);
    let cards = vec![
        Card::get("/os-hosts", rule("os_compute_api:os-hosts:list"), index),
        Card::get(ONE, rule("os_compute_api:os-hosts:show"), show),
        Card::put(ONE, rule("os_compute_api:os-hosts:update"), update),
        Card::get("/os-hosts/{host_name}/startup", rule("os_compute_api:os-hosts:start"), power),
        Card::get(
            "/os-hosts/{host_name}/shutdown",
            rule("os_compute_api:os-hosts:shutdown"),
            power,
        ),
        Card::get("/os-hosts/{host_name}/reboot", rule("os_compute_api:os-hosts:reboot"), power),
    ];
    cards.into_iter().map(|card| card.until("2.42")).collect()
}

fn no_host(name: &str) -> Error {
    Error::not_found(format!("Compute host {name} could not be found."))
}

fn not_supported() -> Error {
    Error::new(Kind::NotImplemented, "The requested functionality is not supported.")
}

async fn index(call: Call<Compute>) -> Handled {
    let zone = call.query.get("zone").filter(|zone| !zone.is_empty());
    let snapshot = call.context.state.fresh().await?;
    let shown: Vec<Value> = rows(&call.context, &snapshot)
        .iter()
        .filter(|row| row.disabled.is_none() && zone.is_none_or(|zone| row.zone == zone))
        .map(|row| json!({"host_name": row.host, "service": row.topic(), "zone": row.zone}))
        .collect();
    Ok(Reply::ok(json!({"hosts": shown})))
}

/// A sum of flavors.
#[derive(Clone, Copy, Default)]
struct Sum {
    cpu: u64,
    memory_mb: u64,
    disk_gb: u64,
}

impl Sum {
    fn add(&mut self, flavor: &FlavorCopy) {
        self.cpu += u64::from(flavor.vcpus);
        self.memory_mb += flavor.ram;
        self.disk_gb += flavor.disk + flavor.ephemeral;
    }
}

async fn show(call: Call<Compute>) -> Handled {
    let name = call.param("host_name");
    let snapshot = call.context.state.fresh().await?;
    let node = snapshot.find::<NodeRecord>(name)?.ok_or_else(|| no_host(name))?;
    let one = |project: &str, sum: Sum| {
        json!({"resource": {
            "host": name,
            "project": project,
            "cpu": sum.cpu,
            "memory_mb": sum.memory_mb,
            "disk_gb": sum.disk_gb,
        }})
    };
    let own = &node.inventory;
    let total = Sum { cpu: u64::from(own.vcpus), memory_mb: own.ram_mib, disk_gb: own.disk_gib };
    let used = usage_of(&snapshot, &node.uuid);
    let now = Sum { cpu: used.vcpu, memory_mb: used.memory_mb, disk_gb: used.disk_gb };
    let mut all = Sum::default();
    let mut by_project = Map::<String, Sum>::new();
    for server in on_node(&snapshot, name) {
        all.add(&server.flavor);
        by_project.entry(server.project_id.clone()).or_default().add(&server.flavor);
    }
    let mut shown = vec![one("(total)", total), one("(used_now)", now), one("(used_max)", all)];
    shown.extend(by_project.iter().map(|(project, sum)| one(project, *sum)));
    Ok(Reply::ok(json!({"host": shown})))
}

async fn update(call: Call<Compute>) -> Handled {
    let body = call.input(&UPDATE)?;
    let name = call.param("host_name");
    let snapshot = call.context.state.fresh().await?;
    if snapshot.find::<NodeRecord>(name)?.is_none() {
        return Err(no_host(name));
    }
    if body.get("maintenance_mode").is_some() {
        return Err(not_supported());
    }
    let enable =
        body["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("enable"));
    let state = &call.context.state;
    state
        .transact("hosts::update", |txn| {
            let now = txn.now();
            let changed = txn.update::<NodeRecord, ()>(name, |node| {
                if enable != node.disabled.is_none() {
                    node.disabled = (!enable).then(String::new);
                    node.updated_at = now;
                }
                Ok(())
            })?;
            changed.ok_or_else(|| no_host(name))
        })
        .await?;
    let status = if enable { "enabled" } else { "disabled" };
    Ok(Reply::ok(json!({"host": name, "status": status})))
}

/// Nobody switches hosts on or off here.
async fn power(call: Call<Compute>) -> Handled {
    let name = call.param("host_name");
    let snapshot = call.context.state.fresh().await?;
    match snapshot.find::<NodeRecord>(name)? {
        Some(_) => Err(not_supported()),
        None => Err(no_host(name)),
    }
}
