//! Hypervisors as JSON, at each microversion.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base::Timestamp;
use nodes::NodeRecord;
use placement::{MEMORY_MB, ProviderRecord, usage_of};
use serde_json::{Value, json};
use state::Snapshot;
use web::{Request, v};

use super::find::Node;
use crate::{
    Compute,
    servers::{Phase, on_node},
    services::rows::number,
};

/// How a node is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Its name and state.
    Brief,
    /// All of it.
    Full,
}

/// Whether the servers on it are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Servers {
    /// No.
    Hidden,
    /// Yes; none at all is shown from 2.75 on only.
    Shown,
}

/// An id, as this version has it.
fn id(request: &Request, uuid: &str) -> Value {
    match request.version >= v(2, 53) {
        true => uuid.into(),
        false => number(uuid).into(),
    }
}

/// A node as the API shows it.
pub(super) fn show(
    compute: &Compute,
    request: &Request,
    snapshot: &Snapshot,
    node: &Node,
    form: Form,
    servers: Servers,
) -> Value {
    let mut shown = json!({
        "id": id(request, &node.uuid),
        "hypervisor_hostname": node.id,
        "state": if node.is_up() { "up" } else { "down" },
        "status": if node.disabled.is_some() { "disabled" } else { "enabled" },
    });
    if form == Form::Full {
        shown["hypervisor_type"] = node.inventory.hypervisor_type.clone().into();
        shown["hypervisor_version"] = node.inventory.hypervisor_version.into();
        shown["host_ip"] = host_ip(&node.address).map(|ip| ip.to_string()).into();
        let reason = node.disabled.as_deref().filter(|reason| !reason.is_empty());
        shown["service"] = json!({
            "id": id(request, &node.uuid),
            "host": node.id,
            "disabled_reason": reason,
        });
        if request.version < v(2, 88) {
            figures(request, snapshot, node, &mut shown);
        } else {
            shown["uptime"] = uptime(compute.world().wall(), node).into();
        }
    }
    if servers == Servers::Shown {
        let on: Vec<Value> = on_node(snapshot, &node.id)
            .iter()
            .filter(|server| !server.is_deleted())
            .map(|server| json!({"uuid": &*server.id, "name": server.name}))
            .collect();
        if !on.is_empty() || request.version >= v(2, 75) {
            shown["servers"] = on.into();
        }
    }
    shown
}

/// What is known of a node's resources and load.
struct Figures {
    vcpus: u64,
    memory_mb: u64,
    local_gb: u64,
    vcpus_used: u64,
    memory_mb_used: u64,
    local_gb_used: u64,
    running_vms: u64,
    current_workload: u64,
}

fn look(snapshot: &Snapshot, name: &str, node: &NodeRecord) -> Figures {
    let used = usage_of(snapshot, &node.uuid);
    // As Nova has it, what is reserved counts as used.
    let provider = snapshot.get::<ProviderRecord>(&node.uuid);
    let reserved = |class: &str| {
        let own = provider.as_ref().and_then(|provider| provider.inventories.get(class));
        own.map_or(0, |own| own.reserved)
    };
    let servers = on_node(snapshot, name);
    let busy = |phase: Phase, pending: bool| phase == Phase::New || pending;
    let workload = servers
        .iter()
        .filter(|server| busy(server.phase, server.pending().is_some() || server.is_deleted()));
    Figures {
        vcpus: node.inventory.vcpus.into(),
        memory_mb: node.inventory.ram_mib,
        local_gb: node.inventory.disk_gib,
        vcpus_used: used.vcpu,
        memory_mb_used: used.memory_mb + reserved(MEMORY_MB),
        local_gb_used: used.disk_gb,
        running_vms: servers.len() as u64,
        current_workload: workload.count() as u64,
    }
}

/// `all` less `used`, which may be more.
fn less(all: u64, used: u64) -> i64 {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    signed(all).saturating_sub(signed(used))
}

fn figures(request: &Request, snapshot: &Snapshot, node: &Node, shown: &mut Value) {
    let figures = look(snapshot, &node.id, node);
    let free_disk = less(figures.local_gb, figures.local_gb_used);
    let numbers = json!({
        "vcpus": figures.vcpus,
        "memory_mb": figures.memory_mb,
        "local_gb": figures.local_gb,
        "vcpus_used": figures.vcpus_used,
        "memory_mb_used": figures.memory_mb_used,
        "local_gb_used": figures.local_gb_used,
        "free_ram_mb": less(figures.memory_mb, figures.memory_mb_used),
        "free_disk_gb": free_disk,
        "current_workload": figures.current_workload,
        "running_vms": figures.running_vms,
        "disk_available_least": free_disk,
    });
    if let (Some(shown), Value::Object(numbers)) = (shown.as_object_mut(), numbers) {
        shown.extend(numbers);
    }
    let cpu = json!({
        "arch": node.inventory.architecture,
        "model": node.inventory.cpu_model,
        "topology": {"sockets": 1, "cores": node.inventory.vcpus, "threads": 1},
        "features": [],
    });
    shown["cpu_info"] = match request.version >= v(2, 28) {
        true => cpu,
        false => cpu.to_string().into(),
    };
}

/// The sums of all nodes.
pub(super) fn statistics(snapshot: &Snapshot) -> Value {
    let mut sum = json!({
        "count": 0, "vcpus": 0, "memory_mb": 0, "local_gb": 0, "vcpus_used": 0,
        "memory_mb_used": 0, "local_gb_used": 0, "free_ram_mb": 0, "free_disk_gb": 0,
        "current_workload": 0, "running_vms": 0, "disk_available_least": 0,
    });
    let mut add = |name: &str, number: i64| {
        sum[name] = sum[name].as_i64().unwrap_or(0).saturating_add(number).into();
    };
    for node in snapshot.all::<NodeRecord>().filter(|node| node.disabled.is_none()) {
        let figures = look(snapshot, &node.id, &node);
        let free_disk = less(figures.local_gb, figures.local_gb_used);
        add("count", 1);
        add("vcpus", less(figures.vcpus, 0));
        add("memory_mb", less(figures.memory_mb, 0));
        add("local_gb", less(figures.local_gb, 0));
        add("vcpus_used", less(figures.vcpus_used, 0));
        add("memory_mb_used", less(figures.memory_mb_used, 0));
        add("local_gb_used", less(figures.local_gb_used, 0));
        add("free_ram_mb", less(figures.memory_mb, figures.memory_mb_used));
        add("free_disk_gb", free_disk);
        add("current_workload", less(figures.current_workload, 0));
        add("running_vms", less(figures.running_vms, 0));
        add("disk_available_least", free_disk);
    }
    sum
}

/// A node's address without its port, if it is one. A node inside the controller's own process has none:
/// it is where that is.
fn host_ip(address: &str) -> Option<IpAddr> {
    if address.is_empty() {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    address.parse().ok().or_else(|| Some(address.parse::<SocketAddr>().ok()?.ip()))
}

/// How long a node has been there without a break, in the form of `uptime(1)`; none when it is away.
pub(super) fn uptime(now: Timestamp, node: &NodeRecord) -> Option<String> {
    node.is_up().then(|| {
        let clock = now.iso();
        let clock = clock.get(11..19).unwrap_or_default();
        format!(" {clock} up {}", spell(now.since(node.presence.since)))
    })
}

fn spell(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let (days, hours) = (minutes / 1440, minutes / 60 % 24);
    let clock = match hours {
        0 => format!("{} min", minutes % 60),
        _ => format!("{hours}:{:02}", minutes % 60),
    };
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn spells_times() {
        let of = |minutes: u64| spell(Duration::from_secs(minutes * 60));
        assert_eq!(of(5), "5 min");
        assert_eq!(of(65), "1:05");
        assert_eq!(of(1440), "1 day, 0 min");
        assert_eq!(of(3 * 1440 + 61), "3 days, 1:01");
    }

    #[test]
    fn addresses() {
        assert_eq!(host_ip("10.0.0.1:9000"), "10.0.0.1".parse().ok());
        assert_eq!(host_ip("::1"), "::1".parse().ok());
        assert_eq!(host_ip(""), "127.0.0.1".parse().ok());
        assert_eq!(host_ip("node1"), None);
    }
}
