//! `/groups` and who is in them.

use base::{Error, Result};
use serde_json::Value;
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply, Target};

use super::{
    actions,
    record::{Group, Membership},
    wire,
};
use crate::{
    Identity,
    manners::{self, inner, take_text},
    purge::record::Kind,
    rules::{checked, own},
    users::{self, record::User},
    words,
};

const READ_RULE: &str =
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.group.domain_id)s)";
const CHANGE_RULE: &str =
    "rule:admin_required or (role:manager and domain_id:%(target.group.domain_id)s)";
const MEMBER_RULE: &str = "rule:admin_required or (role:manager and \
    domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)";
const GET: Policy = checked(&[("identity:get_group", READ_RULE)]);
const LIST: Policy = checked(&[("identity:list_groups", READ_RULE)]);
const CREATE: Policy = checked(&[("identity:create_group", CHANGE_RULE)]);
const UPDATE: Policy = checked(&[("identity:update_group", CHANGE_RULE)]);
const DELETE: Policy = checked(&[("identity:delete_group", CHANGE_RULE)]);
const LIST_USERS: Policy = checked(&[("identity:list_users_in_group", READ_RULE)]);
const CHECK_USER: Policy = checked(&[(
    "identity:check_user_in_group",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.group.domain_id)s and \
     domain_id:%(target.user.domain_id)s)",
)]);
const ADD_USER: Policy = checked(&[("identity:add_user_to_group", MEMBER_RULE)]);
const REMOVE_USER: Policy = checked(&[("identity:remove_user_from_group", MEMBER_RULE)]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get("/groups", LIST, list),
        Card::post("/groups", CREATE, create),
        Card::get("/groups/{group_id}", GET, show),
        Card::patch("/groups/{group_id}", UPDATE, update),
        Card::delete("/groups/{group_id}", DELETE, delete),
        Card::get("/groups/{group_id}/users", LIST_USERS, list_users),
        Card::get("/groups/{group_id}/users/{user_id}", CHECK_USER, check_user),
        Card::put("/groups/{group_id}/users/{user_id}", ADD_USER, add_user),
        Card::delete("/groups/{group_id}/users/{user_id}", REMOVE_USER, remove_user),
    ]
}

fn target<'t>(call: &'t Call<Identity>, group: Option<&'t Group>) -> Target<'t> {
    own(call).with_some("target.group.domain_id", group.map(|group| group.domain_id.as_str()))
}

/// The group in the path, if the actor may do this to it.
async fn allowed(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, Entry<Group>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("group_id");
    let group = snapshot.find::<Group>(id)?;
    call.allow(policy, &target(call, group.as_deref()))?;
    let group = group.ok_or_else(|| words::not_found("group", id))?;
    Ok((snapshot, group))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let scope = call.actor.domain.as_ref().map(|domain| domain.id.clone());
    let target = own(&call).with_some("target.group.domain_id", scope.as_deref());
    call.allow("identity:list_groups", &target)?;
    let snapshot = call.context.state().fresh().await?;
    let found = match (call.query.get("name"), scope.as_deref().or(call.query.get("domain_id"))) {
        (Some(name), _) => snapshot.by::<Group>("name", name),
        (None, Some(domain)) => snapshot.by::<Group>("domain", domain),
        (None, None) => snapshot.all::<Group>().collect(),
    };
    let found = found.iter().filter(|g| scope.as_ref().is_none_or(|id| g.domain_id == *id));
    let items: Vec<Value> = found.map(|g| wire::show(&g.id, g)).collect();
    manners::list(&call, "groups", items, &["name", "domain_id"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let body = inner(call.input(&wire::CREATE)?, "group");
    let group = wire::parse(body, crate::DEFAULT_DOMAIN);
    call.allow("identity:create_group", &target(&call, Some(&group)))?;
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), group.clone());
    call.context
        .state()
        .transact("groups::create", move |txn| actions::create(txn, &new_id, new.clone()))
        .await?;
    let shown = wire::show(&id, &group);
    Ok(Reply::json(201, manners::member(&call, "groups", "group", shown)))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (_, group) = allowed(&call, "identity:get_group").await?;
    let shown = wire::show(&group.id, &group);
    Ok(Reply::ok(manners::member(&call, "groups", "group", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let (_, group) = allowed(&call, "identity:update_group").await?;
    let mut body = inner(call.input(&wire::UPDATE)?, "group");
    manners::same_id(&mut body, &group.id)?;
    if let Some(domain) = take_text(&mut body, "domain_id")
        && domain != group.domain_id
    {
        return Err(Error::bad_request("Cannot change Domain ID"));
    }
    let change = wire::parse_change(body);
    let id = group.id.to_string();
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("groups::update", move |txn| actions::update(txn, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("group", &id))?;
    let shown = wire::show(&id, &changed);
    Ok(Reply::ok(manners::member(&call, "groups", "group", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, group) = allowed(&call, "identity:delete_group").await?;
    let id = group.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("groups::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("group", &id));
    }
    call.context.purge(Kind::Group, &id).await;
    Ok(Reply::empty(204))
}

async fn list_users(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, group) = allowed(&call, "identity:list_users_in_group").await?;
    let memberships = snapshot.by::<Membership>("group", &group.id);
    let found = memberships.iter().filter_map(|m| snapshot.get::<User>(&m.user_id));
    let items: Vec<Value> = found.map(|user| users::wire::show(&snapshot, &user)).collect();
    manners::list(&call, "users", items, &["name", "domain_id", "enabled"])
}

/// The user and group in the path, if the actor may do this to both.
async fn pair(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, String, String)> {
    let snapshot = call.context.state().fresh().await?;
    let (group_id, user_id) = (call.param("group_id"), call.param("user_id"));
    let group = snapshot.find::<Group>(group_id)?;
    let user = snapshot.find::<User>(user_id)?;
    let target = target(call, group.as_deref())
        .with_some("target.user.domain_id", user.as_ref().map(|user| user.domain_id.as_str()));
    call.allow(policy, &target)?;
    if user.is_none() {
        return Err(words::not_found("user", user_id));
    }
    if group.is_none() {
        return Err(words::not_found("group", group_id));
    }
    Ok((snapshot.clone(), user_id.to_owned(), group_id.to_owned()))
}

async fn check_user(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, user_id, group_id) = pair(&call, "identity:check_user_in_group").await?;
    match snapshot.get::<Membership>(&Membership::id(&user_id, &group_id)) {
        Some(_) => Ok(Reply::empty(204)),
        None => Err(Error::not_found(format!("User '{user_id}' not found in group '{group_id}'"))),
    }
}

async fn add_user(call: Call<Identity>) -> Result<Reply> {
    let (_, user_id, group_id) = pair(&call, "identity:add_user_to_group").await?;
    call.context
        .state()
        .transact("groups::add_user", move |txn| actions::add_user(txn, &user_id, &group_id))
        .await?;
    Ok(Reply::empty(204))
}

async fn remove_user(call: Call<Identity>) -> Result<Reply> {
    let (_, user_id, group_id) = pair(&call, "identity:remove_user_from_group").await?;
    call.context
        .state()
        .transact("groups::remove_user", move |txn| actions::remove_user(txn, &user_id, &group_id))
        .await?;
    Ok(Reply::empty(204))
}
