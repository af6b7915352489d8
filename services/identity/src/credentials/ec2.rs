//! `/users/{user_id}/credentials/OS-EC2`: access keys, kept as credentials of type `ec2`.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{actions, api::refuse_delegated, record::Credential, wire};
use crate::{
    Identity,
    manners::{self, take_text},
    projects,
    rules::{checked, own},
    users, words,
};

const ALL: &str = "/users/{user_id}/credentials/OS-EC2";
const ONE: &str = "/users/{user_id}/credentials/OS-EC2/{credential_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const READ: &str = "rule:admin_or_system_reader or user_id:%(target.credential.user_id)s";
    const CHANGE: &str =
        "rule:admin_required or (role:member and user_id:%(target.credential.user_id)s)";
    const GET: Policy = checked(&[("identity:ec2_get_credential", READ)]);
    const LIST: Policy = checked(&[("identity:ec2_list_credentials", READ)]);
    const CREATE: Policy = checked(&[("identity:ec2_create_credential", CHANGE)]);
    const DELETE: Policy = checked(&[("identity:ec2_delete_credential", CHANGE)]);
    vec![
        Card::get(ALL, LIST, list),
        Card::post(ALL, CREATE, create),
        Card::get(ONE, GET, show),
        Card::delete(ONE, DELETE, delete),
    ]
}

fn allow(call: &Call<Identity>, policy: &str) -> Result<()> {
    call.allow(policy, &own(call).with("target.credential.user_id", call.param("user_id")))
}

fn check_user(call: &Call<Identity>, snapshot: &Snapshot) -> Result<()> {
    let id = call.param("user_id");
    users::find(snapshot, id).map(drop).ok_or_else(|| words::not_found("user", id))
}

fn show_one(call: &Call<Identity>, credential: &Entry<Credential>) -> Result<Value> {
    let blob: Value = serde_json::from_str(&call.context.open_blob(credential)?)
        .map_err(|error| Error::internal("an EC2 credential is no JSON").with_source(error))?;
    let access = blob["access"].clone();
    let path = format!(
        "/users/{}/credentials/OS-EC2/{}",
        credential.user_id,
        access.as_str().unwrap_or_default()
    );
    Ok(json!({
        "user_id": credential.user_id,
        "tenant_id": credential.project_id,
        "access": access,
        "secret": blob["secret"],
        "trust_id": blob["trust_id"],
        "links": {"self": call.link(&path)},
    }))
}

fn member(shown: Value) -> Value {
    Value::Object(Map::from_iter([("credential".to_owned(), shown)]))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:ec2_list_credentials")?;
    let snapshot = call.context.state().fresh().await?;
    check_user(&call, &snapshot)?;
    let found = snapshot.by::<Credential>("user", call.param("user_id"));
    let found = found.iter().filter(|credential| credential.kind == "ec2");
    let items: Vec<Value> = found.map(|c| show_one(&call, c)).collect::<Result<_>>()?;
    Ok(Reply::ok(manners::wrap(&call, "credentials", items, None)))
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:ec2_create_credential")?;
    refuse_delegated(&call).await?;
    let mut body = match call.input(&wire::CREATE_EC2)? {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let project_id = take_text(&mut body, "tenant_id").unwrap_or_default();
    let identity = &call.context;
    let snapshot = identity.state().fresh().await?;
    check_user(&call, &snapshot)?;
    if !projects::exists(&snapshot, &project_id) {
        return Err(words::not_found("project", &project_id));
    }
    let (access, secret) = (call.world.hex_id(), call.world.hex_id());
    let blob = json!({"access": access, "secret": secret, "trust_id": null});
    let id = actions::ec2_id(&access);
    let credential = Credential {
        user_id: call.param("user_id").to_owned(),
        project_id: Some(project_id),
        kind: "ec2".to_owned(),
        blob: identity.seal_blob(&id, &blob.to_string())?,
        extra: Map::new(),
    };
    let new_id = id.clone();
    identity
        .state()
        .transact("credentials::create_ec2", move |txn| {
            actions::create(txn, &new_id, credential.clone())
        })
        .await?;
    let made = find(&call, &identity.state().fresh().await?, &access)?;
    Ok(Reply::json(201, member(show_one(&call, &made)?)))
}

/// The credential of this access key, which must be of the user in the path.
fn find(call: &Call<Identity>, snapshot: &Snapshot, access: &str) -> Result<Entry<Credential>> {
    let found = snapshot.find::<Credential>(&actions::ec2_id(access))?;
    let found = found.filter(|c| c.kind == "ec2" && c.user_id == call.param("user_id"));
    found.ok_or_else(|| words::not_found("credential", access))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:ec2_get_credential")?;
    let snapshot = call.context.state().fresh().await?;
    let credential = find(&call, &snapshot, call.param("credential_id"))?;
    Ok(Reply::ok(member(show_one(&call, &credential)?)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:ec2_delete_credential")?;
    refuse_delegated(&call).await?;
    let snapshot = call.context.state().fresh().await?;
    let access = call.param("credential_id").to_owned();
    let id = find(&call, &snapshot, &access)?.id.to_string();
    let gone = call
        .context
        .state()
        .transact("credentials::delete_ec2", move |txn| txn.delete::<Credential>(&id))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(words::not_found("credential", &access)) }
}
