//! An inventory as JSON, in and out.

use base::{Error, Map, Result};
use serde_json::{Value, json};
use web::{Microversion, Schema, v, validate::prop};

use super::{Inventory, MAX_INT};
use crate::manners::{CLASS, number};

const MAX: i64 = 0x7FFF_FFFF;

/// One inventory, without saying of which class.
pub(crate) const ONE: Schema = Schema::object(&[
    prop("resource_provider_generation", Schema::integer()),
    prop("total", Schema::integer().min(1).max(MAX)).required(),
    prop("reserved", Schema::integer().min(0).max(MAX)),
    prop("min_unit", Schema::integer().min(1).max(MAX)),
    prop("max_unit", Schema::integer().min(1).max(MAX)),
    prop("step_size", Schema::integer().min(1).max(MAX)),
    prop("allocation_ratio", Schema::number()),
]);

/// One to be added.
pub(super) const ADD: Schema = Schema::object(&[
    prop("resource_class", Schema::string().pattern(CLASS)).required(),
    prop("resource_provider_generation", Schema::integer()),
    prop("total", Schema::integer().min(1).max(MAX)).required(),
    prop("reserved", Schema::integer().min(0).max(MAX)),
    prop("min_unit", Schema::integer().min(1).max(MAX)),
    prop("max_unit", Schema::integer().min(1).max(MAX)),
    prop("step_size", Schema::integer().min(1).max(MAX)),
    prop("allocation_ratio", Schema::number()),
]);

/// One to be replaced.
pub(super) const REPLACE: Schema = Schema::object(&[
    prop("resource_provider_generation", Schema::integer()).required(),
    prop("total", Schema::integer().min(1).max(MAX)).required(),
    prop("reserved", Schema::integer().min(0).max(MAX)),
    prop("min_unit", Schema::integer().min(1).max(MAX)),
    prop("max_unit", Schema::integer().min(1).max(MAX)),
    prop("step_size", Schema::integer().min(1).max(MAX)),
    prop("allocation_ratio", Schema::number()),
]);

/// All of a provider.
pub(crate) const ALL: Schema = Schema::object(&[
    prop("resource_provider_generation", Schema::integer()).required(),
    prop("inventories", Schema::map(CLASS, &ONE)).required(),
]);

/// Reads a checked body.
pub(crate) fn read(value: &Value) -> Result<Inventory> {
    let number = |name, default| number(value, name).unwrap_or(default);
    let ratio = value.get("allocation_ratio").and_then(Value::as_f64).unwrap_or(1.0);
    // The greatest that a float of four bytes holds, as Placement keeps it.
    if !ratio.is_finite() || ratio > f64::from(f32::MAX) {
        return Err(Error::bad_request(format!(
            "JSON does not validate: {ratio} is greater than the maximum of {}",
            f32::MAX
        )));
    }
    Ok(Inventory {
        total: number("total", 0),
        reserved: number("reserved", 0),
        min_unit: number("min_unit", 1),
        max_unit: number("max_unit", MAX_INT),
        step_size: number("step_size", 1),
        allocation_ratio: ratio,
    })
}

/// 400 when nothing is left to give away. `what` is done to the provider's inventory, for the refusal.
pub(crate) fn check(
    inventory: &Inventory,
    class: &str,
    provider: &str,
    version: Microversion,
    what: &str,
) -> Result<()> {
    let below = inventory.allocation_ratio < 0.0 || inventory.reserved > inventory.total;
    let refused = if version >= v(1, 26) {
        below.then_some("greater than total")
    } else {
        (below || inventory.capacity() == 0).then_some("greater than or equal to total")
    };
    match refused {
        None => Ok(()),
        Some(how) => Err(Error::bad_request(format!(
            "Unable to {what} inventory for resource provider {provider}: Invalid inventory for \
             '{class}' on resource provider '{provider}'. The reserved value is {how}."
        ))),
    }
}

/// As clients see it.
pub(super) fn show(inventory: &Inventory) -> Value {
    json!({
        "total": inventory.total,
        "reserved": inventory.reserved,
        "min_unit": inventory.min_unit,
        "max_unit": inventory.max_unit,
        "step_size": inventory.step_size,
        "allocation_ratio": inventory.allocation_ratio,
    })
}

/// All of a provider, as clients see them.
pub(super) fn show_all(inventories: &Map<String, Inventory>, generation: u64) -> Value {
    let shown: serde_json::Map<String, Value> =
        inventories.iter().map(|(class, own)| (class.clone(), show(own))).collect();
    json!({"resource_provider_generation": generation, "inventories": shown})
}
