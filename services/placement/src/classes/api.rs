//! `/resource_classes`

use base::{Error, Result};
use serde_json::{Value, json};
use web::{Card, Policy, Reply, Request, Schema, v, validate, validate::prop};

use super::{ClassRecord, actions, is_known};
use crate::{
    Placement,
    manners::{CUSTOM, PlacementCall, dated, gives_json, input, path, text},
    policies::ADMIN_OR_SERVICE,
    standard,
};

const NAMED: Schema =
    Schema::object(&[prop("name", Schema::string().max_len(255).pattern(CUSTOM)).required()]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    let rule = |name| Policy::Rule(name, ADMIN_OR_SERVICE);
    vec![
        Card::get("/resource_classes", rule("placement:resource_classes:list"), list).since("1.2"),
        Card::post("/resource_classes", rule("placement:resource_classes:create"), create)
            .since("1.2"),
        Card::get("/resource_classes/{name}", rule("placement:resource_classes:show"), show)
            .since("1.2"),
        Card::put("/resource_classes/{name}", rule("placement:resource_classes:update"), update)
            .since("1.2"),
        Card::delete("/resource_classes/{name}", rule("placement:resource_classes:delete"), delete)
            .since("1.2"),
    ]
}

fn view(request: &Request, name: &str) -> Value {
    let href = path(request, &format!("/resource_classes/{name}"));
    json!({"name": name, "links": [{"rel": "self", "href": href}]})
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let custom: Vec<_> = snapshot.all::<ClassRecord>().collect();
    let newest = custom.iter().map(|class| class.created_at).max();
    let names = standard::CLASSES.iter().copied().chain(custom.iter().map(|class| &*class.id));
    let classes: Vec<Value> = names.map(|name| view(&call, name)).collect();
    Ok(dated(Reply::ok(json!({"resource_classes": classes})), &call, newest))
}

async fn create(call: PlacementCall) -> Result<Reply> {
    let body = input(&call, &NAMED)?;
    let name = text(&body, "name").unwrap_or_default().to_owned();
    let state = &call.context.state;
    let made =
        state.transact("placement::classes::create", |txn| actions::ensure(txn, &name)).await?;
    if !made {
        return Err(Error::conflict(format!("Conflicting resource class already exists: {name}")));
    }
    let location = call.link(&format!("/resource_classes/{name}"));
    Ok(Reply::empty(201).header("location", location))
}

async fn show(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let name = call.param("name");
    let snapshot = call.context.state.fresh().await?;
    if !is_known(&snapshot, name) {
        return Err(actions::no_class(name));
    }
    let made = snapshot.get::<ClassRecord>(name).map(|class| class.created_at);
    Ok(dated(Reply::ok(view(&call, name)), &call, made))
}

/// Up to 1.6 a new name comes in the body; from 1.7 on the one in the path is made if it is not there.
async fn update(call: PlacementCall) -> Result<Reply> {
    let state = &call.context.state;
    let name = call.param("name").to_owned();
    if call.version < v(1, 7) {
        let body = input(&call, &NAMED)?;
        let to = text(&body, "name").unwrap_or_default().to_owned();
        state
            .transact("placement::classes::rename", |txn| actions::rename(txn, &name, &to))
            .await?;
        return Ok(Reply::ok(view(&call, &to)));
    }
    let asked = json!({"name": name});
    validate::check(&NAMED, &asked, call.version, validate::Style::Placement)?;
    let made =
        state.transact("placement::classes::ensure", |txn| actions::ensure(txn, &name)).await?;
    let location = call.link(&format!("/resource_classes/{name}"));
    Ok(Reply::empty(if made { 201 } else { 204 }).header("location", location))
}

async fn delete(call: PlacementCall) -> Result<Reply> {
    let name = call.param("name").to_owned();
    let state = &call.context.state;
    state.transact("placement::classes::delete", |txn| actions::delete(txn, &name)).await?;
    Ok(Reply::empty(204))
}
