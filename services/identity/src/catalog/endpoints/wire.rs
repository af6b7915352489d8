//! Endpoints as JSON.

use serde_json::{Map, Value, json};
use web::{
    BaseUrl, Schema,
    validate::{Literal, prop},
};

use super::actions::Change;
use crate::{
    catalog::{record::Endpoint, render},
    manners::{take_bool, take_nullable, take_text},
    projects::wire::{BOOLEAN, ID, add_extra},
};

const INTERFACE: Schema = Schema::string().literals(&[
    Literal::Text("admin"),
    Literal::Text("internal"),
    Literal::Text("public"),
]);
const REGION: Schema = Schema::string().len(1, 255).nullable();
// Ours begin with the placeholder of this cloud's own address.
const URL: Schema =
    Schema::string().max_len(225).pattern(r"^([a-zA-Z0-9+.-]+:.+|\$\(public_url\)s)");
const ENDPOINT: Schema = Schema::object(&[
    prop("interface", INTERFACE).required(),
    prop("service_id", ID).required(),
    prop("url", URL).required(),
    prop("enabled", BOOLEAN),
    prop("region_id", REGION),
    prop("region", REGION),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("interface", INTERFACE),
    prop("service_id", ID),
    prop("url", URL),
    prop("enabled", BOOLEAN),
    prop("region_id", REGION),
    prop("region", REGION),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("endpoint", ENDPOINT).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("endpoint", CHANGE).required()]);

/// An endpoint as the API shows it, but its link.
pub(crate) fn show(base: &BaseUrl, id: &str, endpoint: &Endpoint) -> Value {
    let mut shown = json!({
        "id": id,
        "interface": endpoint.interface,
        "region": endpoint.region_id,
        "region_id": endpoint.region_id,
        "service_id": endpoint.service_id,
        "url": render::shown(&endpoint.url, base),
        "enabled": endpoint.enabled,
    });
    add_extra(&mut shown, &endpoint.extra);
    shown
}

/// An endpoint to be made, from a checked body, and whether its region may be made too.
pub(crate) fn parse(body: Map<String, Value>) -> (Endpoint, bool) {
    let change = parse_change(body);
    let endpoint = Endpoint {
        service_id: change.service_id.unwrap_or_default(),
        interface: change.interface.unwrap_or_default(),
        region_id: change.region_id.flatten(),
        url: change.url.unwrap_or_default(),
        enabled: change.enabled.unwrap_or(true),
        extra: change.extra,
    };
    (endpoint, change.make_region)
}

/// What is to be changed, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    for ours in ["id", "links"] {
        body.shift_remove(ours);
    }
    let region_id = take_nullable(&mut body, "region_id");
    let region = take_nullable(&mut body, "region");
    let make_region = region_id.is_none() && region.is_some();
    Change {
        service_id: take_text(&mut body, "service_id"),
        interface: take_text(&mut body, "interface"),
        region_id: region_id.or(region),
        url: take_text(&mut body, "url"),
        enabled: take_bool(&mut body, "enabled"),
        extra: body,
        make_region,
    }
}
