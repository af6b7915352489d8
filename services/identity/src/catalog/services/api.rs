//! `/services`.

use base::Result;
use serde_json::Value;
use web::{Call, Card, Policy, Reply};

use super::{actions, wire};
use crate::{
    Identity,
    catalog::record::Service,
    manners::{self, inner},
    purge::record::Kind,
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get("/services", rule("identity:list_services", CLOUD_READER), list),
        Card::post("/services", rule("identity:create_service", CLOUD_ADMIN), create),
        Card::get("/services/{service_id}", rule("identity:get_service", CLOUD_READER), show),
        Card::patch("/services/{service_id}", rule("identity:update_service", CLOUD_ADMIN), update),
        Card::delete(
            "/services/{service_id}",
            rule("identity:delete_service", CLOUD_ADMIN),
            delete,
        ),
    ]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> =
        snapshot.all::<Service>().map(|service| wire::show(&service.id, &service)).collect();
    manners::list(&call, "services", items, &["type", "name"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let service = wire::parse(inner(call.input(&wire::CREATE)?, "service"));
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), service.clone());
    call.context
        .state()
        .transact("services::create", move |txn| txn.create(&new_id, new.clone()))
        .await?;
    let shown = wire::show(&id, &service);
    Ok(Reply::json(201, manners::member(&call, "services", "service", shown)))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("service_id");
    let service = snapshot.find::<Service>(id)?.ok_or_else(|| words::not_found("service", id))?;
    let shown = wire::show(&service.id, &service);
    Ok(Reply::ok(manners::member(&call, "services", "service", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("service_id").to_owned();
    let mut body = inner(call.input(&wire::UPDATE)?, "service");
    manners::same_id(&mut body, &id)?;
    let change = wire::parse_change(body);
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("services::update", move |txn| actions::update(txn, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("service", &id))?;
    let shown = wire::show(&id, &changed);
    Ok(Reply::ok(manners::member(&call, "services", "service", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("service_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("services::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("service", &id));
    }
    call.context.purge(Kind::Service, &id).await;
    Ok(Reply::empty(204))
}
