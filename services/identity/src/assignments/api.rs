//! Grants by path: `/projects/{id}/users/{id}/roles/{id}`, the same for domains, groups, the system and
//! `OS-INHERIT`.

use base::Result;
use serde_json::Value;
use state::Snapshot;
use web::{Call, Card, Policy, Reply};

use super::{
    actions,
    record::{Assignment, Where, Who},
};
use crate::{
    Identity,
    groups::record::Group,
    manners,
    projects::record::Project,
    roles::{self, record::Role},
    rules::{CLOUD_ADMIN, CLOUD_READER, checked, own},
    users::record::User,
    words,
};

/// What a path speaks of.
#[derive(Clone, Copy)]
struct Shape {
    place: Place,
    group: bool,
    inherited: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Project,
    Domain,
    System,
}

macro_rules! in_domain {
    ($role:literal) => {
        concat!(
            "role:",
            $role,
            " and (domain_id:%(target.user.domain_id)s or ",
            "domain_id:%(target.group.domain_id)s) and (domain_id:%(target.project.domain_id)s or ",
            "domain_id:%(target.domain.id)s)"
        )
    };
}
const ROLE_FITS: &str = "domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s";
const READ: &str = "rule:admin_or_system_reader or (rule:grants_domain_reader and \
    rule:grants_role_fits)";
const LIST: &str = "rule:admin_or_system_reader or rule:grants_domain_reader";
const CHANGE: &str = "rule:admin_required or (rule:grants_domain_admin and rule:grants_role_fits) \
    or (rule:grants_domain_manager and rule:domain_managed_target_role)";

/// What the policies of grants refer to.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("grants_domain_reader", in_domain!("reader")),
    ("grants_domain_admin", in_domain!("admin")),
    ("grants_domain_manager", in_domain!("manager")),
    ("grants_role_fits", ROLE_FITS),
];

const CHECK_GRANT: Policy = checked(&[("identity:check_grant", READ)]);
const LIST_GRANTS: Policy = checked(&[("identity:list_grants", LIST)]);
const CREATE_GRANT: Policy = checked(&[("identity:create_grant", CHANGE)]);
const REVOKE_GRANT: Policy = checked(&[("identity:revoke_grant", CHANGE)]);
const OF_USER: [Policy; 4] = [
    checked(&[("identity:check_system_grant_for_user", CLOUD_READER)]),
    checked(&[("identity:list_system_grants_for_user", CLOUD_READER)]),
    checked(&[("identity:create_system_grant_for_user", CLOUD_ADMIN)]),
    checked(&[("identity:revoke_system_grant_for_user", CLOUD_ADMIN)]),
];
const OF_GROUP: [Policy; 4] = [
    checked(&[("identity:check_system_grant_for_group", CLOUD_READER)]),
    checked(&[("identity:list_system_grants_for_group", CLOUD_READER)]),
    checked(&[("identity:create_system_grant_for_group", CLOUD_ADMIN)]),
    checked(&[("identity:revoke_system_grant_for_group", CLOUD_ADMIN)]),
];

const CHECK: usize = 0;
const LISTS: usize = 1;
const GRANT: usize = 2;
const REVOKE: usize = 3;

impl Shape {
    fn policies(self) -> [Policy; 4] {
        match (self.place, self.group) {
            (Place::System, false) => OF_USER,
            (Place::System, true) => OF_GROUP,
            _ => [CHECK_GRANT, LIST_GRANTS, CREATE_GRANT, REVOKE_GRANT],
        }
    }

    fn policy(self, verb: usize) -> &'static str {
        match self.policies().get(verb) {
            Some(Policy::Checked([(name, _)])) => name,
            _ => "",
        }
    }
}

pub(crate) fn cards() -> Vec<Card<Identity>> {
    use Place::{Domain, Project, System};
    let shape = |place, group, inherited| Shape { place, group, inherited };
    let plain = [
        (
            "/projects/{project_id}/users/{user_id}/roles",
            "/projects/{project_id}/users/{user_id}/roles/{role_id}",
            shape(Project, false, false),
        ),
        (
            "/projects/{project_id}/groups/{group_id}/roles",
            "/projects/{project_id}/groups/{group_id}/roles/{role_id}",
            shape(Project, true, false),
        ),
        (
            "/domains/{domain_id}/users/{user_id}/roles",
            "/domains/{domain_id}/users/{user_id}/roles/{role_id}",
            shape(Domain, false, false),
        ),
        (
            "/domains/{domain_id}/groups/{group_id}/roles",
            "/domains/{domain_id}/groups/{group_id}/roles/{role_id}",
            shape(Domain, true, false),
        ),
        (
            "/system/users/{user_id}/roles",
            "/system/users/{user_id}/roles/{role_id}",
            shape(System, false, false),
        ),
        (
            "/system/groups/{group_id}/roles",
            "/system/groups/{group_id}/roles/{role_id}",
            shape(System, true, false),
        ),
        (
            "/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects",
            "/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
            shape(Domain, false, true),
        ),
        (
            "/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects",
            "/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
            shape(Domain, true, true),
        ),
        (
            "/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/inherited_to_projects",
            "/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
            shape(Project, false, true),
        ),
        (
            "/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/inherited_to_projects",
            "/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
            shape(Project, true, true),
        ),
    ];
    let mut cards = Vec::new();
    for (all, one, shape) in plain {
        let [check_policy, list_policy, grant_policy, revoke_policy] = shape.policies();
        cards.push(Card::get(all, list_policy, move |call| list(call, shape)));
        cards.push(Card::get(one, check_policy, move |call| check(call, shape)));
        cards.push(Card::put(one, grant_policy, move |call| grant(call, shape)));
        cards.push(Card::delete(one, revoke_policy, move |call| revoke(call, shape)));
    }
    cards
}

/// What the path names, if the actor may do this to it, and all of it exists.
async fn named(call: &Call<Identity>, shape: Shape, verb: usize) -> Result<(Snapshot, Assignment)> {
    let snapshot = call.context.state().fresh().await?;
    let mut target = own(call);
    let mut missing = None;
    let place = match shape.place {
        Place::System => Where::System,
        Place::Domain => {
            let id = call.param("domain_id");
            match crate::domains::find(&snapshot, id) {
                Some(_) => target = target.with("target.domain.id", id),
                None => missing = Some(words::not_found("domain", id)),
            }
            Where::Domain(id.to_owned())
        }
        Place::Project => {
            let id = call.param("project_id");
            match snapshot.find::<Project>(id)?.filter(|project| !project.is_domain()) {
                Some(p) => {
                    target = target.with_some("target.project.domain_id", p.domain_id.clone());
                }
                None => missing = Some(words::not_found("project", id)),
            }
            Where::Project(id.to_owned())
        }
    };
    let who = if shape.group {
        let id = call.param("group_id");
        match snapshot.find::<Group>(id)? {
            Some(group) => target = target.with("target.group.domain_id", group.domain_id.clone()),
            None => missing = Some(words::not_found("group", id)),
        }
        Who::Group(id.to_owned())
    } else {
        let id = call.param("user_id");
        match snapshot.find::<User>(id)? {
            Some(user) => target = target.with("target.user.domain_id", user.domain_id.clone()),
            // The roles of a user that is gone may still be looked at and taken away.
            None if verb != REVOKE => missing = Some(words::not_found("user", id)),
            None => {}
        }
        Who::User(id.to_owned())
    };
    let mut role_id = String::new();
    if verb != LISTS {
        role_id = call.param("role_id").to_owned();
        match snapshot.find::<Role>(&role_id)? {
            Some(role) => {
                target = target
                    .with("target.role.name", role.name.clone())
                    .with_some("target.role.domain_id", role.domain_id.clone());
            }
            None => missing = Some(words::not_found("role", &role_id)),
        }
    }
    call.allow(shape.policy(verb), &target)?;
    match missing {
        Some(error) => Err(error),
        None => Ok((snapshot, Assignment { who, place, role_id, inherited: shape.inherited })),
    }
}

async fn list(call: Call<Identity>, shape: Shape) -> Result<Reply> {
    let (snapshot, wanted) = named(&call, shape, LISTS).await?;
    let found = snapshot.by::<Assignment>("who", &wanted.who.key());
    let found = found.iter().filter(|a| a.place == wanted.place && a.inherited == wanted.inherited);
    let roles = found.filter_map(|a| snapshot.get::<Role>(&a.role_id));
    let items: Vec<Value> = roles
        .map(|role| {
            let mut shown = roles::wire::show(&role.id, &role);
            manners::link(&call, "roles", &mut shown);
            shown
        })
        .collect();
    Ok(Reply::ok(manners::wrap(&call, "roles", items, None)))
}

async fn check(call: Call<Identity>, shape: Shape) -> Result<Reply> {
    let (snapshot, wanted) = named(&call, shape, CHECK).await?;
    match snapshot.get::<Assignment>(&wanted.id()) {
        Some(_) => Ok(Reply::empty(204)),
        None => Err(actions::not_found(&wanted)),
    }
}

async fn grant(call: Call<Identity>, shape: Shape) -> Result<Reply> {
    let (_, wanted) = named(&call, shape, GRANT).await?;
    call.context
        .state()
        .transact("assignments::grant", move |txn| actions::grant(txn, &wanted))
        .await?;
    Ok(Reply::empty(204))
}

async fn revoke(call: Call<Identity>, shape: Shape) -> Result<Reply> {
    let (_, wanted) = named(&call, shape, REVOKE).await?;
    call.context
        .state()
        .transact("assignments::revoke", move |txn| actions::revoke(txn, &wanted))
        .await?;
    Ok(Reply::empty(204))
}
