//! Granting and revoking. Each is one transaction.

use base::{Error, Result};
use state::Txn;

use super::record::{Assignment, Where, Who};
use crate::{
    groups::record::Group, projects::record::Project, roles::record::Role, users::record::User,
    words,
};

/// Grants a role. Doing it again changes nothing.
pub(crate) fn grant(txn: &mut Txn, assignment: &Assignment) -> Result<()> {
    let role = txn.alive::<Role>(&assignment.role_id)?;
    let role = role.ok_or_else(|| words::not_found("role", &assignment.role_id))?;
    match &assignment.who {
        Who::User(id) => {
            txn.alive::<User>(id)?.ok_or_else(|| words::not_found("user", id))?;
        }
        Who::Group(id) => {
            txn.alive::<Group>(id)?.ok_or_else(|| words::not_found("group", id))?;
        }
    }
    let domain_id = match &assignment.place {
        Where::System => None,
        Where::Domain(id) => {
            let domain = txn.alive::<Project>(id)?.filter(|domain| domain.is_domain());
            domain.ok_or_else(|| words::not_found("domain", id))?;
            Some(id.clone())
        }
        Where::Project(id) => {
            let project = txn.alive::<Project>(id)?.filter(|project| !project.is_domain());
            let project = project.ok_or_else(|| words::not_found("project", id))?;
            project.domain_id.clone()
        }
    };
    if role.domain_id.is_some() && role.domain_id != domain_id {
        return Err(match &assignment.place {
            Where::System => Error::bad_request(format!(
                "Role {} is a domain-specific role. Unable to use a domain-specific role in a \
                 system assignment.",
                assignment.role_id
            )),
            place => words::refused(format!(
                "Project {} must be in the same domain as the role {} being assigned.",
                place.id(),
                assignment.role_id
            )),
        });
    }
    let id = assignment.id();
    if txn.get::<Assignment>(&id)?.is_none() {
        txn.create(&id, assignment.clone())?;
    }
    Ok(())
}

/// Takes a role away again.
pub(crate) fn revoke(txn: &mut Txn, assignment: &Assignment) -> Result<()> {
    if !txn.delete::<Assignment>(&assignment.id())? {
        return Err(not_found(assignment));
    }
    Ok(())
}

/// There is no such grant.
pub(crate) fn not_found(assignment: &Assignment) -> Error {
    Error::not_found(format!(
        "Could not find role assignment with role: {}, user or group: {}, project, domain, or \
         system: {}.",
        assignment.role_id,
        assignment.who.id(),
        assignment.place.id()
    ))
}
