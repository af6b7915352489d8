//! `/limits`.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{
    actions::{self, NewLimit},
    record::{Limit, RegisteredLimit},
    wire,
};
use crate::{
    Identity,
    manners::{self, inner, take_text},
    projects::record::Project,
    rules::{CLOUD_ADMIN, checked, own},
};

const FILTERS: &[&str] = &["service_id", "region_id", "resource_name", "project_id", "domain_id"];

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const GET: Policy = checked(&[(
        "identity:get_limit",
        "rule:admin_or_system_reader or domain_id:%(target.limit.domain.id)s or \
         domain_id:%(target.limit.project.domain_id)s or \
         project_id:%(target.limit.project_id)s",
    )]);
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get("/limits", rule("identity:list_limits", ""), list),
        Card::post("/limits", rule("identity:create_limits", CLOUD_ADMIN), create),
        Card::get("/limits/model", rule("identity:get_limit_model", ""), model),
        Card::get("/limits/{limit_id}", GET, show),
        Card::patch("/limits/{limit_id}", rule("identity:update_limit", CLOUD_ADMIN), update),
        Card::delete("/limits/{limit_id}", rule("identity:delete_limit", CLOUD_ADMIN), delete),
    ]
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("Could not find limit for {id}."))
}

fn shown(snapshot: &Snapshot, limit: &Entry<Limit>) -> Option<Value> {
    let registered = snapshot.get::<RegisteredLimit>(&limit.registered_id)?;
    Some(wire::show(&limit.id, limit, &registered))
}

/// The domain that a limit's project or the limit itself is of.
fn domain_of(snapshot: &Snapshot, limit: &Limit) -> Option<String> {
    match &limit.project_id {
        None => limit.domain_id.clone(),
        Some(id) => snapshot.get::<Project>(id)?.domain_id.clone(),
    }
}

async fn model(_call: Call<Identity>) -> Result<Reply> {
    Ok(Reply::ok(json!({"model": {
        "name": "flat",
        "description":
            "Limit enforcement and validation does not take project hierarchy into consideration.",
    }})))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let all = call.actor.system || call.actor.has_role("admin") || call.actor.has_role("service");
    let mine = |limit: &Limit| {
        all || match (&call.actor.domain, &call.actor.project) {
            (Some(domain), _) => domain_of(&snapshot, limit).as_ref() == Some(&domain.id),
            (None, Some(project)) => limit.project_id.as_ref() == Some(&project.id),
            (None, None) => false,
        }
    };
    let found = snapshot.all::<Limit>().filter(|limit| mine(limit));
    let items: Vec<Value> = found.filter_map(|limit| shown(&snapshot, &limit)).collect();
    manners::list(&call, "limits", items, FILTERS)
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut body = call.input(&wire::CREATE)?;
    let mut limits = Vec::new();
    if let Some(Value::Array(given)) = body.get_mut("limits").map(Value::take) {
        for limit in given {
            if let Value::Object(limit) = limit {
                limits.push(parse(call.world.hex_id(), limit));
            }
        }
    }
    let new = limits.clone();
    call.context.state().transact("limits::create", move |txn| actions::create(txn, &new)).await?;
    let snapshot = call.context.state().fresh().await?;
    let made = limits.iter().filter_map(|new| snapshot.get::<Limit>(&new.id));
    let items = made.filter_map(|limit| {
        let mut shown = shown(&snapshot, &limit)?;
        manners::link(&call, "limits", &mut shown);
        Some(shown)
    });
    let items = Value::Array(items.collect());
    Ok(Reply::json(201, Value::Object(Map::from_iter([("limits".to_owned(), items)]))))
}

fn parse(id: String, mut body: Map<String, Value>) -> NewLimit {
    let project_id = take_text(&mut body, "project_id");
    let domain_id = take_text(&mut body, "domain_id");
    let change = wire::parse_change(body);
    NewLimit {
        id,
        service_id: change.service_id.unwrap_or_default(),
        region_id: change.region_id.flatten(),
        resource_name: change.resource_name.unwrap_or_default(),
        limit: Limit {
            registered_id: String::new(),
            project_id,
            domain_id,
            resource_limit: change.number.unwrap_or_default(),
            description: change.description.flatten(),
        },
    }
}

fn member(call: &Call<Identity>, snapshot: &Snapshot, limit: &Entry<Limit>) -> Result<Value> {
    let shown = shown(snapshot, limit).ok_or_else(|| missing(&limit.id))?;
    Ok(manners::member(call, "limits", "limit", shown))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("limit_id");
    let limit = snapshot.find::<Limit>(id)?;
    let mut target = own(&call);
    if let Some(limit) = &limit {
        target = target
            .with_some("target.limit.project_id", limit.project_id.clone())
            .with_some("target.limit.domain.id", limit.domain_id.clone())
            .with_some("target.limit.project.domain_id", domain_of(&snapshot, limit));
    }
    call.allow("identity:get_limit", &target)?;
    let limit = limit.ok_or_else(|| missing(id))?;
    Ok(Reply::ok(member(&call, &snapshot, &limit)?))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("limit_id").to_owned();
    let change = wire::parse_change(inner(call.input(&wire::UPDATE)?, "limit"));
    let owned = id.clone();
    call.context
        .state()
        .transact("limits::update", move |txn| {
            let done = txn.update::<Limit, ()>(&owned, |limit| {
                if let Some(number) = change.number {
                    limit.resource_limit = number;
                }
                if let Some(description) = &change.description {
                    limit.description.clone_from(description);
                }
                Ok(())
            })?;
            done.ok_or_else(|| missing(&owned))
        })
        .await?;
    let snapshot = call.context.state().fresh().await?;
    let limit = snapshot.get::<Limit>(&id).ok_or_else(|| missing(&id))?;
    Ok(Reply::ok(member(&call, &snapshot, &limit)?))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("limit_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("limits::delete", move |txn| actions::remove(txn, &owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing(&id)) }
}
