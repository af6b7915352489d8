//! `/domains`.

use base::{Error, Result};
use serde_json::Value;
use state::Entry;
use web::{Call, Card, Policy, Reply};

use super::wire;
use crate::{
    Identity,
    manners::{self, inner, take_text},
    projects::{actions, record::Project, wire::parse_change},
    rules::{CLOUD_ADMIN, checked, own},
    words,
};

const GET: Policy = checked(&[(
    "identity:get_domain",
    "rule:admin_or_system_reader or domain_id:%(target.domain.id)s or \
     project_domain_id:%(target.domain.id)s",
)]);
const LIST: Policy = checked(&[(
    "identity:list_domains",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain.id)s)",
)]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get("/domains", LIST, list),
        Card::post("/domains", Policy::Rule("identity:create_domain", CLOUD_ADMIN), create),
        Card::get("/domains/{domain_id}", GET, show),
        Card::patch(
            "/domains/{domain_id}",
            Policy::Rule("identity:update_domain", CLOUD_ADMIN),
            update,
        ),
        Card::delete(
            "/domains/{domain_id}",
            Policy::Rule("identity:delete_domain", CLOUD_ADMIN),
            delete,
        ),
    ]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let scope = call.actor.domain.as_ref().map(|domain| domain.id.clone());
    call.allow(
        "identity:list_domains",
        &own(&call).with_some("target.domain.id", scope.as_deref()),
    )?;
    let snapshot = call.context.state().fresh().await?;
    let found = snapshot.by::<Project>("domain", "").into_iter();
    let found = found.filter(|domain| scope.as_deref().is_none_or(|id| *domain.id == *id));
    let items: Vec<Value> = found.map(|d| wire::show(&d.id, &d)).collect();
    manners::list(&call, "domains", items, &["name", "enabled"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut body = inner(call.input(&wire::CREATE)?, "domain");
    let id = match take_text(&mut body, "explicit_domain_id") {
        None => call.world.hex_id(),
        Some(wanted) => explicit_id(&wanted)?,
    };
    let domain = wire::parse(body);
    let identity = &call.context;
    let config = identity.config().clone();
    let (new_id, new) = (id.clone(), domain.clone());
    identity
        .state()
        .transact("domains::create", move |txn| actions::create(txn, &config, &new_id, new.clone()))
        .await?;
    let shown = wire::show(&id, &domain);
    Ok(Reply::json(201, manners::member(&call, "domains", "domain", shown)))
}

/// A wanted id must be a UUID without dashes.
fn explicit_id(wanted: &str) -> Result<String> {
    let hex = wanted.len() == 32 && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex {
        return Err(Error::bad_request("Domain ID does not conform to required UUID format."));
    }
    Ok(wanted.to_ascii_lowercase())
}

async fn find(call: &Call<Identity>) -> Result<Option<Entry<Project>>> {
    let snapshot = call.context.state().fresh().await?;
    Ok(super::find(&snapshot, call.param("domain_id")))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("domain_id");
    let domain = find(&call).await?;
    let target =
        own(&call).with_some("target.domain.id", domain.as_ref().map(|d| d.id.to_string()));
    call.allow("identity:get_domain", &target)?;
    let domain = domain.ok_or_else(|| words::not_found("domain", id))?;
    let shown = wire::show(&domain.id, &domain);
    Ok(Reply::ok(manners::member(&call, "domains", "domain", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("domain_id").to_owned();
    let mut body = inner(call.input(&wire::UPDATE)?, "domain");
    manners::same_id(&mut body, &id)?;
    if find(&call).await?.is_none() {
        return Err(words::not_found("domain", &id));
    }
    let change = parse_change(body);
    let config = call.context.config().clone();
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("domains::update", move |txn| {
            actions::update(txn, &config, &owned, change.clone())
        })
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("domain", &id))?;
    let shown = wire::show(&id, &changed);
    Ok(Reply::ok(manners::member(&call, "domains", "domain", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("domain_id").to_owned();
    if find(&call).await?.is_none() {
        return Err(words::not_found("domain", &id));
    }
    if id == crate::DEFAULT_DOMAIN {
        return Err(words::refused("Cannot delete the default domain"));
    }
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("domains::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    let kind = gone.ok_or_else(|| words::not_found("domain", &id))?;
    call.context.purge(kind, &id).await;
    Ok(Reply::empty(204))
}
