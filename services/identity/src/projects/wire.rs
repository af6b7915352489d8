//! Projects as JSON.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use web::{
    Schema,
    validate::{Literal, prop},
};

use super::{actions::Change, record::Project};
use crate::manners::{ID_PATTERN, NAME_PATTERN, take_bool, take_nullable, take_object, take_text};

pub(crate) const ID: Schema = Schema::string().len(1, 64).pattern(ID_PATTERN);
pub(crate) const BOOLEAN: Schema =
    Schema::boolean().literals(&[Literal::Boolean(true), Literal::Boolean(false)]);
pub(crate) const NAME: Schema = Schema::string().len(1, 64).pattern(NAME_PATTERN);
pub(crate) const TAG: Schema = Schema::string().len(1, 255).pattern("^[^,/]*$");
pub(crate) const TAGS: Schema = Schema::array(&TAG).max_len(80).unique();
pub(crate) const OPTIONS: Schema =
    Schema::object(&[prop("immutable", Schema::boolean().nullable())]);
const DESCRIPTION: Schema = Schema::string().nullable();

const PROJECT: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("description", DESCRIPTION),
    prop("domain_id", ID.nullable()),
    prop("parent_id", ID.nullable()),
    prop("enabled", BOOLEAN),
    prop("is_domain", BOOLEAN),
    prop("tags", TAGS),
    prop("options", OPTIONS),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("name", NAME),
    prop("description", DESCRIPTION),
    prop("domain_id", ID.nullable()),
    prop("parent_id", ID.nullable()),
    prop("enabled", BOOLEAN),
    prop("is_domain", BOOLEAN),
    prop("tags", TAGS),
    prop("options", OPTIONS),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("project", PROJECT).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("project", CHANGE).required()]);
pub(crate) const SET_TAGS: Schema = Schema::object(&[prop("tags", TAGS).required()]);

/// A project as the API shows it, but its link.
pub(crate) fn show(id: &str, project: &Project) -> Value {
    let mut shown = json!({
        "id": id,
        "name": project.name,
        "domain_id": project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "parent_id": project.parent_id,
        "is_domain": project.is_domain(),
        "tags": project.tags,
        "options": project.options,
    });
    add_extra(&mut shown, &project.extra);
    shown
}

/// Adds what clients keep beside a resource; never over what is ours.
pub(crate) fn add_extra(shown: &mut Value, extra: &Map<String, Value>) {
    if let Value::Object(shown) = shown {
        for (name, value) in extra {
            if !shown.contains_key(name) {
                shown.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A project to be made, from a checked body. `domain_id`: where, if the body does not say.
pub(crate) fn parse(mut body: Map<String, Value>, default_domain: &str) -> Result<Project> {
    let is_domain = take_bool(&mut body, "is_domain").unwrap_or(false);
    let domain_id = take_text(&mut body, "domain_id");
    let parent_id = take_text(&mut body, "parent_id");
    if is_domain && (parent_id.is_some() || domain_id.is_some()) {
        return Err(Error::bad_request("only root projects are allowed to act as domains."));
    }
    let domain_id = match (is_domain, domain_id) {
        (true, _) => None,
        (false, Some(id)) => Some(id),
        (false, None) => Some(default_domain.to_owned()),
    };
    let change = parse_change(body);
    let mut options = Map::new();
    crate::options::apply(&mut options, &change.options.unwrap_or_default());
    Ok(Project {
        name: change.name.unwrap_or_default(),
        parent_id: parent_id.or_else(|| domain_id.clone()),
        domain_id,
        enabled: change.enabled.unwrap_or(true),
        description: change.description.unwrap_or_else(|| Some(String::new())),
        tags: change.tags.unwrap_or_default(),
        options,
        extra: change.extra,
    })
}

/// What is to be changed, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> Change {
    body.shift_remove("id");
    body.shift_remove("links");
    let tags = body.shift_remove("tags").and_then(|tags| match tags {
        Value::Array(tags) => {
            Some(tags.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => None,
    });
    Change {
        name: take_text(&mut body, "name"),
        description: take_nullable(&mut body, "description"),
        enabled: take_bool(&mut body, "enabled"),
        tags,
        options: take_object(&mut body, "options"),
        extra: body,
    }
}
