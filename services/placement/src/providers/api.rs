//! `/resource_providers`

use base::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use state::Snapshot;
use web::{Card, Policy, Reply, Request, Schema, v, validate::prop};

use super::{
    ProviderRecord, actions,
    filter::Filter,
    no_provider,
    wire::{View, view},
};
use crate::{
    Placement,
    manners::{PlacementCall, dashed, dated, gives_json, has_json, input, text},
    policies::ADMIN_OR_SERVICE,
};

const NAME: Schema = Schema::string().max_len(200);
const PARENT: Schema = Schema::uuid().nullable();
const CREATE: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("uuid", Schema::uuid()),
    prop("parent_provider_uuid", PARENT).since("1.14"),
]);
const UPDATE: Schema = Schema::object(&[
    prop("name", NAME).required(),
    prop("parent_provider_uuid", PARENT).since("1.14"),
]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const ONE: &str = "/resource_providers/{uuid}";
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    vec![
        Card::get("/resource_providers", rule("placement:resource_providers:list"), list),
        Card::post("/resource_providers", rule("placement:resource_providers:create"), create),
        Card::get(ONE, rule("placement:resource_providers:show"), show),
        Card::put(ONE, rule("placement:resource_providers:update"), update),
        Card::delete(ONE, rule("placement:resource_providers:delete"), delete),
    ]
}

#[derive(Serialize)]
struct List<'v> {
    resource_providers: Vec<View<'v>>,
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let filter = Filter::read(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let providers = filter.apply(&snapshot)?;
    let newest = providers.iter().map(|provider| provider.updated_at).max();
    let resource_providers = providers.iter().map(|one| view(&call, one, &snapshot)).collect();
    Ok(dated(Reply::rendered(200, &List { resource_providers })?, &call, newest))
}

/// The provider as it is in `snapshot`.
fn shown(request: &Request, id: &str, snapshot: &Snapshot) -> Result<Reply> {
    let provider = snapshot.find::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let reply = Reply::rendered(200, &view(request, &provider, snapshot))?;
    Ok(dated(reply, request, Some(provider.updated_at)))
}

async fn create(call: PlacementCall) -> Result<Reply> {
    let body = input(&call, &CREATE)?;
    let name = text(&body, "name").unwrap_or_default();
    let id = text(&body, "uuid").and_then(dashed);
    let id = id.unwrap_or_else(|| call.world.uuid().to_string());
    let parent = text(&body, "parent_provider_uuid").and_then(dashed);
    let state = &call.context.state;
    state
        .transact("placement::providers::create", |txn| {
            actions::create(txn, &id, name, parent.as_deref())
        })
        .await?;
    let location = call.link(&format!("/resource_providers/{id}"));
    if call.version < v(1, 20) {
        return Ok(Reply::empty(201).header("location", location));
    }
    Ok(shown(&call, &id, &state.known())?.header("location", location))
}

async fn show(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    shown(&call, call.param("uuid"), &snapshot)
}

async fn update(call: PlacementCall) -> Result<Reply> {
    has_json(&call)?;
    let state = &call.context.state;
    let id = call.param("uuid");
    // Who asks for something that is not there is told so before the body is looked at.
    if state.fresh().await?.find::<ProviderRecord>(id)?.is_none() {
        return Err(no_provider(id));
    }
    let body = input(&call, &UPDATE)?;
    let name = text(&body, "name").unwrap_or_default();
    let parent = match body.get("parent_provider_uuid") {
        None => None,
        Some(Value::String(id)) => Some(dashed(id)),
        Some(_) => Some(None),
    };
    if name.is_empty() {
        return Err(Error::bad_request(format!(
            "Unable to save resource provider {id}: a name is required."
        )));
    }
    let reparenting = call.version >= v(1, 37);
    state
        .transact("placement::providers::update", |txn| {
            let parent = parent.as_ref().map(Option::as_deref);
            actions::update(txn, id, name, parent, reparenting)
        })
        .await?;
    shown(&call, id, &state.known())
}

async fn delete(call: PlacementCall) -> Result<Reply> {
    let state = &call.context.state;
    let id = call.param("uuid");
    state.transact("placement::providers::delete", |txn| actions::delete(txn, id)).await?;
    Ok(Reply::empty(204))
}
