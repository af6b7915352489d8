//! Groups as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use super::{actions::Change, record::Group};
use crate::{
    manners::{NAME_PATTERN, take_nullable, take_text},
    projects::wire::{ID, add_extra},
};

const NAME: Schema = Schema::string().len(1, 64).pattern(NAME_PATTERN);
const DESCRIPTION: Schema = Schema::string().nullable();
const GROUP: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("description", DESCRIPTION),
    prop("domain_id", ID),
])
.open();
const CHANGE: Schema =
    Schema::object(&[prop("name", NAME), prop("description", DESCRIPTION), prop("domain_id", ID)])
        .open()
        .min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("group", GROUP).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("group", CHANGE).required()]);

/// A group as the API shows it, but its link.
pub(crate) fn show(id: &str, group: &Group) -> Value {
    let mut shown = json!({
        "id": id,
        "name": group.name,
        "domain_id": group.domain_id,
        "description": group.description,
    });
    add_extra(&mut shown, &group.extra);
    shown
}

/// A group to be made, from a checked body.
pub(crate) fn parse(mut body: Map<String, Value>, default_domain: &str) -> Group {
    let domain_id = take_text(&mut body, "domain_id").unwrap_or_else(|| default_domain.to_owned());
    let change = parse_change(body);
    Group {
        name: change.name.unwrap_or_default(),
        domain_id,
        description: change.description.unwrap_or_else(|| Some(String::new())),
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
        extra: body,
    }
}
