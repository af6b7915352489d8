//! Users as JSON.

use base::{Secret, Timestamp};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Schema, validate::prop};

use super::{actions::Change, record::User};
use crate::{
    manners::{NAME_PATTERN, take_bool, take_nullable, take_object, take_text},
    passwords::record::Password,
    projects::wire::{BOOLEAN, ID, add_extra},
};

pub(crate) const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const FLAG: Schema = Schema::boolean().nullable();
const METHOD: Schema = Schema::string();
const RULE: Schema = Schema::array(&METHOD).min_len(1).unique();
const OPTIONS: Schema = Schema::object(&[
    prop("ignore_change_password_upon_first_use", FLAG),
    prop("ignore_password_expiry", FLAG),
    prop("ignore_lockout_failure_attempts", FLAG),
    prop("ignore_user_inactivity", FLAG),
    prop("lock_password", FLAG),
    prop("multi_factor_auth_enabled", FLAG),
    prop("multi_factor_auth_rules", Schema::array(&RULE).unique().nullable()),
]);
const TEXT: Schema = Schema::string().nullable();

const USER: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("password", TEXT),
    prop("default_project_id", ID.nullable()),
    prop("description", TEXT),
    prop("domain_id", ID),
    prop("enabled", BOOLEAN),
    prop("options", OPTIONS),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("name", NAME),
    prop("password", TEXT),
    prop("default_project_id", ID.nullable()),
    prop("description", TEXT),
    prop("domain_id", ID),
    prop("enabled", BOOLEAN),
    prop("options", OPTIONS),
])
.open()
.min_len(1);
const PASSWORD: Schema = Schema::object(&[
    prop("original_password", Schema::string()).required(),
    prop("password", Schema::string()).required(),
])
.open();

pub(crate) const CREATE: Schema = Schema::object(&[prop("user", USER).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("user", CHANGE).required()]);
pub(crate) const SET_PASSWORD: Schema = Schema::object(&[prop("user", PASSWORD).required()]);

/// A user as the API shows it, but its link.
pub(crate) fn show(snapshot: &Snapshot, user: &Entry<User>) -> Value {
    show_parts(&user.id, user, snapshot.get::<Password>(&user.id).and_then(|p| p.expires))
}

pub(crate) fn show_parts(id: &str, user: &User, expires: Option<Timestamp>) -> Value {
    let mut shown = json!({
        "id": id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": user.enabled,
        "password_expires_at": expires.map(Timestamp::iso_micros_zoneless),
        "options": user.options,
    });
    if let Some(project) = &user.default_project_id {
        shown["default_project_id"] = json!(project);
    }
    add_extra(&mut shown, &user.extra);
    shown
}

/// A user to be made and its password, from a checked body.
pub(crate) fn parse(mut body: Map<String, Value>, default_domain: &str) -> (User, Option<Secret>) {
    let domain_id = take_text(&mut body, "domain_id").unwrap_or_else(|| default_domain.to_owned());
    let (change, password) = parse_change(body);
    let mut options = Map::new();
    crate::options::apply(&mut options, &change.options.unwrap_or_default());
    let user = User {
        name: change.name.unwrap_or_default(),
        domain_id,
        enabled: change.enabled.unwrap_or(true),
        default_project_id: change.default_project_id.flatten(),
        options,
        extra: change.extra,
    };
    (user, password)
}

/// What is to be changed and the new password, from a checked body.
pub(crate) fn parse_change(mut body: Map<String, Value>) -> (Change, Option<Secret>) {
    for ours in ["id", "links", "password_expires_at", "domain_id", "original_password"] {
        body.shift_remove(ours);
    }
    let password = take_text(&mut body, "password").map(Secret::new);
    let change = Change {
        name: take_text(&mut body, "name"),
        enabled: take_bool(&mut body, "enabled"),
        default_project_id: take_nullable(&mut body, "default_project_id"),
        options: take_object(&mut body, "options"),
        extra: body,
        hash: None,
    };
    (change, password)
}
