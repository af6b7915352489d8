//! `/traits` and `/resource_providers/{uuid}/traits`

use base::{Error, Result, Set};
use serde_json::{Value, json};
use web::{Card, Policy, Reply, Request, Schema, validate::prop};

use super::{TraitRecord, actions, is_known};
use crate::{
    Placement, ProviderRecord,
    manners::{PlacementCall, check_query, dated, gives_json, input, is_custom, number},
    policies::ADMIN_OR_SERVICE,
    providers, standard,
};

const LIST: Schema =
    Schema::object(&[prop("name", Schema::string()), prop("associated", Schema::string())]);

const SET: Schema = Schema::object(&[
    prop("traits", Schema::array(&Schema::string().len(1, 255))).required(),
    prop("resource_provider_generation", Schema::integer()).required(),
]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const OF_PROVIDER: &str = "/resource_providers/{uuid}/traits";
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    vec![
        Card::get("/traits", rule("placement:traits:list"), list).since("1.6"),
        Card::get("/traits/{name}", rule("placement:traits:show"), show).since("1.6"),
        Card::put("/traits/{name}", rule("placement:traits:update"), put).since("1.6"),
        Card::delete("/traits/{name}", rule("placement:traits:delete"), delete).since("1.6"),
        Card::get(OF_PROVIDER, rule("placement:resource_providers:traits:list"), of_provider)
            .since("1.6"),
        Card::put(OF_PROVIDER, rule("placement:resource_providers:traits:update"), set)
            .since("1.6"),
        Card::delete(OF_PROVIDER, rule("placement:resource_providers:traits:delete"), clear)
            .since("1.6"),
    ]
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    check_query(&call, &LIST)?;
    let wanted: Box<dyn Fn(&str) -> bool + Send> = match call.query.get("name") {
        None => Box::new(|_| true),
        Some(text) => match text.split_once(':') {
            Some(("in", names)) => {
                let names: Set<String> = names.split(',').map(str::to_owned).collect();
                Box::new(move |name| names.contains(name))
            }
            Some(("startswith", start)) => {
                let start = start.to_owned();
                Box::new(move |name| name.starts_with(&start))
            }
            Some(_) => Box::new(|_| true),
            None => {
                return Err(Error::bad_request(format!(
                    "Badly formatted name parameter. Expected name query string parameter in form: \
                     ?name=[in|startswith]:[name1,name2|prefix]. Got: \"{text}\""
                )));
            }
        },
    };
    let associated = match call.query.get("associated").map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => {
            return Err(Error::bad_request(
                "The query parameter \"associated\" only accepts \"true\" or \"false\"",
            ));
        }
    };
    let snapshot = call.context.state.fresh().await?;
    let mut used = Set::new();
    if associated.is_some() {
        for provider in snapshot.all::<ProviderRecord>() {
            for name in provider.traits.iter().filter(|name| wanted(name)) {
                if !used.contains(name) {
                    used.insert(name.clone());
                }
            }
        }
    }
    let fits = |name: &str| {
        wanted(name) && associated.is_none_or(|associated| used.contains(name) == associated)
    };
    let mut newest = None;
    let mut names: Vec<String> =
        standard::TRAITS.iter().filter(|name| fits(name)).map(|name| (*name).to_owned()).collect();
    for record in snapshot.all::<TraitRecord>().filter(|record| fits(&record.id)) {
        newest = newest.max(Some(record.created_at));
        names.push(record.id.to_string());
    }
    Ok(dated(Reply::ok(json!({"traits": names})), &call, newest))
}

async fn show(call: PlacementCall) -> Result<Reply> {
    let name = call.param("name");
    let snapshot = call.context.state.fresh().await?;
    if !is_known(&snapshot, name) {
        return Err(actions::no_trait(name));
    }
    let made = snapshot.get::<TraitRecord>(name).map(|record| record.created_at);
    Ok(dated(Reply::empty(204), &call, made))
}

async fn put(call: PlacementCall) -> Result<Reply> {
    let name = call.param("name").to_owned();
    if !is_custom(&name) {
        return Err(Error::bad_request(
            "The trait is invalid. A valid trait must be no longer than 255 characters, start with the \
             prefix \"CUSTOM_\" and use following characters: \"A\"-\"Z\", \"0\"-\"9\" and \"_\"",
        ));
    }
    let state = &call.context.state;
    let made =
        state.transact("placement::traits::ensure", |txn| actions::ensure(txn, &name)).await?;
    let created = state.known().get::<TraitRecord>(&name).map(|record| record.created_at);
    let reply = Reply::empty(if made { 201 } else { 204 })
        .header("location", call.link(&format!("/traits/{name}")));
    Ok(dated(reply, &call, created))
}

async fn delete(call: PlacementCall) -> Result<Reply> {
    let name = call.param("name").to_owned();
    let state = &call.context.state;
    state.transact("placement::traits::delete", |txn| actions::delete(txn, &name)).await?;
    Ok(Reply::empty(204))
}

fn view(
    request: &Request,
    traits: &[String],
    generation: u64,
    snapshot: &state::Snapshot,
) -> Reply {
    let made = |name: &String| snapshot.get::<TraitRecord>(name).map(|record| record.created_at);
    let newest = traits.iter().filter_map(made).max();
    let body = json!({"traits": traits, "resource_provider_generation": generation});
    dated(Reply::ok(body), request, newest)
}

async fn of_provider(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("uuid");
    let Some(provider) = snapshot.find::<ProviderRecord>(id)? else {
        return Err(Error::not_found(format!(
            "No resource provider with uuid {id} found: No resource provider with uuid {id} found"
        )));
    };
    let generation = provider.shown_generation(&snapshot, id);
    Ok(view(&call, &provider.traits, generation, &snapshot))
}

async fn set(call: PlacementCall) -> Result<Reply> {
    let body = input(&call, &SET)?;
    let generation = number(&body, "resource_provider_generation");
    let names = body.get("traits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Set<String> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let state = &call.context.state;
    let id = call.param("uuid").to_owned();
    let generation = state
        .transact("placement::providers::set_traits", |txn| {
            let names = names.iter().cloned().collect();
            providers::actions::set_traits(txn, &id, generation, names)
        })
        .await?;
    let names: Vec<String> = names.into_iter().collect();
    Ok(view(&call, &names, generation, &state.known()))
}

async fn clear(call: PlacementCall) -> Result<Reply> {
    let state = &call.context.state;
    let id = call.param("uuid").to_owned();
    state
        .transact("placement::providers::clear_traits", |txn| {
            let generation = providers::actions::generation(txn, &id)?;
            providers::actions::set_traits(txn, &id, Some(generation), Vec::new())
        })
        .await?;
    Ok(Reply::empty(204))
}
