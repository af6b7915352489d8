//! Metadata of a server: key and value pairs of its owner, kept in the server's record.
//!
//! Guards: the server's record. The limit of items is read with it; lowering it at this moment is no race.

use base::{Error, Map, Result};
use serde_json::{Value, json};
use state::Txn;
use web::{Call, Card, Policy, Reply, Schema, validate::prop};

use crate::{
    Compute,
    policies::{MEMBER, READER},
    quotas::{self, Resource},
    servers::{self, By, METADATA, Needs, VmState, metadata_fits},
};

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ALL: &str = "/servers/{server_id}/metadata";
    const ONE: &str = "/servers/{server_id}/metadata/{key}";
    vec![
        Card::get(ALL, Policy::Checked(&[(INDEX, READER)]), index),
        Card::post(ALL, Policy::Checked(&[(CREATE, MEMBER)]), create),
        Card::put(ALL, Policy::Checked(&[(UPDATE_ALL, MEMBER)]), update_all),
        Card::get(ONE, Policy::Checked(&[(SHOW, READER)]), show),
        Card::put(ONE, Policy::Checked(&[(UPDATE, MEMBER)]), update),
        Card::delete(ONE, Policy::Checked(&[(DELETE, MEMBER)]), delete),
    ]
}

const INDEX: &str = "os_compute_api:server-metadata:index";
const SHOW: &str = "os_compute_api:server-metadata:show";
const CREATE: &str = "os_compute_api:server-metadata:create";
const UPDATE: &str = "os_compute_api:server-metadata:update";
const UPDATE_ALL: &str = "os_compute_api:server-metadata:update_all";
const DELETE: &str = "os_compute_api:server-metadata:delete";

const MANY: Schema = Schema::object(&[prop("metadata", METADATA).required()]);
const ONE: Schema = Schema::object(&[prop("meta", METADATA.len(1, 1)).required()]);

const STATES: &[VmState] = &[VmState::Active, VmState::Stopped];
const CHANGE: Needs = Needs::of("update metadata", STATES).any_task();
const REMOVE: Needs = Needs::of("delete metadata", STATES).any_task();

fn items(value: &Value) -> Map<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn missing() -> Error {
    Error::not_found("Metadata item was not found")
}

/// Sets items; `others` says whether those that are not named stay.
fn set(
    txn: &mut Txn,
    id: &str,
    by: &By,
    items: &Map<String, String>,
    others: bool,
) -> Result<Map<String, String>> {
    let server = servers::held(txn, id)?;
    CHANGE.check(id, &server, by.is_admin)?;
    let mut all = if others { server.metadata.clone() } else { Map::new() };
    all.extend(items.clone());
    let limit = quotas::actions::limit_seen(
        txn.snapshot(),
        &server.project_id,
        &server.user_id,
        Resource::MetadataItems,
    )?;
    metadata_fits(all.len(), limit)?;
    servers::change(txn, id, |server| {
        server.metadata = all.clone();
        Ok(())
    })?;
    Ok(all)
}

fn remove(txn: &mut Txn, id: &str, by: &By, key: &str) -> Result<()> {
    let server = servers::held(txn, id)?;
    if !server.metadata.contains_key(key) {
        return Err(missing());
    }
    REMOVE.check(id, &server, by.is_admin)?;
    servers::change(txn, id, |server| {
        server.metadata.remove(key);
        Ok(())
    })
    .map(drop)
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, INDEX).await?;
    Ok(Reply::ok(json!({ "metadata": server.metadata })))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, SHOW).await?;
    let key = call.param("key");
    let value = server.metadata.get(key).ok_or_else(missing)?;
    Ok(Reply::ok(json!({ "meta": { key: value } })))
}

async fn change(
    call: &Call<Compute>,
    policy: &str,
    asked: &Map<String, String>,
    others: bool,
) -> Result<Map<String, String>> {
    let server = servers::allowed(call, policy).await?;
    let by = By::of(call);
    call.context
        .state
        .transact("server_metadata::set", |txn| set(txn, &server.id, &by, asked, others))
        .await
}

async fn create(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&MANY)?;
    let all = change(&call, CREATE, &items(&body["metadata"]), true).await?;
    Ok(Reply::ok(json!({ "metadata": all })))
}

async fn update_all(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&MANY)?;
    let all = change(&call, UPDATE_ALL, &items(&body["metadata"]), false).await?;
    Ok(Reply::ok(json!({ "metadata": all })))
}

async fn update(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&ONE)?;
    let server = servers::allowed(&call, UPDATE).await?;
    let asked = items(&body["meta"]);
    if !asked.contains_key(call.param("key")) {
        return Err(Error::bad_request("Request body and URI mismatch"));
    }
    let by = By::of(&call);
    call.context
        .state
        .transact("server_metadata::set", |txn| set(txn, &server.id, &by, &asked, true))
        .await?;
    Ok(Reply::ok(json!({ "meta": asked })))
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, DELETE).await?;
    let (by, key) = (By::of(&call), call.param("key"));
    call.context
        .state
        .transact("server_metadata::delete", |txn| remove(txn, &server.id, &by, key))
        .await?;
    Ok(Reply::empty(204))
}
