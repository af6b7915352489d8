//! Roles as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use super::{actions::Change, record::Role};
use crate::{
    manners::{NAME_PATTERN, take_nullable, take_object, take_text},
    projects::wire::{ID, OPTIONS, add_extra},
};

const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const DESCRIPTION: Schema = Schema::string().nullable();
const ROLE: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("description", DESCRIPTION),
    prop("domain_id", ID.nullable()),
    prop("options", OPTIONS),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("name", NAME),
    prop("description", DESCRIPTION),
    prop("domain_id", ID.nullable()),
    prop("options", OPTIONS),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("role", ROLE).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("role", CHANGE).required()]);

/// A role as the API shows it, but its link.
pub(crate) fn show(id: &str, role: &Role) -> Value {
    let mut shown = json!({
        "id": id,
        "name": role.name,
        "domain_id": role.domain_id,
        "description": role.description,
        "options": role.options,
    });
    add_extra(&mut shown, &role.extra);
    shown
}

/// A role to be made, from a checked body.
pub(crate) fn parse(mut body: Map<String, Value>) -> Role {
    let domain_id = take_text(&mut body, "domain_id");
    let change = parse_change(body);
    let mut options = Map::new();
    crate::options::apply(&mut options, &change.options.unwrap_or_default());
    Role {
        name: change.name.unwrap_or_default(),
        domain_id,
        description: change.description.flatten(),
        options,
        extra: change.extra,
    }
}

/// What is to be changed, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    for ours in ["id", "links", "domain_id"] {
        body.shift_remove(ours);
    }
    Change {
        name: take_text(&mut body, "name"),
        description: take_nullable(&mut body, "description"),
        options: take_object(&mut body, "options"),
        extra: body,
    }
}
