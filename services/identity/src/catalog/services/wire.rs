//! Services as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use super::actions::Change;
use crate::{
    catalog::record::Service,
    manners::{NAME_PATTERN, take_bool, take_text},
    projects::wire::{BOOLEAN, add_extra},
};

const KIND: Schema = Schema::string().len(1, 255);
const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const TEXT: Schema = Schema::string().nullable();
const SERVICE: Schema = Schema::object(&[
    prop("type", KIND).required(),
    prop("name", NAME),
    prop("description", TEXT),
    prop("enabled", BOOLEAN),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("type", KIND),
    prop("name", NAME),
    prop("description", TEXT),
    prop("enabled", BOOLEAN),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("service", SERVICE).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("service", CHANGE).required()]);

/// A service as the API shows it, but its link.
pub(crate) fn show(id: &str, service: &Service) -> Value {
    let mut shown = json!({"id": id, "type": service.kind, "enabled": service.enabled});
    add_extra(&mut shown, &service.extra);
    if shown.get("name").is_none() {
        shown["name"] = json!("");
    }
    shown
}

/// A service to be made, from a checked body.
pub(crate) fn parse(body: Map<String, Value>) -> Service {
    let change = parse_change(body);
    Service {
        kind: change.kind.unwrap_or_default(),
        enabled: change.enabled.unwrap_or(true),
        extra: change.extra,
    }
}

/// What is to be changed, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    for ours in ["id", "links"] {
        body.shift_remove(ours);
    }
    Change {
        kind: take_text(&mut body, "type"),
        enabled: take_bool(&mut body, "enabled"),
        extra: body,
    }
}
