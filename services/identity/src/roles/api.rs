//! `/roles`.

use base::{Error, Result};
use serde_json::Value;
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{actions, record::Role, wire};
use crate::{
    Identity,
    manners::{self, inner},
    purge::record::Kind,
    rules::{CLOUD_ADMIN, CLOUD_READER, checked, own},
    words,
};

const GET: Policy = checked(&[
    (
        "identity:get_role",
        "rule:admin_or_system_reader or (role:manager and rule:domain_managed_target_role)",
    ),
    ("identity:get_domain_role", CLOUD_READER),
]);
const LIST: Policy = checked(&[
    (
        "identity:list_roles",
        "rule:admin_or_system_reader or (role:manager and domain_id:%(actor.domain_id)s)",
    ),
    ("identity:list_domain_roles", CLOUD_READER),
]);
const CREATE: Policy =
    checked(&[("identity:create_role", CLOUD_ADMIN), ("identity:create_domain_role", CLOUD_ADMIN)]);
const UPDATE: Policy =
    checked(&[("identity:update_role", CLOUD_ADMIN), ("identity:update_domain_role", CLOUD_ADMIN)]);
const DELETE: Policy =
    checked(&[("identity:delete_role", CLOUD_ADMIN), ("identity:delete_domain_role", CLOUD_ADMIN)]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get("/roles", LIST, list),
        Card::post("/roles", CREATE, create),
        Card::get("/roles/{role_id}", GET, show),
        Card::patch("/roles/{role_id}", UPDATE, update),
        Card::delete("/roles/{role_id}", DELETE, delete),
    ]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let domain = call.query.get("domain_id").filter(|id| !id.is_empty());
    let policy = match domain {
        None => "identity:list_roles",
        Some(_) => "identity:list_domain_roles",
    };
    call.allow(policy, &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let found = snapshot.by::<Role>("domain", domain.unwrap_or_default());
    let items: Vec<Value> = found.iter().map(|role| wire::show(&role.id, role)).collect();
    manners::list(&call, "roles", items, &["name"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let role = wire::parse(inner(call.input(&wire::CREATE)?, "role"));
    let policy = match role.domain_id {
        None => "identity:create_role",
        Some(_) => "identity:create_domain_role",
    };
    call.allow(policy, &own(&call))?;
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), role.clone());
    call.context
        .state()
        .transact("roles::create", move |txn| actions::create(txn, &new_id, new.clone()))
        .await?;
    let shown = wire::show(&id, &role);
    Ok(Reply::json(201, manners::member(&call, "roles", "role", shown)))
}

/// The role in the path, if the actor may do this to it; the second policy is for roles of a domain.
async fn allowed(
    call: &Call<Identity>,
    global: &str,
    of_domain: &str,
) -> Result<(Snapshot, Entry<Role>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("role_id");
    let role = snapshot.find::<Role>(id)?;
    let specific = role.as_ref().is_some_and(|role| role.domain_id.is_some());
    let target =
        own(call).with_some("target.role.name", role.as_ref().map(|role| role.name.clone()));
    call.allow(if specific { of_domain } else { global }, &target)?;
    let role = role.ok_or_else(|| words::not_found("role", id))?;
    Ok((snapshot, role))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (_, role) = allowed(&call, "identity:get_role", "identity:get_domain_role").await?;
    let shown = wire::show(&role.id, &role);
    Ok(Reply::ok(manners::member(&call, "roles", "role", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let (_, role) = allowed(&call, "identity:update_role", "identity:update_domain_role").await?;
    let mut body = inner(call.input(&wire::UPDATE)?, "role");
    manners::same_id(&mut body, &role.id)?;
    if let Some(domain) = body.shift_remove("domain_id")
        && domain.as_str() != role.domain_id.as_deref()
    {
        return Err(Error::bad_request("Update of `domain_id` is not allowed."));
    }
    let change = wire::parse_change(body);
    let id = role.id.to_string();
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("roles::update", move |txn| actions::update(txn, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("role", &id))?;
    let shown = wire::show(&id, &changed);
    Ok(Reply::ok(manners::member(&call, "roles", "role", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, role) = allowed(&call, "identity:delete_role", "identity:delete_domain_role").await?;
    let id = role.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("roles::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("role", &id));
    }
    call.context.purge(Kind::Role, &id).await;
    Ok(Reply::empty(204))
}
