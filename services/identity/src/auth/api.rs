//! `/auth/tokens`, and what a token's holder may be scoped to.

use std::{sync::Arc, time::Duration};

use base::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use state::Snapshot;
use web::{Call, Card, Policy, Reply};

use super::wire;
use crate::{
    Identity,
    assignments::effective,
    catalog::render,
    domains,
    manners::{self, flag},
    projects,
    rules::{checked, own},
    tokens::{
        body,
        cache::Validated,
        revoke::{self, Of},
    },
    words,
};

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const CHECK: Policy = checked(&[(
        "identity:check_token",
        "rule:admin_or_system_reader or user_id:%(target.token.user_id)s",
    )]);
    const VALIDATE: Policy = checked(&[(
        "identity:validate_token",
        "rule:admin_or_system_reader or rule:service_role or user_id:%(target.token.user_id)s",
    )]);
    const REVOKE: Policy = checked(&[(
        "identity:revoke_token",
        "rule:admin_required or user_id:%(target.token.user_id)s",
    )]);
    let any = |name| Policy::Rule(name, "");
    vec![
        Card::post("/auth/tokens", Policy::Public, issue),
        Card::get("/auth/tokens", VALIDATE, validate),
        Card::head("/auth/tokens", CHECK, check),
        Card::delete("/auth/tokens", REVOKE, revoke_token),
        Card::get("/auth/projects", any("identity:get_auth_projects"), list_projects),
        Card::get("/auth/domains", any("identity:get_auth_domains"), list_domains),
        // Other names of the same.
        Card::get("/OS-FEDERATION/projects", any("identity:get_auth_projects"), list_projects),
        Card::get("/OS-FEDERATION/domains", any("identity:get_auth_domains"), list_domains),
        Card::get("/auth/system", any("identity:get_auth_system"), list_system),
        Card::get("/auth/catalog", any("identity:get_auth_catalog"), show_catalog),
    ]
}

/// The rendered body of a token; kept beside it.
fn rendered(call: &Call<Identity>, snapshot: &Snapshot, validated: &Validated) -> Bytes {
    let with_catalog = !call.query.has("nocatalog");
    let render = || {
        let body = body::render(snapshot, &validated.resolved, with_catalog, &call.base_url);
        Bytes::from(body.to_string())
    };
    match validated.bodies.get(usize::from(with_catalog)) {
        Some(kept) => kept.get_or_init(render).clone(),
        None => render(),
    }
}

async fn issue(call: Call<Identity>) -> Result<Reply> {
    let asked = wire::parse(&call.value()?)?;
    let issued = call.context.log_in(asked).await?;
    let body = rendered(&call, &issued.snapshot, &issued.validated);
    Ok(Reply::json_bytes(201, body).header("x-subject-token", issued.text))
}

/// The token that is asked about, if the actor may ask. A service may ask about one that has ended
/// while it still works for its holder.
async fn subject(
    call: &Call<Identity>,
    policy: &str,
) -> Result<(Snapshot, String, Arc<Validated>)> {
    let identity = &call.context;
    let snapshot = identity.state().fresh().await?;
    let text = call.header("x-subject-token").unwrap_or_default();
    let late = match flag(&call.query, "allow_expired") {
        true => identity.config().token_expired_window,
        false => Duration::ZERO,
    };
    if text.is_empty() {
        return Err(base::Error::not_found("No token in the request"));
    }
    // That a token is none is said to anybody, as Keystone does.
    let found = identity.validate(&snapshot, text, late)?;
    let user_id = found.resolved.user.id.as_ref();
    call.allow(policy, &own(call).with("target.token.user_id", user_id))?;
    // Who does not know rules that narrow a token must not take it as a whole one.
    let narrowed = found.resolved.app_cred.as_ref().is_some_and(|a| a.access_rules.is_some());
    let knows = call
        .header("openstack-identity-access-rules")
        .and_then(|version| version.parse::<f64>().ok())
        .is_some_and(|version| version >= 1.0);
    if narrowed && !knows {
        return Err(words::token_not_found());
    }
    Ok((snapshot, text.to_owned(), found))
}

async fn validate(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, text, found) = subject(&call, "identity:validate_token").await?;
    let body = rendered(&call, &snapshot, &found);
    Ok(Reply::json_bytes(200, body).header("x-subject-token", text))
}

async fn check(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, text, found) = subject(&call, "identity:check_token").await?;
    let body = rendered(&call, &snapshot, &found);
    Ok(Reply::json_bytes(200, body).header("x-subject-token", text))
}

async fn revoke_token(call: Call<Identity>) -> Result<Reply> {
    let (_, _, found) = subject(&call, "identity:revoke_token").await?;
    let config = call.context.config().clone();
    let audit_id = found.resolved.token.audit_id();
    call.context
        .state()
        .transact("tokens::revoke", move |txn| revoke::revoke(txn, &config, Of::Token(&audit_id)))
        .await?;
    Ok(Reply::empty(204))
}

async fn list_projects(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let found = effective::projects_of(&snapshot, &call.actor.user_id);
    let items = found.iter().filter(|project| project.enabled).map(|project| {
        let mut shown = projects::wire::show(&project.id, project);
        manners::link(&call, "projects", &mut shown);
        shown
    });
    Ok(Reply::ok(manners::wrap(&call, "projects", items.collect(), None)))
}

async fn list_domains(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let found = effective::domains_of(&snapshot, &call.actor.user_id);
    let items = found.iter().filter(|domain| domain.enabled).map(|domain| {
        let mut shown = domains::wire::show(&domain.id, domain);
        manners::link(&call, "domains", &mut shown);
        shown
    });
    Ok(Reply::ok(manners::wrap(&call, "domains", items.collect(), None)))
}

async fn list_system(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let has = !effective::in_system(&snapshot, &call.actor.user_id).is_empty();
    let system = if has { json!([{"all": true}]) } else { Value::Array(Vec::new()) };
    let links = json!({"self": call.link("/auth/system")});
    Ok(Reply::ok(json!({"system": system, "links": links})))
}

async fn show_catalog(call: Call<Identity>) -> Result<Reply> {
    let Some(project) = &call.actor.project else {
        return Err(words::refused(
            "A project-scoped token is required to produce a service catalog.",
        ));
    };
    let snapshot = call.context.state().fresh().await?;
    let catalog =
        render::catalog(&snapshot, &call.base_url, &call.actor.user_id, Some(&project.id));
    let links = json!({"self": call.link("/auth/catalog")});
    Ok(Reply::ok(json!({"catalog": catalog, "links": links})))
}
