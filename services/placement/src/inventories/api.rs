//! `/resource_providers/{uuid}/inventories`

use base::{Error, Kind, Map, Result};
use serde_json::Value;
use web::{Card, Policy, Reply, v};

use super::{
    Inventory, actions,
    wire::{self, ADD, ALL, REPLACE},
};
use crate::{
    Placement, ProviderRecord, classes,
    manners::{PlacementCall, code, dated, gives_json, has_json, input, number, text},
    policies::ADMIN_OR_SERVICE,
    providers::no_provider,
};

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const ALL: &str = "/resource_providers/{uuid}/inventories";
    const ONE: &str = "/resource_providers/{uuid}/inventories/{resource_class}";
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    let delete = rule("placement:resource_providers:inventories:delete");
    let update = rule("placement:resource_providers:inventories:update");
    vec![
        Card::get(ALL, rule("placement:resource_providers:inventories:list"), list),
        Card::post(ALL, rule("placement:resource_providers:inventories:create"), add),
        Card::put(ALL, update, set),
        Card::delete(ALL, delete, clear),
        Card::get(ONE, rule("placement:resource_providers:inventories:show"), show),
        Card::put(ONE, update, replace),
        Card::delete(ONE, delete, remove),
    ]
}

/// 404 when there is no such provider: said before the body is looked at.
async fn known(call: &PlacementCall) -> Result<()> {
    has_json(call)?;
    let id = call.param("uuid");
    match call.context.state.fresh().await?.find::<ProviderRecord>(id)? {
        Some(_) => Ok(()),
        None => Err(no_provider(id)),
    }
}

fn absent(id: &str) -> Error {
    Error::not_found(format!(
        "No resource provider with uuid {id} found : No resource provider with uuid {id} found"
    ))
}

fn all(call: &PlacementCall, inventories: &Map<String, Inventory>, generation: u64) -> Reply {
    let known = call.context.state.known().get::<ProviderRecord>(call.param("uuid"));
    let modified = known.map(|provider| provider.updated_at);
    dated(Reply::ok(wire::show_all(inventories, generation)), call, modified)
}

fn one(call: &PlacementCall, status: u16, inventory: &Inventory, generation: u64) -> Reply {
    let mut shown = wire::show(inventory);
    if generation > 0 {
        shown["resource_provider_generation"] = generation.into();
    }
    let known = call.context.state.known().get::<ProviderRecord>(call.param("uuid"));
    let modified = known.map(|provider| provider.updated_at);
    dated(Reply::json(status, shown), call, modified)
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("uuid");
    let provider = snapshot.find::<ProviderRecord>(id)?.ok_or_else(|| absent(id))?;
    Ok(all(&call, &provider.inventories, provider.shown_generation(&snapshot, id)))
}

async fn show(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let (id, class) = (call.param("uuid"), call.param("resource_class"));
    let provider = snapshot.find::<ProviderRecord>(id)?.ok_or_else(|| absent(id))?;
    let Some(inventory) = provider.inventories.get(class) else {
        return Err(Error::not_found(format!("No inventory of class {class} for {id}")));
    };
    Ok(one(&call, 200, inventory, provider.shown_generation(&snapshot, id)))
}

async fn add(call: PlacementCall) -> Result<Reply> {
    known(&call).await?;
    let body = input(&call, &ADD)?;
    let id = call.param("uuid");
    let class = text(&body, "resource_class").unwrap_or_default();
    let inventory = wire::read(&body)?;
    wire::check(&inventory, class, id, call.version, "create")?;
    let state = &call.context.state;
    let (generation, inventory) = state
        .transact("placement::inventories::add", |txn| {
            let generation = actions::add(txn, id, class, inventory.clone())?;
            Ok((generation, stored(txn, id, class, &inventory)?))
        })
        .await?;
    let location = call.link(&format!("/resource_providers/{id}/inventories/{class}"));
    Ok(one(&call, 201, &inventory, generation).header("location", location))
}

/// The inventory as this transaction leaves it.
fn stored(txn: &mut state::Txn, id: &str, class: &str, asked: &Inventory) -> Result<Inventory> {
    let provider = txn.get::<ProviderRecord>(id)?;
    let own = provider.and_then(|provider| provider.inventories.get(class).cloned());
    Ok(own.unwrap_or_else(|| asked.clone()))
}

async fn set(call: PlacementCall) -> Result<Reply> {
    known(&call).await?;
    let body = input(&call, &ALL)?;
    let id = call.param("uuid");
    let given = number(&body, "resource_provider_generation");
    let mut inventories = Map::new();
    for (class, value) in body.get("inventories").and_then(Value::as_object).into_iter().flatten() {
        inventories.insert(class.clone(), wire::read(value)?);
    }
    let state = &call.context.state;
    let (generation, inventories) = state
        .transact("placement::inventories::set", |txn| {
            actions::check_generation(txn, id, given)?;
            for (class, inventory) in &inventories {
                wire::check(inventory, class, id, call.version, "update")?;
            }
            if let Some(class) = inventories.keys().find(|class| !classes::is_known(txn, class)) {
                return Err(Error::bad_request(format!(
                    "Unknown resource class in inventory for resource provider {id}: No such resource \
                     class {class}."
                )));
            }
            let generation = actions::set(txn, id, inventories.clone())?;
            let stored = txn.get::<ProviderRecord>(id)?;
            Ok((generation, stored.map(|stored| stored.inventories.clone()).unwrap_or_default()))
        })
        .await?;
    Ok(all(&call, &inventories, generation))
}

async fn clear(call: PlacementCall) -> Result<Reply> {
    if call.version < v(1, 5) {
        return Err(Error::new(
            Kind::MethodNotAllowed,
            "The method specified is not allowed for this resource.",
        ));
    }
    let id = call.param("uuid");
    let state = &call.context.state;
    state
        .transact("placement::inventories::clear", |txn| {
            actions::set(txn, id, Map::new()).map_err(|error| match error.code() {
                Some(code::INVENTORY_INUSE) => {
                    let text = error.message().trim_start_matches("update conflict: ");
                    Error::conflict(text).with_code(code::INVENTORY_INUSE)
                }
                _ => error,
            })
        })
        .await?;
    Ok(Reply::empty(204))
}

async fn replace(call: PlacementCall) -> Result<Reply> {
    known(&call).await?;
    let body = input(&call, &REPLACE)?;
    let (id, class) = (call.param("uuid"), call.param("resource_class"));
    let given = number(&body, "resource_provider_generation");
    let inventory = wire::read(&body)?;
    let state = &call.context.state;
    let (generation, inventory) = state
        .transact("placement::inventories::replace", |txn| {
            actions::check_generation(txn, id, given)?;
            wire::check(&inventory, class, id, call.version, "update")?;
            let generation = actions::replace(txn, id, class, inventory.clone())?;
            Ok((generation, stored(txn, id, class, &inventory)?))
        })
        .await?;
    Ok(one(&call, 200, &inventory, generation))
}

async fn remove(call: PlacementCall) -> Result<Reply> {
    let (id, class) = (call.param("uuid"), call.param("resource_class"));
    let state = &call.context.state;
    state.transact("placement::inventories::remove", |txn| actions::remove(txn, id, class)).await?;
    Ok(Reply::empty(204))
}
