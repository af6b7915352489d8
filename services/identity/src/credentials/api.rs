//! `/credentials`.

use base::{Error, Result};
use serde_json::Value;
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply, Target};

use super::{actions, record::Credential, wire};
use crate::{
    Identity,
    manners::{self, inner, take_text},
    rules::{checked, own},
    words,
};

const READ: &str = "rule:admin_or_system_reader or user_id:%(target.credential.user_id)s";
const CHANGE: &str = "rule:admin_required or user_id:%(target.credential.user_id)s";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const GET: Policy = checked(&[("identity:get_credential", READ)]);
    const LIST: Policy =
        checked(&[("identity:list_credentials", READ), ("identity:get_credential", READ)]);
    const CREATE: Policy = checked(&[("identity:create_credential", CHANGE)]);
    const UPDATE: Policy = checked(&[("identity:update_credential", CHANGE)]);
    const DELETE: Policy = checked(&[("identity:delete_credential", CHANGE)]);
    vec![
        Card::get("/credentials", LIST, list),
        Card::post("/credentials", CREATE, create),
        Card::get("/credentials/{credential_id}", GET, show),
        Card::patch("/credentials/{credential_id}", UPDATE, update),
        Card::delete("/credentials/{credential_id}", DELETE, delete),
    ]
}

fn target<'t>(call: &'t Call<Identity>, user_id: Option<&'t str>) -> Target<'t> {
    own(call).with_some("target.credential.user_id", user_id)
}

/// What somebody was lent must not turn into a credential that lasts longer.
pub(super) async fn refuse_delegated(call: &Call<Identity>) -> Result<()> {
    let holder = call.context.holder(call.header("x-auth-token").unwrap_or_default()).await?;
    let restricted = holder.resolved.app_cred.as_ref().is_some_and(|a| !a.unrestricted);
    if restricted || holder.resolved.trust.is_some() {
        return Err(words::forbidden_action(
            "Using delegated authorization is not allowed for managing credentials.",
        ));
    }
    Ok(())
}

/// The credential in the path, if the actor may do this to it.
async fn allowed(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, Entry<Credential>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("credential_id");
    let credential = snapshot.find::<Credential>(id)?;
    let user_id = credential.as_ref().map(|credential| credential.user_id.as_str());
    call.allow(policy, &target(call, user_id))?;
    let credential = credential.ok_or_else(|| words::not_found("credential", id))?;
    Ok((snapshot, credential))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    call.allow("identity:list_credentials", &target(&call, Some(&call.actor.user_id)))?;
    let snapshot = call.context.state().fresh().await?;
    let found = match call.query.get("user_id") {
        Some(user) => snapshot.by::<Credential>("user", user),
        None => snapshot.all::<Credential>().collect(),
    };
    let mut items = Vec::new();
    for credential in &found {
        if call.allowed("identity:get_credential", &target(&call, Some(&credential.user_id))) {
            items.push(wire::show(&call.context, credential)?);
        }
    }
    manners::list(&call, "credentials", items, &["user_id", "type"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let mut credential = wire::parse(inner(call.input(&wire::CREATE)?, "credential"))?;
    call.allow("identity:create_credential", &target(&call, Some(&credential.user_id)))?;
    refuse_delegated(&call).await?;
    let id = match credential.kind.as_str() {
        "ec2" => actions::ec2_id(&wire::access_of(&credential.blob)?),
        _ => call.world.hex_id(),
    };
    let identity = &call.context;
    credential.blob = identity.seal_blob(&id, &credential.blob)?;
    let new_id = id.clone();
    identity
        .state()
        .transact("credentials::create", move |txn| {
            actions::create(txn, &new_id, credential.clone())
        })
        .await?;
    Ok(Reply::json(201, member(&call, &id).await?))
}

async fn member(call: &Call<Identity>, id: &str) -> Result<Value> {
    let snapshot = call.context.state().fresh().await?;
    let made = snapshot.get::<Credential>(id).ok_or_else(|| words::not_found("credential", id))?;
    let shown = wire::show(&call.context, &made)?;
    Ok(manners::member(call, "credentials", "credential", shown))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (_, credential) = allowed(&call, "identity:get_credential").await?;
    let shown = wire::show(&call.context, &credential)?;
    Ok(Reply::ok(manners::member(&call, "credentials", "credential", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let (_, credential) = allowed(&call, "identity:update_credential").await?;
    let mut body = inner(call.input(&wire::UPDATE)?, "credential");
    manners::same_id(&mut body, &credential.id)?;
    refuse_delegated(&call).await?;
    // Whose it is, where it counts and what it is never change: that would be another one.
    for (name, now) in [
        ("user_id", Some(credential.user_id.as_str())),
        ("project_id", credential.project_id.as_deref()),
        ("type", Some(credential.kind.as_str())),
    ] {
        if let Some(wanted) = body.shift_remove(name)
            && wanted.as_str() != now
        {
            return Err(Error::bad_request(format!("Update of `{name}` is not allowed.")));
        }
    }
    let id = credential.id.to_string();
    let blob = match take_text(&mut body, "blob") {
        None => None,
        Some(blob) => {
            if credential.kind == "ec2" {
                wire::access_of(&blob)?;
            }
            Some(call.context.seal_blob(&id, &blob)?)
        }
    };
    let owned = id.clone();
    call.context
        .state()
        .transact("credentials::update", move |txn| {
            let done = txn.update::<Credential, ()>(&owned, |credential| {
                if let Some(blob) = &blob {
                    credential.blob.clone_from(blob);
                }
                manners::merge_extra(&mut credential.extra, body.clone());
                Ok(())
            })?;
            done.ok_or_else(|| words::not_found("credential", &owned))
        })
        .await?;
    Ok(Reply::ok(member(&call, &id).await?))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, credential) = allowed(&call, "identity:delete_credential").await?;
    refuse_delegated(&call).await?;
    let id = credential.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("credentials::delete", move |txn| txn.delete::<Credential>(&owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(words::not_found("credential", &id)) }
}
