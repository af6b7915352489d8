//! What can be done to roles. Each is one transaction; ids are made outside.

use base::Result;
use serde_json::{Map, Value};
use state::Txn;

use super::record::{Implication, Role};
use crate::{
    manners, names, options,
    projects::record::Project,
    purge::{self, record::Kind},
    words,
};

/// The role that nothing may imply: who has it may do anything.
const NEVER_IMPLIED: &str = "admin";

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) options: Option<Map<String, Value>>,
    pub(crate) extra: Map<String, Value>,
}

/// Makes a role.
pub(crate) fn create(txn: &mut Txn, id: &str, mut role: Role) -> Result<()> {
    role.name = role.name.trim().to_owned();
    if let Some(domain_id) = &role.domain_id
        && txn.alive::<Project>(domain_id)?.filter(|domain| domain.is_domain()).is_none()
    {
        return Err(words::not_found("domain", domain_id));
    }
    let within = role.domain_id.clone().unwrap_or_default();
    if !names::ROLES.take(txn, &within, &role.name, id) {
        return Err(words::duplicate("role", &role.name, role.domain_id.as_deref()));
    }
    txn.create(id, role)
}

/// Changes a role and gives it as it is then. None: there is none.
pub(crate) fn update(txn: &mut Txn, id: &str, change: Change) -> Result<Option<Role>> {
    let Some(old) = txn.get::<Role>(id)? else { return Ok(None) };
    if old.immutable() && !options::lifts_immutable(change.options.as_ref()) {
        return Err(words::immutable_update("role", id));
    }
    let mut new = Role::clone(&old);
    if let Some(name) = change.name {
        new.name = name.trim().to_owned();
    }
    if new.name != old.name {
        let within = old.domain_id.clone().unwrap_or_default();
        if !names::ROLES.take(txn, &within, &new.name, id) {
            return Err(words::duplicate("role", &new.name, old.domain_id.as_deref()));
        }
        // Another spelling of the same name is the same claim.
        if new.name.to_lowercase() != old.name.to_lowercase() {
            names::ROLES.release(txn, &within, &old.name, id);
        }
    }
    if let Some(description) = change.description {
        new.description = description;
    }
    if let Some(options) = &change.options {
        options::apply(&mut new.options, options);
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

/// Deletes a role; false when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(role) = txn.get::<Role>(id)? else { return Ok(false) };
    if role.immutable() {
        return Err(words::immutable_delete("role", id));
    }
    remove(txn, id)?;
    Ok(true)
}

/// Takes a role away, whatever hangs on it.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<()> {
    let Some(role) = txn.get::<Role>(id)? else { return Ok(()) };
    let within = role.domain_id.clone().unwrap_or_default();
    names::ROLES.release(txn, &within, &role.name, id);
    txn.delete::<Role>(id)?;
    purge::request(txn, Kind::Role, id)
}

/// Lets one role imply another. Doing it again changes nothing.
pub(crate) fn imply(txn: &mut Txn, prior_id: &str, implied_id: &str) -> Result<()> {
    let prior = txn.alive::<Role>(prior_id)?;
    let prior = prior.ok_or_else(|| words::not_found("role", prior_id))?;
    // Its name counts.
    let implied = txn.get::<Role>(implied_id)?;
    let implied = implied.ok_or_else(|| words::not_found("role", implied_id))?;
    let never = implied.name.eq_ignore_ascii_case(NEVER_IMPLIED);
    let narrower = prior.domain_id.is_none() && implied.domain_id.is_some();
    if never || narrower {
        return Err(words::refused(format!("{implied_id} cannot be an implied roles.")));
    }
    let id = Implication::id(prior_id, implied_id);
    if txn.get::<Implication>(&id)?.is_none() {
        let implication =
            Implication { prior_id: prior_id.to_owned(), implied_id: implied_id.to_owned() };
        txn.create(&id, implication)?;
    }
    Ok(())
}

/// Ends that one role implies another; false when it does not.
pub(crate) fn imply_no_more(txn: &mut Txn, prior_id: &str, implied_id: &str) -> Result<bool> {
    txn.delete::<Implication>(&Implication::id(prior_id, implied_id))
}
