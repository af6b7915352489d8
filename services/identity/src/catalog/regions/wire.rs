//! Regions as JSON.

use serde_json::{Map, Value, json};
use web::{Schema, validate::prop};

use super::actions::Change;
use crate::{catalog::record::Region, manners::take_nullable, projects::wire::add_extra};

const TEXT: Schema = Schema::string().nullable();
const PARENT: Schema = Schema::string().len(1, 255).nullable();
const REGION: Schema = Schema::object(&[
    prop("id", Schema::string().max_len(255)),
    prop("description", TEXT),
    prop("parent_region_id", PARENT),
])
.open();

pub(crate) const CREATE: Schema = Schema::object(&[prop("region", REGION).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("region", REGION.min_len(1)).required()]);

/// A region as the API shows it, but its link.
pub(crate) fn show(id: &str, region: &Region) -> Value {
    let mut shown = json!({
        "id": id,
        "description": region.description,
        "parent_region_id": region.parent_id,
    });
    add_extra(&mut shown, &region.extra);
    shown
}

/// A region to be made, from a checked body.
pub(crate) fn parse(body: Map<String, Value>) -> Region {
    let change = parse_change(body);
    Region {
        description: change.description.unwrap_or_else(|| Some(String::new())),
        parent_id: change.parent_id.flatten(),
        extra: change.extra,
    }
}

/// What is to be changed, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    for ours in ["id", "links"] {
        body.shift_remove(ours);
    }
    Change {
        description: take_nullable(&mut body, "description"),
        parent_id: take_nullable(&mut body, "parent_region_id"),
        extra: body,
    }
}
