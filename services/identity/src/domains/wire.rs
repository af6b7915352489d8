//! Domains as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use crate::projects::{
    record::Project,
    wire::{BOOLEAN, ID, NAME, OPTIONS, TAGS, add_extra, parse_change},
};

const DESCRIPTION: Schema = Schema::string().nullable();
const DOMAIN: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("description", DESCRIPTION),
    prop("enabled", BOOLEAN),
    prop("explicit_domain_id", ID),
    prop("tags", TAGS),
    prop("options", OPTIONS),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("name", NAME),
    prop("description", DESCRIPTION),
    prop("enabled", BOOLEAN),
    prop("tags", TAGS),
    prop("options", OPTIONS),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("domain", DOMAIN).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("domain", CHANGE).required()]);

/// A domain as the API shows it, but its link.
pub(crate) fn show(id: &str, domain: &Project) -> Value {
    let mut shown = json!({
        "id": id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": domain.tags,
        "options": domain.options,
    });
    add_extra(&mut shown, &domain.extra);
    shown
}

/// A domain to be made, from a checked body.
pub(crate) fn parse(mut body: Map<String, Value>) -> Project {
    for fixed in ["domain_id", "parent_id", "is_domain"] {
        body.shift_remove(fixed);
    }
    let change = parse_change(body);
    let mut options = Map::new();
    crate::options::apply(&mut options, &change.options.unwrap_or_default());
    Project {
        name: change.name.unwrap_or_default(),
        domain_id: None,
        parent_id: None,
        enabled: change.enabled.unwrap_or(true),
        description: change.description.unwrap_or_else(|| Some(String::new())),
        tags: change.tags.unwrap_or_default(),
        options,
        extra: change.extra,
    }
}
