//! What can be done to server groups, and what servers do with them, each within a transaction.

use base::{Error, Result};
use placement::scheduler::GroupPolicy;
use state::{Snapshot, Txn};

use super::{Member, ServerGroupRecord};
use crate::quotas::{
    Resource,
    actions::{Delta, give_back, limit, take_server_group},
};

const ONE: Delta = Delta { instances: 0, cores: 0, ram: 0, server_groups: 1 };

/// 404 for a group that is not there.
pub fn not_found(id: &str) -> Error {
    Error::not_found(format!("Instance group {id} could not be found."))
}

/// Makes a group and counts it.
///
/// # Errors
/// `OverQuota` with Nova's text.
pub fn create(txn: &mut Txn, id: &str, group: ServerGroupRecord) -> Result<()> {
    take_server_group(txn, &group.project_id, &group.user_id)?;
    txn.create(id, group)
}

/// Deletes a group that `allowed` lets go. Its members stay where they are.
///
/// # Errors
/// `NotFound`, or what `allowed` refuses with.
pub fn delete(
    txn: &mut Txn,
    id: &str,
    allowed: impl FnOnce(&ServerGroupRecord) -> Result<()>,
) -> Result<()> {
    let group = txn.get::<ServerGroupRecord>(id)?.ok_or_else(|| not_found(id))?;
    allowed(&group)?;
    give_back(txn, &group.project_id, &group.user_id, &ONE)?;
    txn.delete::<ServerGroupRecord>(id)?;
    Ok(())
}

/// Servers of a user become members of a group.
///
/// # Errors
/// `BadRequest` when the group is gone, `OverQuota` when it would have too many of the user's servers.
pub fn join(txn: &mut Txn, group: &str, user: &str, servers: &[String]) -> Result<()> {
    let Some(found) = txn.get::<ServerGroupRecord>(group)? else {
        return Err(Error::bad_request(not_found(group).message()));
    };
    let most = limit(txn, &found.project_id, user, Resource::ServerGroupMembers)?;
    let has = found.members.iter().filter(|member| member.user == user).count();
    let wants = i64::try_from(has.saturating_add(servers.len())).unwrap_or(i64::MAX);
    if most >= 0 && wants > most {
        return Err(Error::over_quota("Quota exceeded, too many servers in group"));
    }
    let joining = |server: &String| Member { server: server.clone(), user: user.to_owned() };
    let mut more = ServerGroupRecord::clone(&found);
    more.members.extend(servers.iter().map(joining));
    txn.put(group, more)
}

/// A server is no member any more; neither member nor group there is fine.
///
/// # Errors
/// `Unavailable` when the group cannot be read.
pub fn leave(txn: &mut Txn, group: &str, server: &str) -> Result<()> {
    let Some(found) = txn.get::<ServerGroupRecord>(group)? else { return Ok(()) };
    if !found.members.iter().any(|member| member.server == server) {
        return Ok(());
    }
    let mut fewer = ServerGroupRecord::clone(&found);
    fewer.members.retain(|member| member.server != server);
    txn.put(group, fewer)
}

/// What a group wants of the scheduler, and how many of its members one host may have.
pub fn rule(snapshot: &Snapshot, group: &str) -> Option<(GroupPolicy, u64)> {
    let group = snapshot.get::<ServerGroupRecord>(group)?;
    Some((group.policy.rule(), group.max_server_per_host.unwrap_or(1)))
}
