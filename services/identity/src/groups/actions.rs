//! What can be done to groups. Each is one transaction; ids are made outside.

use base::Result;
use serde_json::{Map, Value};
use state::Txn;

use super::record::{Group, Membership};
use crate::{
    manners, names,
    projects::record::Project,
    purge::{self, record::Kind},
    users::record::User,
    words,
};

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) extra: Map<String, Value>,
}

/// Makes a group.
pub(crate) fn create(txn: &mut Txn, id: &str, mut group: Group) -> Result<()> {
    group.name = group.name.trim().to_owned();
    let domain = txn.alive::<Project>(&group.domain_id)?.filter(|domain| domain.is_domain());
    if domain.is_none() {
        return Err(words::not_found("domain", &group.domain_id));
    }
    if !names::GROUPS.take(txn, &group.domain_id, &group.name, id) {
        return Err(words::duplicate("group", &group.name, Some(&group.domain_id)));
    }
    txn.create(id, group)
}

/// Changes a group and gives it as it is then. None: there is none.
pub(crate) fn update(txn: &mut Txn, id: &str, change: Change) -> Result<Option<Group>> {
    let Some(old) = txn.get::<Group>(id)? else { return Ok(None) };
    let mut new = Group::clone(&old);
    if let Some(name) = change.name {
        new.name = name.trim().to_owned();
    }
    if new.name != old.name {
        if !names::GROUPS.take(txn, &old.domain_id, &new.name, id) {
            return Err(words::duplicate("group", &new.name, Some(&old.domain_id)));
        }
        names::GROUPS.release(txn, &old.domain_id, &old.name, id);
    }
    if let Some(description) = change.description {
        new.description = description;
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

/// Deletes a group; false when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<bool> {
    let there = txn.get::<Group>(id)?.is_some();
    remove(txn, id)?;
    Ok(there)
}

/// Takes a group away, whatever hangs on it.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<()> {
    let Some(group) = txn.get::<Group>(id)? else { return Ok(()) };
    names::GROUPS.release(txn, &group.domain_id, &group.name, id);
    txn.delete::<Group>(id)?;
    purge::request(txn, Kind::Group, id)
}

/// Puts a user into a group. Doing it again changes nothing.
pub(crate) fn add_user(txn: &mut Txn, user_id: &str, group_id: &str) -> Result<()> {
    if txn.alive::<User>(user_id)?.is_none() {
        return Err(words::not_found("user", user_id));
    }
    if txn.alive::<Group>(group_id)?.is_none() {
        return Err(words::not_found("group", group_id));
    }
    let id = Membership::id(user_id, group_id);
    if txn.get::<Membership>(&id)?.is_none() {
        let membership = Membership { user_id: user_id.to_owned(), group_id: group_id.to_owned() };
        txn.create(&id, membership)?;
    }
    Ok(())
}

/// Takes a user out of a group.
pub(crate) fn remove_user(txn: &mut Txn, user_id: &str, group_id: &str) -> Result<()> {
    if !txn.delete::<Membership>(&Membership::id(user_id, group_id))? {
        return Err(base::Error::not_found(format!(
            "User '{user_id}' not found in group '{group_id}'"
        )));
    }
    Ok(())
}
