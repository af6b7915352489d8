//! Tags of a server, since 2.26: words of its owner, kept in the server's record.
//!
//! Guards: the server's record.

use base::{Error, Result, Set};
use serde_json::json;
use state::Txn;
use web::{
    Call, Card, Policy, Reply, Schema, v,
    validate::{self, prop},
};

use crate::{
    Compute,
    policies::{MEMBER, READER},
    servers::{self, MAX_TAGS, ServerRecord, TAG, VmState, refuse},
};

const INDEX: &str = "os_compute_api:os-server-tags:index";
const SHOW: &str = "os_compute_api:os-server-tags:show";
const UPDATE: &str = "os_compute_api:os-server-tags:update";
const UPDATE_ALL: &str = "os_compute_api:os-server-tags:update_all";
const DELETE: &str = "os_compute_api:os-server-tags:delete";
const DELETE_ALL: &str = "os_compute_api:os-server-tags:delete_all";

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ALL: &str = "/servers/{server_id}/tags";
    const ONE: &str = "/servers/{server_id}/tags/{tag}";
    vec![
        Card::get(ALL, Policy::Checked(&[(INDEX, READER)]), index).since("2.26"),
        Card::put(ALL, Policy::Checked(&[(UPDATE_ALL, MEMBER)]), update_all).since("2.26"),
        Card::delete(ALL, Policy::Checked(&[(DELETE_ALL, MEMBER)]), delete_all).since("2.26"),
        Card::get(ONE, Policy::Checked(&[(SHOW, READER)]), show).since("2.26"),
        Card::put(ONE, Policy::Checked(&[(UPDATE, MEMBER)]), update).since("2.26"),
        Card::delete(ONE, Policy::Checked(&[(DELETE, MEMBER)]), delete).since("2.26"),
    ]
}

const BODY: Schema =
    Schema::object(&[prop("tags", Schema::array(&TAG).max_len(MAX_TAGS)).required()]);

/// Changes the tags of a server that is in a state for it.
fn change(
    txn: &mut Txn,
    id: &str,
    action: &str,
    change: impl FnOnce(&mut Set<String>) -> Result<()>,
) -> Result<ServerRecord> {
    let server = servers::held(txn, id)?;
    let state = server.vm_state();
    if !matches!(state, VmState::Active | VmState::Stopped) {
        return Err(refuse::wrong(action, id, "vm_state", state.name()));
    }
    servers::change(txn, id, |server| change(&mut server.tags))
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, INDEX).await?;
    Ok(Reply::ok(json!({ "tags": server.tags })))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, SHOW).await?;
    let tag = call.param("tag");
    match server.tags.contains(tag) {
        true => Ok(Reply::empty(204)),
        false => Err(Error::not_found(format!("Server {} has no tag '{tag}'", server.id))),
    }
}

async fn update(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, UPDATE).await?;
    let tag = call.param("tag");
    let act = |txn: &mut Txn| {
        let mut added = false;
        change(txn, &server.id, "update tag", |tags| {
            validate::check(&TAG, &json!(tag), v(2, 26), validate::Style::Placement).map_err(
                |error| {
                    let why = error.message().trim_start_matches("JSON does not validate: ");
                    Error::bad_request(format!(
                        "Tag '{tag}' is invalid. It must be a non empty string without characters \
                         '/' and ','. Validation error message: {why}"
                    ))
                },
            )?;
            if tags.len() >= MAX_TAGS {
                return Err(Error::bad_request(format!(
                    "The number of tags exceeded the per-server limit {MAX_TAGS}"
                )));
            }
            added = tags.insert(tag.to_owned());
            Ok(())
        })?;
        Ok(added)
    };
    if !call.context.state.transact("server_tags::add", act).await? {
        return Ok(Reply::empty(204));
    }
    let location = call.link(&format!("/servers/{}/tags/{tag}", server.id));
    Ok(Reply::empty(201).header("location", location))
}

async fn update_all(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&BODY)?;
    let server = servers::allowed(&call, UPDATE_ALL).await?;
    let asked: Set<String> = body["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tag| tag.as_str().map(str::to_owned))
        .collect();
    call.context
        .state
        .transact("server_tags::replace", |txn| {
            change(txn, &server.id, "update tags", |tags| {
                tags.clone_from(&asked);
                Ok(())
            })
        })
        .await?;
    Ok(Reply::ok(json!({ "tags": asked })))
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, DELETE).await?;
    let tag = call.param("tag");
    call.context
        .state
        .transact("server_tags::delete", |txn| {
            change(txn, &server.id, "delete tag", |tags| match tags.remove(tag) {
                true => Ok(()),
                false => {
                    Err(Error::not_found(format!("Instance {} has no tag '{tag}'", server.id)))
                }
            })
        })
        .await?;
    Ok(Reply::empty(204))
}

async fn delete_all(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, DELETE_ALL).await?;
    call.context
        .state
        .transact("server_tags::clear", |txn| {
            change(txn, &server.id, "delete tags", |tags| {
                tags.clear();
                Ok(())
            })
        })
        .await?;
    Ok(Reply::empty(204))
}
