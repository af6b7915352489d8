//! `/policies`.

use base::Result;
use serde_json::{Map, Value, json};
use web::{Call, Card, Policy, Reply, Schema, validate::prop};

use super::record::PolicyBlob;
use crate::{
    Identity,
    manners::{self, inner, take_text},
    projects::wire::add_extra,
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

const BLOB: Schema = Schema::any_of(&[Schema::string(), Schema::object(&[]).open()]);
const KIND: Schema = Schema::string().max_len(255);
const CREATE: Schema = Schema::object(&[prop(
    "policy",
    Schema::object(&[prop("blob", BLOB).required(), prop("type", KIND).required()]).open(),
)
.required()]);
const UPDATE: Schema = Schema::object(&[prop(
    "policy",
    Schema::object(&[prop("blob", BLOB), prop("type", KIND)]).open().min_len(1),
)
.required()]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get("/policies", rule("identity:list_policies", CLOUD_READER), list),
        Card::post("/policies", rule("identity:create_policy", CLOUD_ADMIN), create),
        Card::get("/policies/{policy_id}", rule("identity:get_policy", CLOUD_READER), show),
        Card::patch("/policies/{policy_id}", rule("identity:update_policy", CLOUD_ADMIN), update),
        Card::delete("/policies/{policy_id}", rule("identity:delete_policy", CLOUD_ADMIN), delete),
    ]
}

fn shown(id: &str, policy: &PolicyBlob) -> Value {
    let mut shown = json!({"id": id, "blob": policy.blob, "type": policy.kind});
    add_extra(&mut shown, &policy.extra);
    shown
}

fn change(policy: &mut PolicyBlob, mut body: Map<String, Value>) {
    if let Some(blob) = body.shift_remove("blob") {
        policy.blob = blob;
    }
    if let Some(kind) = take_text(&mut body, "type") {
        policy.kind = kind;
    }
    body.shift_remove("links");
    manners::merge_extra(&mut policy.extra, body);
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> = snapshot.all::<PolicyBlob>().map(|p| shown(&p.id, &p)).collect();
    manners::list(&call, "policies", items, &["type"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut body = inner(call.input(&CREATE)?, "policy");
    body.shift_remove("id");
    let mut policy = PolicyBlob { blob: Value::Null, kind: String::new(), extra: Map::new() };
    change(&mut policy, body);
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), policy.clone());
    call.context
        .state()
        .transact("policies::create", move |txn| txn.create(&new_id, new.clone()))
        .await?;
    Ok(Reply::json(201, manners::member(&call, "policies", "policy", shown(&id, &policy))))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("policy_id");
    let policy = snapshot.find::<PolicyBlob>(id)?.ok_or_else(|| words::not_found("policy", id))?;
    Ok(Reply::ok(manners::member(&call, "policies", "policy", shown(id, &policy))))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("policy_id").to_owned();
    let mut body = inner(call.input(&UPDATE)?, "policy");
    manners::same_id(&mut body, &id)?;
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("policies::update", move |txn| {
            txn.update::<PolicyBlob, PolicyBlob>(&owned, |policy| {
                change(policy, body.clone());
                Ok(policy.clone())
            })
        })
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("policy", &id))?;
    Ok(Reply::ok(manners::member(&call, "policies", "policy", shown(&id, &changed))))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("policy_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("policies::delete", move |txn| txn.delete::<PolicyBlob>(&owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(words::not_found("policy", &id)) }
}
