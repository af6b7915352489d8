//! Routes of key pairs: parse, act, show.

use base::{Error, Result};
use serde_json::json;
use web::{
    Call, Card, Policy, Reply, Target, v,
    validate::{self, Style},
};

use super::{
    KeypairRecord, Kind, actions,
    make::{self, Made},
    public, record, wire,
};
use crate::{
    Compute,
    paging::{self, Page},
};

const OWN: &str = "rule:context_is_admin or user_id:%(user_id)s";
const INDEX: (&str, &str) = ("os_compute_api:os-keypairs:index", OWN);
const CREATE: (&str, &str) = ("os_compute_api:os-keypairs:create", OWN);
const SHOW: (&str, &str) = ("os_compute_api:os-keypairs:show", OWN);
const DELETE: (&str, &str) = ("os_compute_api:os-keypairs:delete", OWN);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get("/os-keypairs", Policy::Checked(&[INDEX]), index),
        Card::post("/os-keypairs", Policy::Checked(&[CREATE]), create),
        Card::get("/os-keypairs/{name}", Policy::Checked(&[SHOW]), show),
        Card::delete("/os-keypairs/{name}", Policy::Checked(&[DELETE]), delete),
    ]
}

/// The user who is meant, if the actor may speak for that one.
fn user(call: &Call<Compute>, policy: &str, asked: Option<&str>) -> Result<String> {
    let asked = asked.filter(|user| call.version >= v(2, 10) && !user.is_empty());
    let user = asked.unwrap_or(&call.actor.user_id);
    call.allow(policy, &Target::new().with("user_id", user))?;
    Ok(user.to_owned())
}

/// As [`user`], from the query; of several, the first counts.
fn user_of_query(call: &Call<Compute>, policy: &str) -> Result<String> {
    user(call, policy, call.query.all("user_id").next())
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&wire::LIST, &call.query, call.version, Style::Nova)?;
    let user = user_of_query(&call, INDEX.0)?;
    let snapshot = call.context.state.fresh().await?;
    let mut keypairs = snapshot.by::<KeypairRecord>("user", &user);
    keypairs.sort_by(|a, b| a.name.cmp(&b.name));
    let paged = call.version >= v(2, 35);
    let page = match paged {
        true => Some(Page::of(&call, call.context.config.max_limit)?),
        false => None,
    };
    if let Some(page) = &page {
        keypairs = page.cut(keypairs, |keypair| &keypair.name).map_err(|_| {
            let marker = page.marker.as_deref().unwrap_or_default();
            Error::bad_request(format!("Marker {marker} could not be found."))
        })?;
    }
    let shown: Vec<_> = keypairs.iter().map(|keypair| wire::listed(&call, keypair)).collect();
    let mut body = json!({"keypairs": shown});
    let last = keypairs.last().map(|keypair| keypair.name.as_str());
    if let Some(page) = &page
        && let Some(links) = paging::next(&call, page, "os-keypairs", keypairs.len(), last)
    {
        body["keypairs_links"] = links;
    }
    Ok(Reply::ok(body))
}

async fn create(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&wire::CREATE)?;
    let asked = &body["keypair"];
    let user = user(&call, CREATE.0, asked["user_id"].as_str())?;
    let kind = if asked["type"] == "x509" { Kind::X509 } else { Kind::Ssh };
    let (world, now) = (&call.world, call.world.wall());
    let (made, private_key) = match asked["public_key"].as_str() {
        Some(key) => {
            let fingerprint = public::fingerprint(kind, key)?;
            (Made { private_key: String::new(), public_key: key.to_owned(), fingerprint }, false)
        }
        None => {
            let (seed, user) = (world.random(), user.clone());
            (world.blocking(move || make::make(kind, &user, now, seed)).await?, true)
        }
    };
    let keypair = KeypairRecord {
        user_id: user,
        name: asked["name"].as_str().unwrap_or_default().trim().to_owned(),
        kind,
        public_key: made.public_key,
        fingerprint: made.fingerprint,
        number: 0,
        created_at: now,
    };
    let project = call.actor.project_id();
    let keypair = call
        .context
        .state
        .transact("keypairs::create", |txn| actions::create(txn, project, &keypair))
        .await?;
    let status = if call.version >= v(2, 2) { 201 } else { 200 };
    let private_key = private_key.then_some(made.private_key.as_str());
    Ok(Reply::json(status, wire::made(&call, &keypair, private_key)))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&wire::ONE, &call.query, call.version, Style::Nova)?;
    let user = user_of_query(&call, SHOW.0)?;
    let name = call.param("name");
    let snapshot = call.context.state.fresh().await?;
    match snapshot.find::<KeypairRecord>(&record::id(&user, name))? {
        Some(keypair) => Ok(Reply::ok(wire::shown(&call, &keypair))),
        None => Err(actions::not_found(&user, name)),
    }
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&wire::ONE, &call.query, call.version, Style::Nova)?;
    let user = user_of_query(&call, DELETE.0)?;
    let name = call.param("name");
    call.context
        .state
        .transact("keypairs::delete", |txn| actions::delete(txn, &user, name))
        .await?;
    Ok(Reply::empty(if call.version >= v(2, 2) { 204 } else { 202 }))
}
