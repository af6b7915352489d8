//! `/endpoints`.

use base::Result;
use serde_json::Value;
use web::{Call, Card, Policy, Reply};

use super::{actions, wire};
use crate::{
    Identity,
    catalog::{record::Endpoint, regions::api::check_id},
    manners::{self, inner},
    purge::record::Kind,
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get("/endpoints", rule("identity:list_endpoints", CLOUD_READER), list),
        Card::post("/endpoints", rule("identity:create_endpoint", CLOUD_ADMIN), create),
        Card::get("/endpoints/{endpoint_id}", rule("identity:get_endpoint", CLOUD_READER), show),
        Card::patch(
            "/endpoints/{endpoint_id}",
            rule("identity:update_endpoint", CLOUD_ADMIN),
            update,
        ),
        Card::delete(
            "/endpoints/{endpoint_id}",
            rule("identity:delete_endpoint", CLOUD_ADMIN),
            delete,
        ),
    ]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let found = match call.query.get("service_id") {
        Some(service) => snapshot.by::<Endpoint>("service", service),
        None => snapshot.all::<Endpoint>().collect(),
    };
    let items: Vec<Value> =
        found.iter().map(|endpoint| wire::show(&call.base_url, &endpoint.id, endpoint)).collect();
    manners::list(&call, "endpoints", items, &["interface", "service_id", "region_id", "region"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let (endpoint, make_region) = wire::parse(inner(call.input(&wire::CREATE)?, "endpoint"));
    if let Some(region) = &endpoint.region_id {
        check_id(region)?;
    }
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), endpoint.clone());
    call.context
        .state()
        .transact("endpoints::create", move |txn| {
            actions::create(txn, &new_id, new.clone(), make_region)
        })
        .await?;
    let shown = wire::show(&call.base_url, &id, &endpoint);
    Ok(Reply::json(201, manners::member(&call, "endpoints", "endpoint", shown)))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("endpoint_id");
    let endpoint =
        snapshot.find::<Endpoint>(id)?.ok_or_else(|| words::not_found("endpoint", id))?;
    let shown = wire::show(&call.base_url, &endpoint.id, &endpoint);
    Ok(Reply::ok(manners::member(&call, "endpoints", "endpoint", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("endpoint_id").to_owned();
    let mut body = inner(call.input(&wire::UPDATE)?, "endpoint");
    manners::same_id(&mut body, &id)?;
    let change = wire::parse_change(body);
    if let Some(Some(region)) = &change.region_id {
        check_id(region)?;
    }
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("endpoints::update", move |txn| actions::update(txn, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("endpoint", &id))?;
    let shown = wire::show(&call.base_url, &id, &changed);
    Ok(Reply::ok(manners::member(&call, "endpoints", "endpoint", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("endpoint_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("endpoints::delete", move |txn| actions::remove(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("endpoint", &id));
    }
    call.context.purge(Kind::Endpoint, &id).await;
    Ok(Reply::empty(204))
}
