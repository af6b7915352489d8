//! Trusts as JSON.

use base::{Result, Timestamp};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Request, Schema, validate::prop};

use super::record::Trust;
use crate::{
    app_creds::wire::{RoleRef, parse_expiry},
    manners::{self, NAME_PATTERN, take_bool, take_text},
    projects::wire::{ID, add_extra},
    roles::{self, record::Role},
};

const TEXT: Schema = Schema::string().nullable();
const WHO: Schema = Schema::string().len(1, 64);
const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const ROLE: Schema = Schema::object(&[prop("id", ID), prop("name", NAME)]).len(1, 1).open();
const TRUST: Schema = Schema::object(&[
    prop("trustor_user_id", WHO).required(),
    prop("trustee_user_id", WHO).required(),
    prop("impersonation", Schema::boolean()).required(),
    prop("project_id", ID.nullable()),
    prop("remaining_uses", Schema::integer().nullable().min(1)),
    prop("expires_at", TEXT),
    prop("allow_redelegation", Schema::boolean().nullable()),
    prop("redelegation_count", Schema::integer().nullable().min(0)),
    prop("roles", Schema::array(&ROLE)),
])
.open();

pub(crate) const CREATE: Schema = Schema::object(&[prop("trust", TRUST).required()]);

/// What somebody asks for. The roles are found later.
pub(crate) struct Asked {
    pub(crate) trust: Trust,
    pub(crate) roles: Vec<RoleRef>,
    pub(crate) redelegation_count: Option<u32>,
}

/// Reads a checked body.
pub(crate) fn parse(mut body: Map<String, Value>, now: Timestamp) -> Result<Asked> {
    let expires = match take_text(&mut body, "expires_at") {
        None => None,
        Some(text) => Some(parse_expiry(&text, now)?),
    };
    let number = |value: Option<Value>| {
        let number = value.as_ref().and_then(Value::as_u64)?;
        Some(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let roles = match body.shift_remove("roles") {
        Some(Value::Array(roles)) => roles.iter().map(crate::app_creds::wire::role_ref).collect(),
        _ => Vec::new(),
    };
    let redelegation_count = number(body.shift_remove("redelegation_count"));
    for ours in ["id", "links", "roles_links", "deleted_at", "redelegated_trust_id"] {
        body.shift_remove(ours);
    }
    let trust = Trust {
        trustor_id: take_text(&mut body, "trustor_user_id").unwrap_or_default(),
        trustee_id: take_text(&mut body, "trustee_user_id").unwrap_or_default(),
        project_id: take_text(&mut body, "project_id").filter(|id| !id.is_empty()),
        impersonation: take_bool(&mut body, "impersonation").unwrap_or(false),
        roles: Vec::new(),
        expires,
        remaining_uses: number(body.shift_remove("remaining_uses")),
        allow_redelegation: take_bool(&mut body, "allow_redelegation").unwrap_or(false),
        redelegation_count: 0,
        redelegated_from: None,
        extra: body,
    };
    Ok(Asked { trust, roles, redelegation_count })
}

/// A trust as lists show it: without roles.
pub(crate) fn show_short(request: &Request, trust: &Entry<Trust>) -> Value {
    let mut shown = json!({
        "id": &*trust.id,
        "trustor_user_id": trust.trustor_id,
        "trustee_user_id": trust.trustee_id,
        "project_id": trust.project_id,
        "impersonation": trust.impersonation,
        "expires_at": trust.expires.map(Timestamp::iso_micros),
        "remaining_uses": trust.remaining_uses,
        "deleted_at": null,
        "redelegated_trust_id": trust.redelegated_from,
        "redelegation_count": trust.redelegation_count,
    });
    add_extra(&mut shown, &trust.extra);
    manners::link(request, "OS-TRUST/trusts", &mut shown);
    shown
}

/// A trust as the API shows it.
pub(crate) fn show(request: &Request, snapshot: &Snapshot, trust: &Entry<Trust>) -> Value {
    let mut shown = show_short(request, trust);
    shown["roles"] = show_roles(request, snapshot, trust);
    shown["roles_links"] = roles_links(request, trust);
    shown
}

pub(crate) fn show_roles(request: &Request, snapshot: &Snapshot, trust: &Trust) -> Value {
    let roles = trust.roles.iter().filter_map(|id| snapshot.get::<Role>(id)).map(|role| {
        let mut shown = roles::wire::show(&role.id, &role);
        manners::link(request, "roles", &mut shown);
        shown
    });
    Value::Array(roles.collect())
}

pub(crate) fn roles_links(request: &Request, trust: &Entry<Trust>) -> Value {
    let here = request.link(&format!("/OS-TRUST/trusts/{}/roles", trust.id));
    json!({"self": here, "next": null, "previous": null})
}
