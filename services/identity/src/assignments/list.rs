//! `/role_assignments`: all grants, filtered; or, when `effective`, what they come to: groups as their
//! users, inherited grants as the projects that they count in, and implied roles.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply};

use super::{
    effective,
    record::{Assignment, Where, Who},
};
use crate::{
    Identity,
    groups::record::{Group, Membership},
    manners::{self, flag},
    projects::record::Project,
    roles::record::{Implication, Role},
    rules::{checked, own},
    users::record::User,
};

const RULE: &str =
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s)";
const LIST: Policy = checked(&[
    ("identity:list_role_assignments", RULE),
    ("identity:list_role_assignments_for_tree", RULE),
]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![Card::get("/role_assignments", LIST, list)]
}

/// What is asked for.
struct Wanted {
    user: Option<String>,
    group: Option<String>,
    role: Option<String>,
    project: Option<String>,
    domain: Option<String>,
    system: bool,
    inherited: Option<bool>,
    effective: bool,
    names: bool,
    subtree: bool,
}

/// One line of the answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    who: Who,
    place: Where,
    role: String,
    /// Shown as inherited.
    inherited: bool,
    /// Where it comes from: the grant's path, the membership's, the role that implies it.
    grant: String,
    membership: Option<String>,
    prior: Option<String>,
}

impl Wanted {
    fn parse(call: &Call<Identity>) -> Result<Wanted> {
        let text =
            |name: &str| call.query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let wanted = Wanted {
            user: text("user.id"),
            group: text("group.id"),
            role: text("role.id"),
            project: text("scope.project.id"),
            domain: text("scope.domain.id"),
            system: call.query.has("scope.system"),
            inherited: text("scope.OS-INHERIT:inherited_to").map(|to| to == "projects"),
            effective: flag(&call.query, "effective"),
            names: flag(&call.query, "include_names"),
            subtree: flag(&call.query, "include_subtree"),
        };
        wanted.check()?;
        Ok(wanted)
    }

    fn check(&self) -> Result<()> {
        let wrong = if self.domain.is_some() && self.project.is_some() {
            "Specify a domain or project, not both"
        } else if self.domain.is_some() && self.system {
            "Specify a domain or system, not both"
        } else if self.project.is_some() && self.system {
            "Specify a project or system, not both"
        } else if self.user.is_some() && self.group.is_some() {
            "Specify a user or group, not both"
        } else if self.effective && self.group.is_some() {
            "Combining effective and group filter will always result in an empty list."
        } else if self.effective && self.inherited == Some(true) && self.domain.is_some() {
            "Combining effective, domain and inherited filters will always result in an empty list."
        } else if self.subtree && self.project.is_none() {
            "scope.project.id must be specified if include_subtree is also specified"
        } else {
            return Ok(());
        };
        Err(Error::bad_request(wrong))
    }
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let wanted = Wanted::parse(&call)?;
    let snapshot = call.context.state().fresh().await?;
    let own_domain = call.actor.domain.as_ref().map(|domain| domain.id.clone());
    let (policy, domain) = if wanted.subtree {
        let project = wanted.project.as_deref().and_then(|id| snapshot.get::<Project>(id));
        let domain = project.and_then(|project| project.domain_id.clone());
        ("identity:list_role_assignments_for_tree", domain)
    } else {
        ("identity:list_role_assignments", own_domain.clone())
    };
    call.allow(policy, &own(&call).with_some("target.domain_id", domain))?;
    let places = wanted.project.as_deref().map(|id| {
        let mut places = vec![id.to_owned()];
        if wanted.subtree {
            places.extend(effective::below(&snapshot, id).iter().map(|p| p.id.to_string()));
        }
        places
    });
    let mut rows: Vec<Row> = Vec::new();
    for assignment in candidates(&snapshot, &wanted, places.as_deref()) {
        if wanted.effective {
            expand(&snapshot, &assignment, &mut rows);
        } else {
            rows.push(plain(&assignment));
        }
    }
    rows.retain(|row| fits(row, &wanted, places.as_deref()));
    if let Some(domain) = &own_domain {
        rows.retain(|row| lies_in(&snapshot, row, domain));
    }
    rows.sort();
    rows.dedup();
    let shown: Vec<Value> =
        rows.iter().filter_map(|row| show(&call, &snapshot, row, wanted.names)).collect();
    Ok(Reply::ok(manners::wrap(&call, "role_assignments", shown, None)))
}

/// The grants that may matter: by the most telling index.
fn candidates(
    snapshot: &Snapshot,
    wanted: &Wanted,
    places: Option<&[String]>,
) -> Vec<Entry<Assignment>> {
    if let Some(user) = &wanted.user {
        return match wanted.effective {
            true => effective::of_user(snapshot, user),
            false => snapshot.by::<Assignment>("who", &Who::User(user.clone()).key()),
        };
    }
    if let Some(group) = &wanted.group {
        return snapshot.by::<Assignment>("who", &Who::Group(group.clone()).key());
    }
    if let (Some(places), false) = (places, wanted.effective) {
        return places
            .iter()
            .flat_map(|id| snapshot.by::<Assignment>("where", &Where::Project(id.clone()).key()))
            .collect();
    }
    snapshot.all::<Assignment>().collect()
}

fn path(assignment: &Assignment) -> String {
    let place = match &assignment.place {
        Where::Project(id) => format!("/projects/{id}"),
        Where::Domain(id) => format!("/domains/{id}"),
        Where::System => "/system".to_owned(),
    };
    let who = match &assignment.who {
        Who::User(id) => format!("/users/{id}"),
        Who::Group(id) => format!("/groups/{id}"),
    };
    let role = &assignment.role_id;
    if assignment.inherited {
        format!("/OS-INHERIT{place}{who}/roles/{role}/inherited_to_projects")
    } else {
        format!("{place}{who}/roles/{role}")
    }
}

fn plain(assignment: &Assignment) -> Row {
    Row {
        who: assignment.who.clone(),
        place: assignment.place.clone(),
        role: assignment.role_id.clone(),
        inherited: assignment.inherited,
        grant: path(assignment),
        membership: None,
        prior: None,
    }
}

fn expand(snapshot: &Snapshot, assignment: &Assignment, rows: &mut Vec<Row>) {
    let mut people = Vec::new();
    match &assignment.who {
        Who::User(_) => people.push((assignment.who.clone(), None)),
        Who::Group(group) => {
            for membership in snapshot.by::<Membership>("group", group) {
                let path = format!("/groups/{group}/users/{}", membership.user_id);
                people.push((Who::User(membership.user_id.clone()), Some(path)));
            }
        }
    }
    let places: Vec<Where> = match (&assignment.place, assignment.inherited) {
        (Where::Project(id), true) => effective::below(snapshot, id)
            .iter()
            .map(|project| Where::Project(project.id.to_string()))
            .collect(),
        (Where::Domain(id), true) => snapshot
            .index_ids::<Project>("domain", id)
            .iter()
            .map(|id| Where::Project(id.to_string()))
            .collect(),
        (place, _) => vec![place.clone()],
    };
    let roles = roles_with_priors(snapshot, &assignment.role_id);
    let grant = path(assignment);
    for (who, membership) in &people {
        for place in &places {
            for (role, prior) in &roles {
                rows.push(Row {
                    who: who.clone(),
                    place: place.clone(),
                    role: role.clone(),
                    inherited: assignment.inherited,
                    grant: grant.clone(),
                    membership: membership.clone(),
                    prior: prior.clone(),
                });
            }
        }
    }
}

/// A role and all that it implies, each with the role that implies it; roles of a domain left out.
fn roles_with_priors(snapshot: &Snapshot, role: &str) -> Vec<(String, Option<String>)> {
    let mut all: Vec<(String, Option<String>)> = vec![(role.to_owned(), None)];
    let mut at = 0;
    while let Some((prior, _)) = all.get(at).cloned() {
        for implication in snapshot.by::<Implication>("prior", &prior) {
            if all.iter().all(|(known, _)| *known != implication.implied_id) {
                all.push((implication.implied_id.clone(), Some(prior.clone())));
            }
        }
        at += 1;
    }
    all.retain(|(id, _)| snapshot.get::<Role>(id).is_some_and(|role| role.domain_id.is_none()));
    all
}

fn fits(row: &Row, wanted: &Wanted, places: Option<&[String]>) -> bool {
    let user = wanted.user.as_ref().is_none_or(|id| row.who == Who::User(id.clone()));
    let group = wanted.group.as_ref().is_none_or(|id| row.who == Who::Group(id.clone()));
    let role = wanted.role.as_ref().is_none_or(|id| row.role == *id);
    let domain = wanted.domain.as_ref().is_none_or(|id| row.place == Where::Domain(id.clone()));
    let project = places.is_none_or(|places| match &row.place {
        Where::Project(id) => places.contains(id),
        _ => false,
    });
    let system = !wanted.system || row.place == Where::System;
    let inherited = wanted.inherited.is_none_or(|inherited| row.inherited == inherited);
    user && group && role && domain && project && system && inherited
}

/// Whether a row is the business of who looks after a domain only.
fn lies_in(snapshot: &Snapshot, row: &Row, domain: &str) -> bool {
    match &row.place {
        Where::Domain(id) => id == domain,
        Where::Project(id) => snapshot
            .get::<Project>(id)
            .is_some_and(|project| project.domain_id.as_deref() == Some(domain)),
        Where::System => false,
    }
}

/// None: something that it names is just being deleted.
fn show(call: &Call<Identity>, snapshot: &Snapshot, row: &Row, names: bool) -> Option<Value> {
    let mut shown = Map::new();
    let (kind, name, domain) = match &row.who {
        Who::User(id) => {
            let user = snapshot.get::<User>(id)?;
            ("user", user.name.clone(), user.domain_id.clone())
        }
        Who::Group(id) => {
            let group = snapshot.get::<Group>(id)?;
            ("group", group.name.clone(), group.domain_id.clone())
        }
    };
    let who = entity(snapshot, row.who.id(), names.then_some((name, Some(domain))))?;
    shown.insert(kind.to_owned(), who);
    let role = snapshot.get::<Role>(&row.role)?;
    let named = names.then(|| (role.name.clone(), role.domain_id.clone()));
    shown.insert("role".to_owned(), entity(snapshot, &row.role, named)?);
    let mut scope = Map::new();
    match &row.place {
        Where::System => {
            scope.insert("system".to_owned(), json!({"all": true}));
        }
        place => {
            let found = snapshot.get::<Project>(place.id())?;
            let kind = if found.is_domain() { "domain" } else { "project" };
            let named = names.then(|| (found.name.clone(), found.domain_id.clone()));
            scope.insert(kind.to_owned(), entity(snapshot, place.id(), named)?);
        }
    }
    if row.inherited {
        scope.insert("OS-INHERIT:inherited_to".to_owned(), json!("projects"));
    }
    shown.insert("scope".to_owned(), Value::Object(scope));
    let mut links = json!({"assignment": call.link(&row.grant)});
    if let Some(membership) = &row.membership {
        links["membership"] = json!(call.link(membership));
    }
    if let Some(prior) = &row.prior {
        links["prior_role"] =
            json!(call.link(&format!("/prior_role/{prior}/implies/{}", row.role)));
    }
    shown.insert("links".to_owned(), links);
    Some(Value::Object(shown))
}

fn entity(snapshot: &Snapshot, id: &str, named: Option<(String, Option<String>)>) -> Option<Value> {
    let Some((name, domain)) = named else { return Some(json!({"id": id})) };
    let mut entity = json!({"id": id, "name": name});
    if let Some(domain) = domain {
        let found = snapshot.get::<Project>(&domain)?;
        entity["domain"] = json!({"id": domain, "name": found.name});
    }
    Some(entity)
}
