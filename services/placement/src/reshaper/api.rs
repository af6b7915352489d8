//! `/reshaper`

use base::{Map, Result};
use serde_json::Value;
use web::{Card, Policy, Reply, Schema, validate::prop};

use super::actions::{self, Shape};
use crate::{
    Placement,
    allocations::{POST, asked::Asked},
    inventories::wire,
    manners::{PlacementCall, UUID, input, number},
    policies::SERVICE,
};

const RESHAPE: Schema = Schema::object(&[
    prop("inventories", Schema::map(UUID, &wire::ALL).min_len(1)).required(),
    prop("allocations", POST).required(),
]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    let rule = Policy::Rule("placement:reshaper:reshape", SERVICE);
    vec![Card::post("/reshaper", rule, reshape).since("1.30")]
}

fn object<'v>(body: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    body.get(name).and_then(Value::as_object).into_iter().flatten()
}

async fn reshape(call: PlacementCall) -> Result<Reply> {
    let body = input(&call, &RESHAPE)?;
    let mut shapes = Vec::new();
    for (provider, value) in object(&body, "inventories") {
        let mut inventories = Map::new();
        for (class, one) in object(value, "inventories") {
            let inventory = wire::read(one)?;
            wire::check(&inventory, class, provider, call.version, "update")?;
            inventories.insert(class.clone(), inventory);
        }
        let generation = number(value, "resource_provider_generation");
        shapes.push(Shape { provider: provider.clone(), generation, inventories });
    }
    let all: Vec<Asked> = object(&body, "allocations")
        .map(|(consumer, one)| Asked::read(consumer, one, call.version))
        .collect();
    let state = &call.context.state;
    state
        .transact("placement::reshaper::reshape", |txn| actions::reshape(txn, &shapes, &all))
        .await?;
    Ok(Reply::empty(204))
}
