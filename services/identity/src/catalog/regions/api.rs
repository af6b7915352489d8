//! `/regions`.

use base::{Error, Result};
use serde_json::Value;
use web::{Call, Card, Policy, Reply};

use super::{actions, wire};
use crate::{
    Identity,
    catalog::record::Region,
    manners::{self, inner, take_text},
    rules::CLOUD_ADMIN,
    words,
};

const ANYBODY: &str = "";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let create_policy = Policy::Rule("identity:create_region", CLOUD_ADMIN);
    let update_policy = Policy::Rule("identity:update_region", CLOUD_ADMIN);
    let delete_policy = Policy::Rule("identity:delete_region", CLOUD_ADMIN);
    vec![
        Card::get("/regions", Policy::Rule("identity:list_regions", ANYBODY), list),
        Card::post("/regions", create_policy, create),
        Card::get("/regions/{region_id}", Policy::Rule("identity:get_region", ANYBODY), show),
        Card::put("/regions/{region_id}", create_policy, create_at),
        Card::patch("/regions/{region_id}", update_policy, update),
        Card::delete("/regions/{region_id}", delete_policy, delete),
    ]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> =
        snapshot.all::<Region>().map(|region| wire::show(&region.id, &region)).collect();
    manners::list(&call, "regions", items, &["parent_region_id"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    make(call, None).await
}

async fn create_at(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("region_id").to_owned();
    make(call, Some(id)).await
}

async fn make(call: Call<Identity>, path: Option<String>) -> Result<Reply> {
    let mut body = inner(call.input(&wire::CREATE)?, "region");
    let wanted = take_text(&mut body, "id").filter(|id| !id.is_empty());
    if let (Some(path), Some(wanted)) = (&path, &wanted)
        && path != wanted
    {
        return Err(Error::conflict(format!(
            "Conflict: the region's id in the URL, {path}, is not the one in the body, {wanted}"
        )));
    }
    let id = path.or(wanted).unwrap_or_else(|| call.world.hex_id());
    check_id(&id)?;
    let region = wire::parse(body);
    let (new_id, new) = (id.clone(), region.clone());
    call.context
        .state()
        .transact("regions::create", move |txn| actions::create(txn, &new_id, new.clone()))
        .await?;
    let shown = wire::show(&id, &region);
    Ok(Reply::json(201, manners::member(&call, "regions", "region", shown)))
}

/// Clients choose ids; the store's keys are printable.
pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.is_empty() || id.chars().count() > 255 || id.chars().any(char::is_control) {
        return Err(Error::bad_request(
            "The ID of a region must have between 1 and 255 printable characters.",
        ));
    }
    Ok(())
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("region_id");
    let region = snapshot.find::<Region>(id)?.ok_or_else(|| words::not_found("region", id))?;
    let shown = wire::show(&region.id, &region);
    Ok(Reply::ok(manners::member(&call, "regions", "region", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("region_id").to_owned();
    let mut body = inner(call.input(&wire::UPDATE)?, "region");
    manners::same_id(&mut body, &id)?;
    let change = wire::parse_change(body);
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("regions::update", move |txn| actions::update(txn, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("region", &id))?;
    let shown = wire::show(&id, &changed);
    Ok(Reply::ok(manners::member(&call, "regions", "region", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("region_id").to_owned();
    loop {
        let owned = id.clone();
        let step = call
            .context
            .state()
            .transact("regions::delete", move |txn| actions::delete(txn, &owned))
            .await?;
        match step {
            None => return Err(words::not_found("region", &id)),
            Some(true) => return Ok(Reply::empty(204)),
            Some(false) => {}
        }
    }
}
