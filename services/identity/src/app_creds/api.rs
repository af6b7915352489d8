//! `/users/{user_id}/application_credentials`.

use base::{Error, Result};
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{
    actions,
    record::AppCred,
    secret,
    wire::{self, RoleRef},
};
use crate::{
    Identity,
    manners::{self, inner},
    names,
    rules::{checked, own},
    words,
};

const ALL: &str = "/users/{user_id}/application_credentials";
const ONE: &str = "/users/{user_id}/application_credentials/{application_credential_id}";
const READ: &str = "rule:admin_or_system_reader or rule:owner";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const GET: Policy = checked(&[("identity:get_application_credential", READ)]);
    const LIST: Policy = checked(&[("identity:list_application_credentials", READ)]);
    const CREATE: Policy =
        checked(&[("identity:create_application_credential", "user_id:%(user_id)s")]);
    const DELETE: Policy =
        checked(&[("identity:delete_application_credential", "rule:admin_required or rule:owner")]);
    vec![
        Card::get(ALL, LIST, list),
        Card::post(ALL, CREATE, create),
        Card::get(ONE, GET, show),
        Card::delete(ONE, DELETE, delete),
    ]
}

/// 403 unless the actor may do this to the user in the path.
pub(super) fn allow(call: &Call<Identity>, policy: &str) -> Result<()> {
    let user_id = call.param("user_id");
    let target = own(call).with("user_id", user_id).with("target.user.id", user_id);
    call.allow(policy, &target)
}

/// What came from a credential must not make others, unless it was made for that.
fn refuse_restricted(call: &Call<Identity>) -> Result<()> {
    match &call.actor.application_credential {
        Some(app_cred) if !app_cred.unrestricted => Err(words::forbidden_action(
            "Using method 'application_credential' is not allowed for managing additional \
             application credentials.",
        )),
        _ => Ok(()),
    }
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:list_application_credentials")?;
    let snapshot = call.context.state().fresh().await?;
    let user_id = call.param("user_id");
    let found = snapshot.by::<AppCred>("user", user_id);
    let items: Vec<Value> = found.iter().map(|a| wire::show(&snapshot, a)).collect();
    let collection = format!("users/{user_id}/application_credentials");
    manners::list(&call, &collection, items, &["name"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:create_application_credential")?;
    refuse_restricted(&call)?;
    let identity = &call.context;
    // Who uses a trust acts for somebody else, for whom it must not leave credentials behind.
    let token = call.header("x-auth-token").unwrap_or_default();
    let holder = identity.holder(token).await?;
    let user_id = call.param("user_id").to_owned();
    let Some(project) = call.actor.project.as_ref().filter(|_| holder.resolved.trust.is_none())
    else {
        return Err(words::forbidden());
    };
    let body = inner(call.input(&wire::CREATE)?, "application_credential");
    let asked = wire::parse(body, &user_id, call.world.wall())?;
    let snapshot = identity.state().fresh().await?;
    let roles = match &asked.roles {
        None => holder.resolved.roles.iter().map(|role| role.id.clone()).collect(),
        Some(wanted) => find_roles(&snapshot, wanted)?,
    };
    let (secret, kept) = match &asked.secret {
        Some(chosen) => (chosen.clone(), secret::keep_chosen(identity, chosen).await?),
        None => {
            let made = secret::generate(&call.world);
            let kept = secret::keep_random(&made);
            (made, kept)
        }
    };
    let id = call.world.hex_id();
    let app_cred = AppCred {
        name: asked.name,
        user_id: user_id.clone(),
        project_id: project.id.clone(),
        description: asked.description,
        secret: kept,
        roles,
        expires: asked.expires,
        unrestricted: asked.unrestricted,
        access_rules: None,
    };
    let (new_id, rules) = (id.clone(), asked.rules);
    identity
        .state()
        .transact("app_creds::create", move |txn| {
            actions::create(txn, &new_id, app_cred.clone(), rules.as_deref())
        })
        .await?;
    let snapshot = identity.state().fresh().await?;
    let made = snapshot.get::<AppCred>(&id).ok_or_else(|| missing(&id))?;
    let mut shown = wire::show(&snapshot, &made);
    shown["secret"] = json!(secret.expose());
    Ok(Reply::json(201, member(&call, shown)))
}

pub(crate) fn find_roles(snapshot: &Snapshot, wanted: &[RoleRef]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for role in wanted {
        let id = match role {
            RoleRef::Id(id) => id.clone(),
            RoleRef::Name(name) => names::ROLES
                .owner(snapshot, "", name)
                .ok_or_else(|| words::not_found("role", name))?,
        };
        if snapshot.get::<crate::roles::record::Role>(&id).is_none() {
            return Err(words::not_found("role", &id));
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn missing(id: &str) -> Error {
    words::not_found("Application Credential", id)
}

fn member(call: &Call<Identity>, shown: Value) -> Value {
    let collection = format!("users/{}/application_credentials", call.param("user_id"));
    manners::member(call, &collection, "application_credential", shown)
}

/// The credential in the path, which must be of the user in the path.
fn find(call: &Call<Identity>, snapshot: &Snapshot) -> Result<Entry<AppCred>> {
    let id = call.param("application_credential_id");
    let found = snapshot.find::<AppCred>(id)?.filter(|a| a.user_id == call.param("user_id"));
    found.ok_or_else(|| missing(id))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:get_application_credential")?;
    let snapshot = call.context.state().fresh().await?;
    let app_cred = find(&call, &snapshot)?;
    Ok(Reply::ok(member(&call, wire::show(&snapshot, &app_cred))))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:delete_application_credential")?;
    refuse_restricted(&call)?;
    let snapshot = call.context.state().fresh().await?;
    let id = find(&call, &snapshot)?.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("app_creds::delete", move |txn| actions::remove(txn, &owned))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing(&id)) }
}
