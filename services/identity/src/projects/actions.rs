//! What can be done to projects and domains. Each is one transaction; ids are made outside.

use base::{Error, Result};
use serde_json::{Map, Value};
use state::{Scope, Txn};

use super::record::Project;
use crate::{
    config::Config,
    names, options,
    purge::{self, record::Kind},
    tokens::revoke::{self, Of},
    words,
};

/// A subtree larger than this is not disabled in one transaction.
const LARGEST_SUBTREE: usize = 100;

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) enabled: Option<bool>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) options: Option<Map<String, Value>>,
    pub(crate) extra: Map<String, Value>,
}

/// The parent of an edge: what its children hang on.
pub(crate) fn node(id: &str) -> String {
    format!("identity.project.{id}")
}

/// Makes a project or (without a domain) a domain.
pub(crate) fn create(txn: &mut Txn, config: &Config, id: &str, mut project: Project) -> Result<()> {
    project.name = project.name.trim().to_owned();
    match &project.domain_id {
        None => {
            if purge::pending(txn, Kind::Domain, id)? {
                return Err(words::conflict(
                    "domain",
                    format!("domain {id} is still being deleted"),
                ));
            }
            if txn.get::<Project>(id)?.is_some() || !names::DOMAINS.take(txn, "", &project.name, id)
            {
                return Err(name_conflict(&project, id));
            }
        }
        Some(domain_id) => {
            check_place(txn, config, domain_id, project.parent_id.as_deref().unwrap_or(domain_id))?;
            if !names::PROJECTS.take(txn, domain_id, &project.name, id) {
                return Err(name_conflict(&project, id));
            }
            if let Some(parent_id) = project.parent_id.as_ref().filter(|p| *p != domain_id) {
                txn.link(Scope::Global, &node(parent_id), id);
                // Written anew: see the room's guards.
                txn.update::<Project, ()>(parent_id, |_| Ok(()))?;
            }
        }
    }
    txn.create(id, project)
}

/// A project's domain and parent must be there, fit together, and be enabled up to the top.
fn check_place(txn: &mut Txn, config: &Config, domain_id: &str, parent_id: &str) -> Result<()> {
    let missing =
        |what: &str, id: &str| Error::bad_request(words::not_found(what, id).message().to_owned());
    let domain = txn.alive::<Project>(domain_id)?.filter(|domain| domain.is_domain());
    if domain.is_none() {
        return Err(missing("domain", domain_id));
    }
    let mut depth = 1;
    let mut next = Some(parent_id.to_owned());
    while let Some(id) = next {
        let above = if id == domain_id {
            // Domains change often; that this one is enabled may have changed by the commit, which is
            // as if it were disabled right after.
            txn.peek::<Project>(&id)?
        } else {
            txn.get::<Project>(&id)?
        };
        let Some(above) = above else { return Err(missing("project", &id)) };
        if id == parent_id {
            check_parent(parent_id, &above, domain_id)?;
        }
        if !above.enabled {
            return Err(Error::bad_request(format!(
                "cannot create a project in a branch containing a disabled project: {id}"
            )));
        }
        depth += 1;
        next = above.parent_id.clone();
    }
    if depth > config.project_tree_depth + 1 {
        return Err(words::refused(format!("Max hierarchy depth reached for {parent_id} branch.")));
    }
    Ok(())
}

fn check_parent(parent_id: &str, parent: &Project, domain_id: &str) -> Result<()> {
    match &parent.domain_id {
        None if parent_id != domain_id => Err(Error::bad_request(format!(
            "Cannot create project, the parent ({parent_id}) is acting as a domain, but this \
             project's domain id ({domain_id}) does not match the parent's id."
        ))),
        Some(other) if other != domain_id => Err(Error::bad_request(format!(
            "Cannot create project, since it specifies its domain_id {domain_id}, but specifies a \
             parent in a different domain ({other})."
        ))),
        _ => Ok(()),
    }
}

fn name_conflict(project: &Project, id: &str) -> Error {
    let name = &project.name;
    words::conflict(
        "project",
        if project.is_domain() {
            format!(
                "it is not permitted to have two projects acting as domains with the same name: \
                 {name}"
            )
        } else {
            format!(
                "it is not permitted to have two projects with either the same name or same id in \
                 the same domain: name is {name}, project id {id}"
            )
        },
    )
}

/// Changes a project or domain and gives it as it is then. None: there is none.
pub(crate) fn update(
    txn: &mut Txn,
    config: &Config,
    id: &str,
    change: Change,
) -> Result<Option<Project>> {
    let Some(old) = txn.get::<Project>(id)? else { return Ok(None) };
    if old.immutable() && !options::lifts_immutable(change.options.as_ref()) {
        let what = if old.is_domain() { "domain" } else { "project" };
        return Err(words::immutable_update(what, id));
    }
    let mut new = Project::clone(&old);
    if let Some(name) = change.name {
        new.name = name.trim().to_owned();
    }
    if new.name != old.name {
        let (space, within) = match &old.domain_id {
            None => (names::DOMAINS, ""),
            Some(domain_id) => (names::PROJECTS, domain_id.as_str()),
        };
        if !space.take(txn, within, &new.name, id) {
            return Err(name_conflict(&new, id));
        }
        space.release(txn, within, &old.name, id);
    }
    if let Some(description) = change.description {
        new.description = description;
    }
    if let Some(tags) = change.tags {
        new.tags = tags;
    }
    if let Some(options) = &change.options {
        options::apply(&mut new.options, options);
    }
    crate::manners::merge_extra(&mut new.extra, change.extra);
    if let Some(enabled) = change.enabled
        && enabled != old.enabled
    {
        new.enabled = enabled;
        match (enabled, old.is_domain()) {
            (true, false) => check_parents_enabled(txn, id, &old)?,
            (false, false) => {
                check_subtree_disabled(txn, id)?;
                revoke::revoke(txn, config, Of::Project(id))?;
            }
            (false, true) => revoke::revoke(txn, config, Of::Domain(id))?,
            (true, true) => {}
        }
    }
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

fn check_parents_enabled(txn: &mut Txn, id: &str, project: &Project) -> Result<()> {
    let mut next = project.parent_id.clone();
    while let Some(above) = next {
        let Some(parent) = txn.get::<Project>(&above)? else { break };
        if !parent.enabled {
            return Err(words::refused(format!(
                "Cannot enable project {id} since it has disabled parents"
            )));
        }
        next = parent.parent_id.clone();
    }
    Ok(())
}

fn check_subtree_disabled(txn: &mut Txn, id: &str) -> Result<()> {
    let mut open = vec![id.to_owned()];
    let mut seen = 0;
    while let Some(parent) = open.pop() {
        // A child made meanwhile has written its parent, and so stands against this commit.
        for (child_id, _) in txn.peek_by::<Project>("parent", &parent) {
            let Some(child) = txn.get::<Project>(&child_id)? else { continue };
            seen += 1;
            if child.enabled || seen > LARGEST_SUBTREE {
                return Err(words::refused(format!(
                    "Cannot disable project {id} since its subtree contains enabled projects."
                )));
            }
            open.push(child_id.to_string());
        }
    }
    Ok(())
}

/// Deletes a project that has no children, or a disabled domain with all that is in it. What hung on it
/// is left to a purge. None: there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<Option<Kind>> {
    let Some(project) = txn.get::<Project>(id)? else { return Ok(None) };
    let kind = if project.is_domain() { Kind::Domain } else { Kind::Project };
    if project.immutable() {
        let what = if project.is_domain() { "domain" } else { "project" };
        return Err(words::immutable_delete(what, id));
    }
    if project.is_domain() && project.enabled {
        return Err(words::refused(
            "Cannot delete a domain that is enabled, please disable it first.",
        ));
    }
    if !project.is_domain() && !txn.childless(Scope::Global, &node(id)) {
        return Err(words::refused(format!(
            "Cannot delete the project {id} since it is not a leaf in the hierarchy. Use the cascade \
             option if you want to delete a whole subtree."
        )));
    }
    remove(txn, id)?;
    Ok(Some(kind))
}

/// Takes a project or domain away, whatever hangs on it.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<()> {
    let Some(project) = txn.get::<Project>(id)? else { return Ok(()) };
    match &project.domain_id {
        None => {
            names::DOMAINS.release(txn, "", &project.name, id);
            purge::request(txn, Kind::Domain, id)?;
        }
        Some(domain_id) => {
            names::PROJECTS.release(txn, domain_id, &project.name, id);
            if let Some(parent_id) = project.parent_id.as_ref().filter(|p| *p != domain_id) {
                txn.unlink(Scope::Global, &node(parent_id), id);
            }
            purge::request(txn, Kind::Project, id)?;
        }
    }
    txn.delete::<Project>(id)?;
    Ok(())
}
