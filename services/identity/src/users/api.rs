//! `/users`, a user's password, projects and groups.

use base::{Error, Result, Secret, Timestamp};
use serde_json::Value;
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply, Target};

use super::{actions, record::User, wire};
use crate::{
    Identity,
    assignments::effective,
    groups::{
        self,
        record::{Group, Membership},
    },
    manners::{self, inner, take_text},
    passwords::{self, Purpose, record::Password},
    projects,
    purge::record::Kind,
    rules::{checked, own},
    words,
};

const CHANGE_RULE: &str =
    "rule:admin_required or (role:manager and domain_id:%(target.user.domain_id)s)";
const GET: Policy = checked(&[(
    "identity:get_user",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.user.domain_id)s) or \
     user_id:%(target.user.id)s",
)]);
const LIST: Policy = checked(&[(
    "identity:list_users",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s)",
)]);
const CREATE: Policy = checked(&[("identity:create_user", CHANGE_RULE)]);
const UPDATE: Policy = checked(&[("identity:update_user", CHANGE_RULE)]);
const DELETE: Policy = checked(&[("identity:delete_user", CHANGE_RULE)]);
const LIST_PROJECTS: Policy = checked(&[(
    "identity:list_user_projects",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.user.domain_id)s) or \
     user_id:%(target.user.id)s",
)]);
const LIST_GROUPS: Policy = checked(&[(
    "identity:list_groups_for_user",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.user.domain_id)s) or \
     user_id:%(target.user.id)s",
)]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get("/users", LIST, list),
        Card::post("/users", CREATE, create),
        Card::get("/users/{user_id}", GET, show),
        Card::patch("/users/{user_id}", UPDATE, update),
        Card::delete("/users/{user_id}", DELETE, delete),
        // The old password is the proof: it works with an expired one too.
        Card::post("/users/{user_id}/password", Policy::Public, set_password),
        Card::get("/users/{user_id}/projects", LIST_PROJECTS, list_projects),
        Card::get("/users/{user_id}/groups", LIST_GROUPS, list_groups),
    ]
}

fn target<'t>(call: &'t Call<Identity>, id: &'t str, user: Option<&'t User>) -> Target<'t> {
    own(call)
        .with("target.user.id", id)
        .with_some("target.user.domain_id", user.map(|user| user.domain_id.as_str()))
}

/// The user in the path, if the actor may do this to it.
async fn allowed(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, Entry<User>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("user_id");
    let user = snapshot.find::<User>(id)?;
    call.allow(policy, &target(call, id, user.as_deref()))?;
    let user = user.ok_or_else(|| words::not_found("user", id))?;
    Ok((snapshot, user))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let scope = call.actor.domain.as_ref().map(|domain| domain.id.clone());
    call.allow("identity:list_users", &own(&call).with_some("target.domain_id", scope.as_deref()))?;
    let snapshot = call.context.state().fresh().await?;
    let expiry = ExpiryFilter::of(&call)?;
    let found = match (call.query.get("name"), scope.as_deref().or(call.query.get("domain_id"))) {
        (Some(name), _) => snapshot.by::<User>("name", name),
        (None, Some(domain)) => snapshot.by::<User>("domain", domain),
        (None, None) => snapshot.all::<User>().collect(),
    };
    let found = found.into_iter().filter(|user| {
        scope.as_ref().is_none_or(|id| user.domain_id == *id)
            && expiry.iter().all(|filter| filter.fits(&snapshot, &user.id))
    });
    let items: Vec<Value> = found.map(|user| wire::show(&snapshot, &user)).collect();
    let filters = ["name", "domain_id", "enabled", "default_project_id"];
    manners::list(&call, "users", items, &filters)
}

/// `password_expires_at=lt:2026-01-01T00:00:00Z`
struct ExpiryFilter {
    operator: String,
    than: Timestamp,
}

impl ExpiryFilter {
    fn of(call: &Call<Identity>) -> Result<Vec<ExpiryFilter>> {
        let mut filters = Vec::new();
        for text in call.query.all("password_expires_at") {
            let (operator, moment) = text.split_once(':').ok_or_else(words::bad_timestamp)?;
            if !["lt", "lte", "gt", "gte", "eq", "neq"].contains(&operator) {
                return Err(Error::bad_request(format!(
                    "The given operator {operator} is not valid. It must be one of the following: \
                     'eq', 'neq', 'lt', 'lte', 'gt', or 'gte'."
                )));
            }
            let than = Timestamp::parse(moment).ok_or_else(words::bad_timestamp)?;
            filters.push(ExpiryFilter { operator: operator.to_owned(), than });
        }
        Ok(filters)
    }

    fn fits(&self, snapshot: &Snapshot, user_id: &str) -> bool {
        let expires = snapshot.get::<Password>(user_id).and_then(|password| password.expires);
        let Some(expires) = expires else { return false };
        let order = expires.cmp(&self.than);
        match self.operator.as_str() {
            "lt" => order.is_lt(),
            "lte" => order.is_le(),
            "gt" => order.is_gt(),
            "gte" => order.is_ge(),
            "eq" => order.is_eq(),
            _ => order.is_ne(),
        }
    }
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let body = inner(call.input(&wire::CREATE)?, "user");
    let (user, password) = wire::parse(body, crate::DEFAULT_DOMAIN);
    let id = call.world.hex_id();
    call.allow("identity:create_user", &target(&call, &id, Some(&user)))?;
    let identity = &call.context;
    let hash = hash(identity, password).await?;
    let config = identity.config().clone();
    let new_id = id.clone();
    identity
        .state()
        .transact("users::create", move |txn| {
            actions::create(txn, &config, &new_id, user.clone(), hash.clone())
        })
        .await?;
    let snapshot = identity.state().fresh().await?;
    let user = snapshot.get::<User>(&id).ok_or_else(|| words::not_found("user", &id))?;
    let shown = wire::show(&snapshot, &user);
    Ok(Reply::json(201, manners::member(&call, "users", "user", shown)))
}

async fn hash(identity: &Identity, password: Option<Secret>) -> Result<Option<String>> {
    let Some(password) = password else { return Ok(None) };
    identity.check_new_password(&password)?;
    identity.hash(&password).await.map(Some)
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, user) = allowed(&call, "identity:get_user").await?;
    let shown = wire::show(&snapshot, &user);
    Ok(Reply::ok(manners::member(&call, "users", "user", shown)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let (_, user) = allowed(&call, "identity:update_user").await?;
    let mut body = inner(call.input(&wire::UPDATE)?, "user");
    manners::same_id(&mut body, &user.id)?;
    if let Some(domain) = take_text(&mut body, "domain_id")
        && domain != user.domain_id
    {
        return Err(Error::bad_request("Cannot change Domain ID"));
    }
    let (mut change, password) = wire::parse_change(body);
    let identity = &call.context;
    change.hash = hash(identity, password).await?;
    let config = identity.config().clone();
    let id = user.id.to_string();
    let owned = id.clone();
    let changed = identity
        .state()
        .transact("users::update", move |txn| actions::update(txn, &config, &owned, change.clone()))
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("user", &id))?;
    let snapshot = identity.state().fresh().await?;
    let expires = snapshot.get::<Password>(&id).and_then(|password| password.expires);
    let shown = wire::show_parts(&id, &changed, expires);
    Ok(Reply::ok(manners::member(&call, "users", "user", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, user) = allowed(&call, "identity:delete_user").await?;
    let id = user.id.to_string();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("users::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    if !gone {
        return Err(words::not_found("user", &id));
    }
    call.context.purge(Kind::User, &id).await;
    Ok(Reply::empty(204))
}

async fn set_password(call: Call<Identity>) -> Result<Reply> {
    let mut body = inner(call.input(&wire::SET_PASSWORD)?, "user");
    let old = Secret::new(take_text(&mut body, "original_password").unwrap_or_default());
    let new = Secret::new(take_text(&mut body, "password").unwrap_or_default());
    let identity = &call.context;
    identity.check_new_password(&new)?;
    let snapshot = identity.state().fresh().await?;
    let user = snapshot.find::<User>(call.param("user_id"))?;
    identity.check_password(&snapshot, user.as_ref(), &old, Purpose::Change).await?;
    let user = user.ok_or_else(words::unauthorized)?;
    if user.option("lock_password") {
        return Err(Error::bad_request(
            "You cannot change your password at this time due to password policy disallowing \
             password changes. Please contact your administrator to reset your password.",
        ));
    }
    let kept = snapshot.get::<Password>(&user.id).ok_or_else(words::unauthorized)?;
    check_history(identity, &kept, &new).await?;
    let hash = identity.hash(&new).await?;
    let config = identity.config().clone();
    let (id, was) = (user.id.to_string(), kept.hash.clone());
    identity
        .state()
        .transact("users::set_password", move |txn| {
            // Against the password that was checked: of two changes at once, one is told to log in again.
            if txn.get::<Password>(&id)?.is_none_or(|now| now.hash != was) {
                return Err(words::unauthorized());
            }
            passwords::set(txn, &config, &id, hash.clone(), true)
        })
        .await?;
    Ok(Reply::empty(204))
}

async fn check_history(identity: &Identity, kept: &Password, new: &Secret) -> Result<()> {
    let rules = &identity.config().compliance;
    if let Some(days) = passwords::too_young(rules, kept, identity.world().wall()) {
        let least = rules.password_minimum_age_days;
        return Err(Error::bad_request(format!(
            "You cannot change your password at this time due to the minimum password age. Once you \
             change your password, it must be used for {least} day(s) before it can be changed. \
             Please try again in {days} day(s) or contact your administrator to reset your password."
        )));
    }
    if rules.unique_last_passwords > 0 {
        let earlier = kept.earlier.iter().take(rules.unique_last_passwords as usize - 1);
        let hashes = std::iter::once(&kept.hash).chain(earlier).cloned().collect();
        if identity.verify(new, hashes).await.is_some() {
            return Err(Error::bad_request(format!(
                "The new password cannot be identical to a previous password. The total number \
                 which includes the new password must be unique is {}.",
                rules.unique_last_passwords
            )));
        }
    }
    Ok(())
}

async fn list_projects(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, user) = allowed(&call, "identity:list_user_projects").await?;
    let found = effective::projects_of(&snapshot, &user.id);
    let mut items: Vec<Value> = found.iter().map(|p| projects::wire::show(&p.id, p)).collect();
    for item in &mut items {
        manners::link(&call, "projects", item);
    }
    let enabled = call.query.get("enabled").map(manners::is_true);
    items.retain(|item| enabled.is_none_or(|wanted| item["enabled"] == wanted));
    Ok(Reply::ok(manners::wrap(&call, "projects", items, None)))
}

async fn list_groups(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, user) = allowed(&call, "identity:list_groups_for_user").await?;
    let memberships = snapshot.by::<Membership>("user", &user.id);
    let found = memberships.iter().filter_map(|m| snapshot.get::<Group>(&m.group_id));
    let items: Vec<Value> = found.map(|g| groups::wire::show(&g.id, &g)).collect();
    manners::list(&call, "groups", items, &["name", "domain_id"])
}
