//! Limits as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use super::record::{Limit, RegisteredLimit};
use crate::{
    manners::{NAME_PATTERN, take_nullable, take_text},
    projects::wire::ID,
};

const SERVICE: Schema = Schema::uuid();
const REGION: Schema = Schema::string().len(1, 255).nullable();
const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const NUMBER: Schema = Schema::integer().min(-1).max(0x7FFF_FFFF);
const TEXT: Schema = Schema::string().max_len(255).nullable();
const REGISTERED: Schema = Schema::object(&[
    prop("service_id", SERVICE).required(),
    prop("resource_name", NAME).required(),
    prop("default_limit", NUMBER).required(),
    prop("region_id", REGION),
    prop("description", TEXT),
]);
const REGISTERED_CHANGE: Schema = Schema::object(&[
    prop("service_id", SERVICE),
    prop("resource_name", NAME),
    prop("default_limit", NUMBER),
    prop("region_id", REGION),
    prop("description", TEXT),
]);
const LIMIT: Schema = Schema::object(&[
    prop("service_id", SERVICE).required(),
    prop("resource_name", NAME).required(),
    prop("resource_limit", NUMBER).required(),
    prop("project_id", ID.nullable()),
    prop("domain_id", ID.nullable()),
    prop("region_id", REGION),
    prop("description", TEXT),
]);
const LIMIT_CHANGE: Schema =
    Schema::object(&[prop("resource_limit", NUMBER), prop("description", TEXT)]);

/// So many are made in one request, which is one transaction.
const MOST: usize = 20;

pub(crate) const CREATE_REGISTERED: Schema =
    Schema::object(
        &[prop("registered_limits", Schema::array(&REGISTERED).len(1, MOST)).required()],
    );
pub(crate) const UPDATE_REGISTERED: Schema =
    Schema::object(&[prop("registered_limit", REGISTERED_CHANGE).required()]);
pub(crate) const CREATE: Schema =
    Schema::object(&[prop("limits", Schema::array(&LIMIT).len(1, MOST)).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("limit", LIMIT_CHANGE).required()]);

/// What is to be changed of a registered limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) service_id: Option<String>,
    pub(crate) region_id: Option<Option<String>>,
    pub(crate) resource_name: Option<String>,
    pub(crate) number: Option<i64>,
    pub(crate) description: Option<Option<String>>,
}

/// Reads a checked body of either kind.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    let number = body.shift_remove("default_limit").or(body.shift_remove("resource_limit"));
    Change {
        service_id: take_text(&mut body, "service_id"),
        region_id: take_nullable(&mut body, "region_id"),
        resource_name: take_text(&mut body, "resource_name"),
        number: number.as_ref().and_then(Value::as_i64),
        description: take_nullable(&mut body, "description"),
    }
}

/// A registered limit to be made, from a checked body.
pub(crate) fn parse_registered(body: Map<String, Value>) -> RegisteredLimit {
    let change = parse_change(body);
    RegisteredLimit {
        service_id: change.service_id.unwrap_or_default(),
        region_id: change.region_id.flatten(),
        resource_name: change.resource_name.unwrap_or_default(),
        default_limit: change.number.unwrap_or_default(),
        description: change.description.flatten(),
    }
}

/// A registered limit as the API shows it, but its link.
pub(crate) fn show_registered(id: &str, limit: &RegisteredLimit) -> Value {
    json!({
        "id": id,
        "service_id": limit.service_id,
        "region_id": limit.region_id,
        "resource_name": limit.resource_name,
        "default_limit": limit.default_limit,
        "description": limit.description,
    })
}

/// A limit as the API shows it, but its link.
pub(crate) fn show(id: &str, limit: &Limit, registered: &RegisteredLimit) -> Value {
    json!({
        "id": id,
        "service_id": registered.service_id,
        "region_id": registered.region_id,
        "resource_name": registered.resource_name,
        "resource_limit": limit.resource_limit,
        "description": limit.description,
        "project_id": limit.project_id,
        "domain_id": limit.domain_id,
    })
}
