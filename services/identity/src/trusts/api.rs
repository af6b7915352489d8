//! `/OS-TRUST/trusts`.

use base::Result;
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply, Target};

use super::{
    actions::{self, MOST_REDELEGATIONS},
    record::Trust,
    wire,
};
use crate::{
    Identity,
    app_creds::api::find_roles,
    manners::{self, inner},
    purge::record::Kind,
    roles::{self, record::Role},
    rules::{checked, own},
    words,
};

const EITHER: &str = "rule:admin_or_system_reader or user_id:%(target.trust.trustor_user_id)s or \
    user_id:%(target.trust.trustee_user_id)s";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const LIST: Policy = checked(&[
        ("identity:list_trusts", "rule:cloud_reader"),
        (
            "identity:list_trusts_for_trustor",
            "rule:admin_or_system_reader or user_id:%(target.trust.trustor_user_id)s",
        ),
        (
            "identity:list_trusts_for_trustee",
            "rule:admin_or_system_reader or user_id:%(target.trust.trustee_user_id)s",
        ),
    ]);
    const CREATE: Policy =
        checked(&[("identity:create_trust", "user_id:%(target.trust.trustor_user_id)s")]);
    const GET: Policy = checked(&[("identity:get_trust", EITHER)]);
    const DELETE: Policy = checked(&[(
        "identity:delete_trust",
        "rule:admin_required or user_id:%(target.trust.trustor_user_id)s",
    )]);
    const LIST_ROLES: Policy = checked(&[("identity:list_roles_for_trust", EITHER)]);
    const GET_ROLE: Policy = checked(&[("identity:get_role_for_trust", EITHER)]);
    vec![
        Card::get("/OS-TRUST/trusts", LIST, list),
        Card::post("/OS-TRUST/trusts", CREATE, create),
        Card::get("/OS-TRUST/trusts/{trust_id}", GET, show),
        Card::delete("/OS-TRUST/trusts/{trust_id}", DELETE, delete),
        Card::get("/OS-TRUST/trusts/{trust_id}/roles", LIST_ROLES, list_roles),
        Card::get("/OS-TRUST/trusts/{trust_id}/roles/{role_id}", GET_ROLE, show_role),
        Card::head("/OS-TRUST/trusts/{trust_id}/roles/{role_id}", GET_ROLE, check_role),
    ]
}

fn target<'t>(call: &'t Call<Identity>, trust: &'t Trust) -> Target<'t> {
    own(call)
        .with("target.trust.trustor_user_id", trust.trustor_id.as_str())
        .with("target.trust.trustee_user_id", trust.trustee_id.as_str())
}

/// Trusts are not managed with application credentials, however free they are: that would be a way
/// out of their bounds.
fn refuse_app_cred(call: &Call<Identity>) -> Result<()> {
    match call.actor.application_credential {
        None => Ok(()),
        Some(_) => Err(words::forbidden_action(
            "Using method 'application_credential' is not allowed for managing trusts.",
        )),
    }
}

/// The trust in the path, if the actor may do this to it.
async fn allowed(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, Entry<Trust>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("trust_id");
    let now = call.world.wall();
    let trust = snapshot.find::<Trust>(id)?.filter(|t| t.expires.is_none_or(|end| now < end));
    let trust = trust.ok_or_else(|| words::not_found("trust", id))?;
    call.allow(policy, &target(call, &trust))?;
    refuse_app_cred(call)?;
    Ok((snapshot, trust))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let (trustor, trustee) = (call.query.get("trustor_user_id"), call.query.get("trustee_user_id"));
    let policy = match (trustor, trustee) {
        (Some(_), _) => "identity:list_trusts_for_trustor",
        (None, Some(_)) => "identity:list_trusts_for_trustee",
        (None, None) => "identity:list_trusts",
    };
    let target = own(&call)
        .with_some("target.trust.trustor_user_id", trustor)
        .with_some("target.trust.trustee_user_id", trustee);
    call.allow(policy, &target)?;
    refuse_app_cred(&call)?;
    let snapshot = call.context.state().fresh().await?;
    let mut found: Vec<Entry<Trust>> = match (trustor, trustee) {
        (Some(trustor), _) => snapshot.by::<Trust>("trustor", trustor),
        (None, Some(trustee)) => snapshot.by::<Trust>("trustee", trustee),
        (None, None) => snapshot.all::<Trust>().collect(),
    };
    found.retain(|trust| trustee.is_none_or(|trustee| trust.trustee_id == trustee));
    let items: Vec<Value> = found.iter().map(|trust| wire::show_short(&call, trust)).collect();
    Ok(Reply::ok(manners::wrap(&call, "trusts", items, None)))
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let body = inner(call.input(&wire::CREATE)?, "trust");
    let asked = wire::parse(body, call.world.wall())?;
    let mut trust = asked.trust;
    call.allow("identity:create_trust", &target(&call, &trust))?;
    refuse_app_cred(&call)?;
    if trust.project_id.is_some() && asked.roles.is_empty() {
        return Err(words::forbidden_action("At least one role should be specified"));
    }
    let identity = &call.context;
    let holder = identity.holder(call.header("x-auth-token").unwrap_or_default()).await?;
    let snapshot = identity.state().fresh().await?;
    trust.roles = find_roles(&snapshot, &asked.roles)?;
    match &holder.resolved.trust {
        Some(from) => pass_on(&mut trust, from)?,
        None => {
            let count = asked.redelegation_count.unwrap_or(MOST_REDELEGATIONS);
            if count > MOST_REDELEGATIONS {
                return Err(words::refused(format!(
                    "Requested redelegation depth of {count} is greater than allowed \
                     {MOST_REDELEGATIONS}"
                )));
            }
            trust.redelegation_count = if trust.allow_redelegation { count } else { 0 };
        }
    }
    let id = call.world.hex_id();
    let new_id = id.clone();
    identity
        .state()
        .transact("trusts::create", move |txn| actions::create(txn, &new_id, trust.clone()))
        .await?;
    let snapshot = identity.state().fresh().await?;
    let made = snapshot.get::<Trust>(&id).ok_or_else(|| words::not_found("trust", &id))?;
    Ok(Reply::json(201, member(wire::show(&call, &snapshot, &made))))
}

fn member(shown: Value) -> Value {
    Value::Object(Map::from_iter([("trust".to_owned(), shown)]))
}

/// A trust made with a token of another trust stays within that one.
fn pass_on(trust: &mut Trust, from: &Entry<Trust>) -> Result<()> {
    let depth = from.redelegation_count;
    if !from.allow_redelegation || depth == 0 || depth > MOST_REDELEGATIONS {
        return Err(words::refused(format!(
            "Remaining redelegation depth of {depth} out of allowed range of \
             [0..{MOST_REDELEGATIONS}]"
        )));
    }
    if let Some(uses) = trust.remaining_uses {
        return Err(words::refused(format!(
            "Field \"remaining_uses\" is set to {uses} while it must not be set in order to \
             redelegate a trust"
        )));
    }
    match (trust.expires, from.expires) {
        (Some(end), Some(last)) if end > last => {
            return Err(words::refused(
                "Requested expiration time is more than redelegated trust can provide",
            ));
        }
        (None, last) => trust.expires = last,
        _ => {}
    }
    if !trust.roles.iter().all(|role| from.roles.contains(role)) {
        return Err(words::refused("Some of requested roles are not in redelegated trust"));
    }
    if trust.trustor_id != from.trustor_id || trust.project_id != from.project_id {
        return Err(words::forbidden());
    }
    if trust.impersonation && !from.impersonation {
        return Err(words::refused(
            "Impersonation is not allowed because redelegated trust does not specify impersonation",
        ));
    }
    trust.redelegation_count = depth - 1;
    trust.redelegated_from = Some(from.id.to_string());
    Ok(())
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, trust) = allowed(&call, "identity:get_trust").await?;
    Ok(Reply::ok(member(wire::show(&call, &snapshot, &trust))))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, trust) = allowed(&call, "identity:delete_trust").await?;
    let id = trust.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("trusts::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("trust", &id));
    }
    call.context.purge(Kind::Trust, &id).await;
    Ok(Reply::empty(204))
}

async fn list_roles(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, trust) = allowed(&call, "identity:list_roles_for_trust").await?;
    let roles = wire::show_roles(&call, &snapshot, &trust);
    Ok(Reply::ok(json!({"roles": roles, "links": wire::roles_links(&call, &trust)})))
}

async fn find_role(call: &Call<Identity>) -> Result<Entry<Role>> {
    let (snapshot, trust) = allowed(call, "identity:get_role_for_trust").await?;
    let id = call.param("role_id");
    let role = trust.roles.iter().any(|role| role == id).then(|| snapshot.get::<Role>(id));
    role.flatten().ok_or_else(|| words::not_found("role", id))
}

async fn show_role(call: Call<Identity>) -> Result<Reply> {
    let role = find_role(&call).await?;
    let shown = roles::wire::show(&role.id, &role);
    Ok(Reply::ok(manners::member(&call, "roles", "role", shown)))
}

async fn check_role(call: Call<Identity>) -> Result<Reply> {
    find_role(&call).await?;
    Ok(Reply::empty(200))
}
