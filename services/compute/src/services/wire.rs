//! Services as JSON, in and out.

use serde_json::{Value, json};
use web::{
    Microversion, Schema, v,
    validate::{Literal, prop},
};

use super::rows::{Row, number};

const HOST: Schema = Schema::string().len(1, 255).pattern("^[a-zA-Z0-9-._]*$");
const TEXT: Schema = Schema::string().len(1, 255);

/// Before 2.53 the service is named in the body.
pub(super) const NAMED: Schema = Schema::object(&[
    prop("host", HOST).required(),
    prop("binary", TEXT).required(),
    prop("disabled_reason", TEXT),
    prop("forced_down", Schema::boolean_or_text()).since("2.11"),
]);

/// From 2.53 on by its id in the path.
pub(super) const UPDATE: Schema = Schema::object(&[
    prop(
        "status",
        Schema::string().literals(&[Literal::Text("enabled"), Literal::Text("disabled")]),
    ),
    prop("disabled_reason", TEXT),
    prop("forced_down", Schema::boolean_or_text()),
]);

/// Later, other parameters are refused.
pub(super) const LIST: Schema =
    Schema::object(&[prop("host", Schema::string()), prop("binary", Schema::string())])
        .open_until(v(2, 75));

/// A service as the API shows it.
pub(super) fn show(row: &Row, version: Microversion) -> Value {
    let id = match version >= v(2, 53) {
        true => Value::from(row.uuid.as_str()),
        false => number(&row.uuid).into(),
    };
    let mut shown = json!({
        "binary": row.binary,
        "host": row.host,
        "id": id,
        "zone": row.zone,
        "status": if row.disabled.is_some() { "disabled" } else { "enabled" },
        "state": if row.up { "up" } else { "down" },
        "updated_at": row.updated_at.iso_micros_zoneless(),
        "disabled_reason": row.disabled_reason(),
    });
    if version >= v(2, 11) {
        shown["forced_down"] = row.forced_down.into();
    }
    shown
}
