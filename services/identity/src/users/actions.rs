//! What can be done to users. Each is one transaction; ids and hashes are made outside.

use base::Result;
use serde_json::{Map, Value};
use state::Txn;

use super::record::User;
use crate::{
    config::Config,
    manners, names, options,
    passwords::{self, record::Password},
    projects::record::Project,
    purge::{self, record::Kind},
    tokens::revoke::{self, Of},
    words,
};

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) enabled: Option<bool>,
    pub(crate) default_project_id: Option<Option<String>>,
    pub(crate) options: Option<Map<String, Value>>,
    pub(crate) extra: Map<String, Value>,
    /// The new password's hash.
    pub(crate) hash: Option<String>,
}

/// Makes a user.
pub(crate) fn create(
    txn: &mut Txn,
    config: &Config,
    id: &str,
    mut user: User,
    hash: Option<String>,
) -> Result<()> {
    user.name = user.name.trim().to_owned();
    let domain = txn.alive::<Project>(&user.domain_id)?.filter(|domain| domain.is_domain());
    if domain.is_none() {
        return Err(words::not_found("domain", &user.domain_id));
    }
    check_default_project(txn, user.default_project_id.as_deref())?;
    if !names::USERS.take(txn, &user.domain_id, &user.name, id) {
        return Err(words::duplicate("user", &user.name, Some(&user.domain_id)));
    }
    txn.create(id, user)?;
    match hash {
        Some(hash) => passwords::set(txn, config, id, hash, false),
        None => Ok(()),
    }
}

/// A domain is no default project. One that does not exist is taken: it is ignored at log-in.
fn check_default_project(txn: &mut Txn, id: Option<&str>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    // Only to help the client: a project never turns into a domain.
    match txn.peek::<Project>(id)? {
        Some(project) if project.is_domain() => Err(base::Error::bad_request(format!(
            "A domain ({id}) cannot be a user's default project"
        ))),
        _ => Ok(()),
    }
}

/// Changes a user and gives it as it is then. None: there is none.
pub(crate) fn update(
    txn: &mut Txn,
    config: &Config,
    id: &str,
    change: Change,
) -> Result<Option<User>> {
    let Some(old) = txn.get::<User>(id)? else { return Ok(None) };
    let mut new = User::clone(&old);
    if let Some(name) = change.name {
        new.name = name.trim().to_owned();
    }
    if new.name != old.name {
        if !names::USERS.take(txn, &old.domain_id, &new.name, id) {
            return Err(words::duplicate("user", &new.name, Some(&old.domain_id)));
        }
        names::USERS.release(txn, &old.domain_id, &old.name, id);
    }
    if let Some(project) = change.default_project_id {
        check_default_project(txn, project.as_deref())?;
        new.default_project_id = project;
    }
    if let Some(options) = &change.options {
        options::apply(&mut new.options, options);
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if let Some(enabled) = change.enabled {
        new.enabled = enabled;
    }
    if old.enabled && !new.enabled {
        revoke::revoke(txn, config, Of::User(id))?;
    }
    if new != *old {
        txn.put(id, new.clone())?;
    }
    if let Some(hash) = change.hash {
        passwords::set(txn, config, id, hash, false)?;
    }
    Ok(Some(new))
}

/// Deletes a user; false when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<bool> {
    let there = txn.get::<User>(id)?.is_some();
    remove(txn, id)?;
    Ok(there)
}

/// Takes a user away, whatever hangs on it.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<()> {
    let Some(user) = txn.get::<User>(id)? else { return Ok(()) };
    names::USERS.release(txn, &user.domain_id, &user.name, id);
    txn.delete::<User>(id)?;
    txn.delete::<Password>(id)?;
    purge::request(txn, Kind::User, id)
}
