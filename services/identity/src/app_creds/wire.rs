//! Application credentials and access rules as JSON.

use base::{Error, Result, Secret, Timestamp};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{
    Schema,
    validate::{Literal, prop},
};

use super::{
    actions::RuleRef,
    record::{AccessRule, AppCred},
};
use crate::{
    manners::{NAME_PATTERN, take_bool, take_text},
    projects::wire::ID,
    roles::record::Role,
    words,
};

const TEXT: Schema = Schema::string().nullable();
const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const METHOD: Schema = Schema::string().literals(&[
    Literal::Text("DELETE"),
    Literal::Text("GET"),
    Literal::Text("HEAD"),
    Literal::Text("PATCH"),
    Literal::Text("POST"),
    Literal::Text("PUT"),
]);
const ROLE: Schema = Schema::object(&[prop("id", ID), prop("name", NAME)]).len(1, 1);
const RULE: Schema = Schema::object(&[
    prop("id", ID),
    prop("path", Schema::string().max_len(225).pattern(r"^/")),
    prop("method", METHOD),
    prop("service", ID),
])
.open();
const APP_CRED: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("id", Schema::string()),
    prop("secret", TEXT),
    prop("description", TEXT),
    prop("expires_at", TEXT),
    prop("project_id", ID.nullable()),
    prop("roles", Schema::array(&ROLE)),
    prop("unrestricted", Schema::boolean().nullable()),
    prop("access_rules", Schema::array(&RULE)),
    prop("system", TEXT),
    prop("user_id", TEXT),
]);

pub(crate) const CREATE: Schema =
    Schema::object(&[prop("application_credential", APP_CRED).required()]);

/// What somebody asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) secret: Option<Secret>,
    pub(crate) description: Option<String>,
    pub(crate) expires: Option<Timestamp>,
    /// None: all of the token's.
    pub(crate) roles: Option<Vec<RoleRef>>,
    pub(crate) unrestricted: bool,
    pub(crate) rules: Option<Vec<RuleRef>>,
}

#[derive(Debug)]
pub(crate) enum RoleRef {
    Id(String),
    Name(String),
}

/// Reads a checked body.
pub(crate) fn parse(mut body: Map<String, Value>, user_id: &str, now: Timestamp) -> Result<Asked> {
    let expires = match take_text(&mut body, "expires_at") {
        None => None,
        Some(text) => Some(parse_expiry(&text, now)?),
    };
    let mut rules = None;
    if let Some(Value::Array(given)) = body.shift_remove("access_rules")
        && !given.is_empty()
    {
        rules = Some(given.iter().map(|rule| parse_rule(rule, user_id)).collect::<Result<_>>()?);
    }
    let mut roles = None;
    if let Some(Value::Array(given)) = body.shift_remove("roles")
        && !given.is_empty()
    {
        roles = Some(given.iter().map(role_ref).collect());
    }
    Ok(Asked {
        name: take_text(&mut body, "name").unwrap_or_default(),
        secret: take_text(&mut body, "secret").filter(|s| !s.is_empty()).map(Secret::new),
        description: take_text(&mut body, "description"),
        expires,
        roles,
        unrestricted: take_bool(&mut body, "unrestricted").unwrap_or(false),
        rules,
    })
}

/// When something ends: a moment that is still to come.
pub(crate) fn parse_expiry(text: &str, now: Timestamp) -> Result<Timestamp> {
    let expires = Timestamp::parse(text).ok_or_else(words::bad_timestamp)?;
    if expires <= now {
        return Err(Error::bad_request(
            "The 'expires_at' must not be before now. The server could not comply with the request \
             since it is either malformed or otherwise incorrect. The client is assumed to be in \
             error.",
        ));
    }
    Ok(expires)
}

pub(crate) fn role_ref(role: &Value) -> RoleRef {
    match (role.get("id").and_then(Value::as_str), role.get("name").and_then(Value::as_str)) {
        (Some(id), _) => RoleRef::Id(id.to_owned()),
        (None, name) => RoleRef::Name(name.unwrap_or_default().to_owned()),
    }
}

fn parse_rule(rule: &Value, user_id: &str) -> Result<RuleRef> {
    let text = |name: &str| rule.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(id) = text("id") {
        return Ok(RuleRef::Id(id));
    }
    let part = |name: &str| {
        text(name).ok_or_else(|| Error::bad_request(format!("'{name}' is a required property")))
    };
    Ok(RuleRef::New(AccessRule {
        user_id: user_id.to_owned(),
        service: part("service")?,
        path: part("path")?,
        method: part("method")?,
    }))
}

/// A credential as the API shows it, but its link. The secret is shown once, when it is made.
pub(crate) fn show(snapshot: &Snapshot, app_cred: &Entry<AppCred>) -> Value {
    let roles = app_cred.roles.iter().filter_map(|id| snapshot.get::<Role>(id));
    let roles = roles.map(|role| {
        json!({
            "id": &*role.id,
            "name": role.name,
            "domain_id": role.domain_id,
            "description": role.description,
            "options": role.options,
        })
    });
    let mut shown = json!({
        "id": &*app_cred.id,
        "name": app_cred.name,
        "description": app_cred.description,
        "user_id": app_cred.user_id,
        "project_id": app_cred.project_id,
        "system": null,
        "expires_at": app_cred.expires.map(Timestamp::iso_micros_zoneless),
        "unrestricted": app_cred.unrestricted,
        "roles": roles.collect::<Vec<_>>(),
    });
    if let Some(ids) = &app_cred.access_rules {
        shown["access_rules"] = rules(snapshot, ids);
    }
    shown
}

/// Rules as a credential or token shows them.
pub(crate) fn rules(snapshot: &Snapshot, ids: &[String]) -> Value {
    let rules = ids.iter().filter_map(|id| snapshot.get::<AccessRule>(id));
    Value::Array(rules.map(|rule| show_rule(&rule.id, &rule)).collect())
}

/// A rule as the API shows it.
pub(crate) fn show_rule(id: &str, rule: &AccessRule) -> Value {
    json!({"id": id, "service": rule.service, "path": rule.path, "method": rule.method})
}
