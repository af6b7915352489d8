//! `/resource_providers/{uuid}/aggregates`

use base::{Result, Set};
use serde_json::{Value, json};
use web::{Card, Policy, Reply, Request, Schema, v, validate::prop};

use crate::{
    Placement, ProviderRecord,
    manners::{PlacementCall, dashed, dated, gives_json, has_json, input, number},
    policies::ADMIN_OR_SERVICE,
    providers::{self, no_provider},
};

const IDS: Schema = Schema::array(&Schema::uuid()).unique();
const WITH_GENERATION: Schema = Schema::object(&[
    prop("aggregates", IDS).required(),
    prop("resource_provider_generation", Schema::integer()).required(),
]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const PATH: &str = "/resource_providers/{uuid}/aggregates";
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    vec![
        Card::get(PATH, rule("placement:resource_providers:aggregates:list"), list).since("1.1"),
        Card::put(PATH, rule("placement:resource_providers:aggregates:update"), set).since("1.1"),
    ]
}

fn view(request: &Request, aggregates: &[String], generation: u64) -> Reply {
    let mut body = json!({"aggregates": aggregates});
    if request.version >= v(1, 19) {
        body["resource_provider_generation"] = generation.into();
    }
    dated(Reply::ok(body), request, None)
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("uuid");
    let provider = snapshot.find::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    Ok(view(&call, &provider.aggregates, provider.shown_generation(&snapshot, id)))
}

async fn set(call: PlacementCall) -> Result<Reply> {
    has_json(&call)?;
    let found = call.context.state.fresh().await?.find::<ProviderRecord>(call.param("uuid"))?;
    found.ok_or_else(|| no_provider(call.param("uuid")))?;
    let guarded = call.version >= v(1, 19);
    let body = input(&call, if guarded { &WITH_GENERATION } else { &IDS })?;
    let list = if guarded { body.get("aggregates") } else { Some(&body) };
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let asked: Vec<String> = list.iter().filter_map(Value::as_str).filter_map(dashed).collect();
    let ids: Set<String> = asked.iter().cloned().collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let generation = guarded.then(|| number(&body, "resource_provider_generation"));
    let state = &call.context.state;
    let id = call.param("uuid").to_owned();
    let generation = state
        .transact("placement::providers::set_aggregates", |txn| {
            providers::actions::set_aggregates(txn, &id, generation, ids.clone())
        })
        .await?;
    Ok(view(&call, &asked, generation))
}
