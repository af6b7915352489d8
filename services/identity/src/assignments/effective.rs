//! Which roles somebody has somewhere, now: their own, by groups, inherited from above, implied.
//! Pure look-ups in a snapshot; done anew for each request, because a token only names.

use base::Set;
use state::{Entry, Snapshot};

use super::record::{Assignment, Where, Who};
use crate::{
    groups::record::{Group, Membership},
    projects::record::Project,
    roles::record::{Implication, Role},
};

/// A role as tokens show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedRole {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The user and the groups that it is in.
pub(crate) fn selves(snapshot: &Snapshot, user_id: &str) -> Vec<Who> {
    let mut selves = vec![Who::User(user_id.to_owned())];
    for membership in snapshot.by::<Membership>("user", user_id) {
        if snapshot.get::<Group>(&membership.group_id).is_some() {
            selves.push(Who::Group(membership.group_id.clone()));
        }
    }
    selves
}

/// All assignments of a user, by groups too.
pub(crate) fn of_user(snapshot: &Snapshot, user_id: &str) -> Vec<Entry<Assignment>> {
    selves(snapshot, user_id)
        .iter()
        .flat_map(|who| snapshot.by::<Assignment>("who", &who.key()))
        .collect()
}

/// The projects above a project, nearest first, and then its domain. Empty for a domain.
pub(crate) fn above(snapshot: &Snapshot, project: &Project) -> Vec<Entry<Project>> {
    let mut above: Vec<Entry<Project>> = Vec::new();
    let mut next = project.parent_id.clone();
    while let Some(id) = next {
        // The tree is shallow; a circle cannot be made, since parents never change.
        let Some(parent) = snapshot.get::<Project>(&id) else { break };
        next = parent.parent_id.clone();
        above.push(parent);
    }
    above
}

/// Whether an assignment counts in this project.
pub(crate) fn counts_in_project(
    assignment: &Assignment,
    project_id: &str,
    domain_id: &str,
    above: &[Entry<Project>],
) -> bool {
    match (&assignment.place, assignment.inherited) {
        (Where::Project(id), false) => id == project_id,
        (Where::Project(id), true) => above.iter().any(|parent| *parent.id == **id),
        (Where::Domain(id), true) => id == domain_id,
        (Where::Domain(_), false) | (Where::System, _) => false,
    }
}

/// Role ids of a user in a project, without implied ones.
pub(crate) fn in_project(snapshot: &Snapshot, user_id: &str, project_id: &str) -> Set<String> {
    let Some(project) = snapshot.get::<Project>(project_id) else { return Set::new() };
    let Some(domain_id) = &project.domain_id else { return Set::new() };
    let above = above(snapshot, &project);
    of_user(snapshot, user_id)
        .iter()
        .filter(|assignment| counts_in_project(assignment, project_id, domain_id, &above))
        .map(|assignment| assignment.role_id.clone())
        .collect()
}

/// Role ids of a user in a domain itself, without implied ones.
pub(crate) fn in_domain(snapshot: &Snapshot, user_id: &str, domain_id: &str) -> Set<String> {
    of_user(snapshot, user_id)
        .iter()
        .filter(|a| !a.inherited && matches!(&a.place, Where::Domain(id) if id == domain_id))
        .map(|assignment| assignment.role_id.clone())
        .collect()
}

/// Role ids of a user in the system, without implied ones.
pub(crate) fn in_system(snapshot: &Snapshot, user_id: &str) -> Set<String> {
    of_user(snapshot, user_id)
        .iter()
        .filter(|assignment| assignment.place == Where::System && !assignment.inherited)
        .map(|assignment| assignment.role_id.clone())
        .collect()
}

/// These roles and all that they imply, at any depth.
pub(crate) fn with_implied(snapshot: &Snapshot, roles: Set<String>) -> Set<String> {
    let mut open: Vec<String> = roles.iter().cloned().collect();
    let mut all = roles;
    while let Some(role) = open.pop() {
        for implication in snapshot.by::<Implication>("prior", &role) {
            if all.insert(implication.implied_id.clone()) {
                open.push(implication.implied_id.clone());
            }
        }
    }
    all
}

/// The global roles among these, by name, as a token shows them.
pub(crate) fn named(snapshot: &Snapshot, roles: &Set<String>) -> Vec<NamedRole> {
    let mut named: Vec<NamedRole> = roles
        .iter()
        .filter_map(|id| snapshot.get::<Role>(id))
        .filter(|role| role.domain_id.is_none())
        .map(|role| NamedRole { id: role.id.to_string(), name: role.name.clone() })
        .collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    named
}

/// The projects in which a user has a role.
pub(crate) fn projects_of(snapshot: &Snapshot, user_id: &str) -> Vec<Entry<Project>> {
    let mut found: base::Map<std::sync::Arc<str>, Entry<Project>> = base::Map::new();
    let mut add = |project: Entry<Project>| {
        if !project.is_domain() {
            found.insert(project.id.clone(), project);
        }
    };
    for assignment in of_user(snapshot, user_id) {
        match (&assignment.place, assignment.inherited) {
            (Where::Project(id), false) => {
                if let Some(project) = snapshot.get::<Project>(id) {
                    add(project);
                }
            }
            (Where::Project(id), true) => below(snapshot, id).into_iter().for_each(&mut add),
            (Where::Domain(id), true) => {
                snapshot.by::<Project>("domain", id).into_iter().for_each(&mut add);
            }
            (Where::Domain(_), false) | (Where::System, _) => {}
        }
    }
    found.into_values().collect()
}

/// The domains in which a user has a role.
pub(crate) fn domains_of(snapshot: &Snapshot, user_id: &str) -> Vec<Entry<Project>> {
    let ids: Set<String> = of_user(snapshot, user_id)
        .iter()
        .filter(|assignment| !assignment.inherited)
        .filter_map(|assignment| match &assignment.place {
            Where::Domain(id) => Some(id.clone()),
            _ => None,
        })
        .collect();
    ids.iter().filter_map(|id| snapshot.get::<Project>(id)).collect()
}

/// All projects below a project, nearest first.
pub(crate) fn below(snapshot: &Snapshot, project_id: &str) -> Vec<Entry<Project>> {
    let mut found = Vec::new();
    let mut level = vec![project_id.to_owned()];
    while !level.is_empty() {
        let mut next = Vec::new();
        for parent in &level {
            for child in snapshot.by::<Project>("parent", parent) {
                next.push(child.id.to_string());
                found.push(child);
            }
        }
        level = next;
    }
    found
}
