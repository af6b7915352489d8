//! `/os-availability-zone`

use base::{Map, Result, Set};
use serde_json::{Value, json};
use web::{Call, Card, Policy, Reply};

use crate::{
    Compute,
    policies::{ADMIN, ANY},
    services::{Row, rows, rows::INTERNAL},
};

type Handled = Result<Reply>;

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get(
            "/os-availability-zone",
            Policy::Rule("os_compute_api:os-availability-zone:list", ANY),
            index,
        ),
        Card::get(
            "/os-availability-zone/detail",
            Policy::Rule("os_compute_api:os-availability-zone:detail", ADMIN),
            detail,
        ),
    ]
}

/// The zones with a service that is enabled, and those without, by name.
fn zones(rows: &[Row]) -> (Set<&str>, Set<&str>) {
    let of = |disabled: bool| -> Set<&str> {
        let rows = rows.iter().filter(|row| row.disabled.is_some() == disabled);
        rows.map(|row| row.zone.as_str()).collect()
    };
    let (available, off) = (of(false), of(true));
    let not_available = off.difference(&available).copied().collect();
    (available, not_available)
}

fn show(zone: &str, available: bool, hosts: Value) -> Value {
    json!({"zoneName": zone, "zoneState": {"available": available}, "hosts": hosts})
}

async fn index(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let rows = rows(&call.context, &snapshot);
    let (available, not_available) = zones(&rows);
    // Where controllers are is nobody's business here.
    let shown: Vec<Value> = available
        .into_iter()
        .map(|zone| (zone, true))
        .chain(not_available.into_iter().map(|zone| (zone, false)))
        .filter(|(zone, _)| *zone != INTERNAL)
        .map(|(zone, available)| show(zone, available, Value::Null))
        .collect();
    Ok(Reply::ok(json!({"availabilityZoneInfo": shown})))
}

async fn detail(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let rows = rows(&call.context, &snapshot);
    let (available, not_available) = zones(&rows);
    let mut hosts = Map::<&str, Map<&str, Map<&str, Value>>>::new();
    for row in rows.iter().filter(|row| row.disabled.is_none()) {
        let shown = json!({
            "available": row.up,
            "active": true,
            "updated_at": row.updated_at.iso_micros_zoneless(),
        });
        let zone = hosts.entry(&row.zone).or_default();
        zone.entry(&row.host).or_default().insert(row.binary, shown);
    }
    let with_hosts = |zone| show(zone, true, json!(hosts.get(zone)));
    let shown: Vec<Value> = available
        .into_iter()
        .map(with_hosts)
        .chain(not_available.into_iter().map(|zone| show(zone, false, Value::Null)))
        .collect();
    Ok(Reply::ok(json!({"availabilityZoneInfo": shown})))
}
