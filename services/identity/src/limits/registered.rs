//! `/registered_limits`.

use base::Result;
use serde_json::{Map, Value};
use web::{Call, Card, Policy, Reply};

use super::{actions, record::RegisteredLimit, wire};
use crate::{
    Identity,
    manners::{self, inner},
    rules::CLOUD_ADMIN,
};

const ONE: &str = "/registered_limits/{registered_limit_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get("/registered_limits", rule("identity:list_registered_limits", ""), list),
        Card::post(
            "/registered_limits",
            rule("identity:create_registered_limits", CLOUD_ADMIN),
            create,
        ),
        Card::get(ONE, rule("identity:get_registered_limit", ""), show),
        Card::patch(ONE, rule("identity:update_registered_limit", CLOUD_ADMIN), update),
        Card::delete(ONE, rule("identity:delete_registered_limit", CLOUD_ADMIN), delete),
    ]
}

fn missing(id: &str) -> base::Error {
    base::Error::not_found(format!("Could not find registered limit for {id}."))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> =
        snapshot.all::<RegisteredLimit>().map(|l| wire::show_registered(&l.id, &l)).collect();
    manners::list(&call, "registered_limits", items, &["service_id", "region_id", "resource_name"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut body = call.input(&wire::CREATE_REGISTERED)?;
    let mut limits = Vec::new();
    if let Some(Value::Array(given)) = body.get_mut("registered_limits").map(Value::take) {
        for limit in given {
            if let Value::Object(limit) = limit {
                limits.push((call.world.hex_id(), wire::parse_registered(limit)));
            }
        }
    }
    let new = limits.clone();
    call.context
        .state()
        .transact("limits::register", move |txn| actions::register(txn, &new))
        .await?;
    let shown = limits.iter().map(|(id, limit)| {
        let mut shown = wire::show_registered(id, limit);
        manners::link(&call, "registered_limits", &mut shown);
        shown
    });
    let shown = Value::Array(shown.collect());
    Ok(Reply::json(201, Value::Object(Map::from_iter([("registered_limits".to_owned(), shown)]))))
}

fn member(call: &Call<Identity>, id: &str, limit: &RegisteredLimit) -> Value {
    let shown = wire::show_registered(id, limit);
    manners::member(call, "registered_limits", "registered_limit", shown)
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("registered_limit_id");
    let limit = snapshot.find::<RegisteredLimit>(id)?.ok_or_else(|| missing(id))?;
    Ok(Reply::ok(member(&call, id, &limit)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("registered_limit_id").to_owned();
    let change =
        wire::parse_change(inner(call.input(&wire::UPDATE_REGISTERED)?, "registered_limit"));
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("limits::update_registered", move |txn| {
            actions::update_registered(txn, &owned, change.clone())
        })
        .await?;
    let changed = changed.ok_or_else(|| missing(&id))?;
    Ok(Reply::ok(member(&call, &id, &changed)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("registered_limit_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("limits::unregister", move |txn| actions::unregister(txn, &owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing(&id)) }
}
