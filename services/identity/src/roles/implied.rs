//! `/roles/{prior}/implies` and `/role_inferences`.

use base::{Error, Result};
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{
    actions,
    record::{Implication, Role},
};
use crate::{
    Identity, manners,
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

const ONE: &str = "/roles/{prior_role_id}/implies/{implied_role_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get(
            "/role_inferences",
            Policy::Rule("identity:list_role_inference_rules", CLOUD_READER),
            list_all,
        ),
        Card::get(
            "/roles/{prior_role_id}/implies",
            Policy::Rule("identity:list_implied_roles", CLOUD_READER),
            list,
        ),
        Card::get(ONE, Policy::Rule("identity:get_implied_role", CLOUD_READER), show),
        Card::head(ONE, Policy::Rule("identity:check_implied_role", CLOUD_READER), check),
        Card::put(ONE, Policy::Rule("identity:create_implied_role", CLOUD_ADMIN), create),
        Card::delete(ONE, Policy::Rule("identity:delete_implied_role", CLOUD_ADMIN), delete),
    ]
}

fn short(call: &Call<Identity>, role: &Entry<Role>) -> Value {
    let mut shown = json!({"id": &*role.id, "name": role.name});
    manners::link(call, "roles", &mut shown);
    shown
}

fn find(snapshot: &Snapshot, id: &str) -> Result<Entry<Role>> {
    snapshot.find::<Role>(id)?.ok_or_else(|| words::not_found("role", id))
}

fn implied_by(call: &Call<Identity>, snapshot: &Snapshot, id: &str) -> Vec<Value> {
    let implications = snapshot.by::<Implication>("prior", id);
    let roles = implications.iter().filter_map(|i| snapshot.get::<Role>(&i.implied_id));
    roles.map(|role| short(call, &role)).collect()
}

async fn list_all(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let mut rules = Vec::new();
    for role in snapshot.all::<Role>() {
        let implies = implied_by(&call, &snapshot, &role.id);
        if !implies.is_empty() {
            rules.push(json!({"prior_role": short(&call, &role), "implies": implies}));
        }
    }
    let links = json!({"self": call.link("/role_inferences")});
    Ok(Reply::ok(json!({"role_inferences": rules, "links": links})))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let prior = find(&snapshot, call.param("prior_role_id"))?;
    let inference = json!({
        "prior_role": short(&call, &prior),
        "implies": implied_by(&call, &snapshot, &prior.id),
    });
    let links = json!({"self": manners::here(&call)});
    Ok(Reply::ok(json!({"role_inference": inference, "links": links})))
}

fn inference(call: &Call<Identity>, snapshot: &Snapshot) -> Result<Value> {
    let prior = find(snapshot, call.param("prior_role_id"))?;
    let implied = find(snapshot, call.param("implied_role_id"))?;
    if snapshot.get::<Implication>(&Implication::id(&prior.id, &implied.id)).is_none() {
        return Err(not_implied(&prior.id, &implied.id));
    }
    let inference = json!({
        "prior_role": short(call, &prior),
        "implies": short(call, &implied),
    });
    let links = json!({"self": manners::here(call)});
    Ok(json!({"role_inference": inference, "links": links}))
}

fn not_implied(prior: &str, implied: &str) -> Error {
    Error::not_found(format!("{prior} does not imply {implied}."))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    Ok(Reply::ok(inference(&call, &snapshot)?))
}

async fn check(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    inference(&call, &snapshot)?;
    Ok(Reply::empty(204))
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let (prior, implied) = ids(&call);
    let state = call.context.state();
    state.transact("roles::imply", move |txn| actions::imply(txn, &prior, &implied)).await?;
    let snapshot = state.fresh().await?;
    Ok(Reply::json(201, inference(&call, &snapshot)?))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (prior, implied) = ids(&call);
    let missing = not_implied(&prior, &implied);
    let gone = call
        .context
        .state()
        .transact("roles::imply_no_more", move |txn| actions::imply_no_more(txn, &prior, &implied))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing) }
}

fn ids(call: &Call<Identity>) -> (String, String) {
    (call.param("prior_role_id").to_owned(), call.param("implied_role_id").to_owned())
}
