//! `/allocations` and `/resource_providers/{uuid}/allocations`

use base::{Error, Result};
use web::{Card, Policy, Reply, Schema};

use super::{
    asked::{self, Asked, Words},
    wire::{self, POST, PUT},
};
use crate::{
    AllocationRecord, Placement, ProviderRecord,
    manners::{PlacementCall, dashed, dated, gives_json, input},
    policies::ADMIN_OR_SERVICE,
};

const MANY: Schema = POST.min_len(1);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const ONE: &str = "/allocations/{consumer_uuid}";
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    let of_provider_rule = rule("placement:resource_providers:allocations:list");
    vec![
        Card::post("/allocations", rule("placement:allocations:manage"), post).since("1.13"),
        Card::get(ONE, rule("placement:allocations:list"), of_consumer),
        Card::put(ONE, rule("placement:allocations:update"), put),
        Card::delete(ONE, rule("placement:allocations:delete"), delete),
        Card::get("/resource_providers/{uuid}/allocations", of_provider_rule, of_provider),
    ]
}

async fn of_consumer(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let record = snapshot.find::<AllocationRecord>(call.param("consumer_uuid"))?;
    let shown = wire::of_consumer(record.as_ref(), &snapshot, call.version);
    Ok(dated(Reply::ok(shown), &call, wire::newest(&record)))
}

async fn of_provider(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("uuid");
    let Some(provider) = snapshot.find::<ProviderRecord>(id)? else {
        return Err(Error::not_found(format!(
            "Resource provider '{id}' not found: No resource provider with uuid {id} found"
        )));
    };
    let records = snapshot.by::<AllocationRecord>("provider", id);
    let generation = provider.shown_generation(&snapshot, id);
    let shown = wire::of_provider(id, &records, generation, call.version);
    Ok(dated(Reply::ok(shown), &call, wire::newest(&records)))
}

async fn put(call: PlacementCall) -> Result<Reply> {
    let consumer = call.param("consumer_uuid");
    let Some(consumer) = dashed(consumer) else {
        return Err(Error::bad_request(format!("Malformed consumer_uuid: {consumer}")));
    };
    let body = input(&call, &PUT)?;
    let asked = [Asked::read(&consumer, &body, call.version)];
    let state = &call.context.state;
    state
        .transact("placement::allocations::put", |txn| asked::carry_out(txn, &asked, Words::One))
        .await?;
    Ok(Reply::empty(204))
}

async fn post(call: PlacementCall) -> Result<Reply> {
    let body = input(&call, &MANY)?;
    let consumers = body.as_object().into_iter().flatten();
    let all: Vec<Asked> =
        consumers.map(|(consumer, one)| Asked::read(consumer, one, call.version)).collect();
    let state = &call.context.state;
    state
        .transact("placement::allocations::post", |txn| asked::carry_out(txn, &all, Words::Many))
        .await?;
    Ok(Reply::empty(204))
}

async fn delete(call: PlacementCall) -> Result<Reply> {
    let state = &call.context.state;
    let consumer = call.param("consumer_uuid");
    state.transact("placement::allocations::delete", |txn| asked::delete(txn, consumer)).await?;
    Ok(Reply::empty(204))
}
