//! `/OS-OAUTH1/consumers`.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use web::{Call, Card, Policy, Reply, Schema, validate::prop};

use super::record::Consumer;
use crate::{
    Identity,
    manners::{self, inner, take_nullable},
    projects::wire::add_extra,
    rules::{CLOUD_ADMIN, CLOUD_READER},
};

const TEXT: Schema = Schema::string().nullable();
const CREATE: Schema =
    Schema::object(&[
        prop("consumer", Schema::object(&[prop("description", TEXT)]).open()).required()
    ]);
const UPDATE: Schema = Schema::object(&[prop(
    "consumer",
    Schema::object(&[prop("description", TEXT)]).open().min_len(1),
)
.required()]);
const ALL: &str = "/OS-OAUTH1/consumers";
const ONE: &str = "/OS-OAUTH1/consumers/{consumer_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get(ALL, rule("identity:list_consumers", CLOUD_READER), list),
        Card::post(ALL, rule("identity:create_consumer", CLOUD_ADMIN), create),
        Card::get(ONE, rule("identity:get_consumer", CLOUD_READER), show),
        Card::patch(ONE, rule("identity:update_consumer", CLOUD_ADMIN), update),
        Card::delete(ONE, rule("identity:delete_consumer", CLOUD_ADMIN), delete),
    ]
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("Consumer not found: {id}."))
}

fn shown(id: &str, consumer: &Consumer) -> Value {
    let mut shown = json!({"id": id, "description": consumer.description});
    add_extra(&mut shown, &consumer.extra);
    shown
}

fn member(call: &Call<Identity>, shown: Value) -> Value {
    manners::member(call, "OS-OAUTH1/consumers", "consumer", shown)
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> = snapshot.all::<Consumer>().map(|c| shown(&c.id, &c)).collect();
    manners::list(&call, "OS-OAUTH1/consumers", items, &[])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut body = inner(call.input(&CREATE)?, "consumer");
    for ours in ["id", "secret", "links"] {
        body.shift_remove(ours);
    }
    let (id, secret) = (call.world.hex_id(), call.world.hex_id());
    let place = format!("identity.consumers/{id}");
    let consumer = Consumer {
        description: take_nullable(&mut body, "description").flatten(),
        secret: call.context.sealer().seal(&place, "secret", secret.as_bytes())?,
        extra: Map::new(),
    };
    let consumer = Consumer { extra: body, ..consumer };
    let (new_id, new) = (id.clone(), consumer.clone());
    call.context
        .state()
        .transact("consumers::create", move |txn| txn.create(&new_id, new.clone()))
        .await?;
    let mut shown = shown(&id, &consumer);
    // Once, as the real service does.
    shown["secret"] = json!(secret);
    Ok(Reply::json(201, member(&call, shown)))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("consumer_id");
    let consumer = snapshot.find::<Consumer>(id)?.ok_or_else(|| missing(id))?;
    Ok(Reply::ok(member(&call, shown(id, &consumer))))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("consumer_id").to_owned();
    let mut body = inner(call.input(&UPDATE)?, "consumer");
    if body.contains_key("secret") {
        return Err(Error::bad_request("Cannot change consumer secret"));
    }
    manners::same_id(&mut body, &id)?;
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("consumers::update", move |txn| {
            txn.update::<Consumer, Consumer>(&owned, |consumer| {
                let mut body = body.clone();
                if let Some(description) = take_nullable(&mut body, "description") {
                    consumer.description = description;
                }
                manners::merge_extra(&mut consumer.extra, body);
                Ok(consumer.clone())
            })
        })
        .await?;
    let changed = changed.ok_or_else(|| missing(&id))?;
    Ok(Reply::ok(member(&call, shown(&id, &changed))))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("consumer_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("consumers::delete", move |txn| txn.delete::<Consumer>(&owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing(&id)) }
}
