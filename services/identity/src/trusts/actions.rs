//! What can be done to trusts. Each is one transaction; ids are made outside.

use base::Result;
use state::Txn;

use super::record::Trust;
use crate::{
    Identity,
    assignments::effective,
    projects::record::Project,
    purge::{self, record::Kind},
    roles::record::Role,
    users::record::User,
    words,
};

/// How often a trust may be passed on at most.
pub(crate) const MOST_REDELEGATIONS: u32 = 3;

/// Makes a trust.
pub(crate) fn create(txn: &mut Txn, id: &str, trust: Trust) -> Result<()> {
    for user in [&trust.trustor_id, &trust.trustee_id] {
        if txn.alive::<User>(user)?.is_none() {
            return Err(words::not_found("user", user));
        }
    }
    if let Some(project) = &trust.project_id {
        if txn.alive::<Project>(project)?.is_none_or(|project| project.is_domain()) {
            return Err(words::not_found("project", project));
        }
        // A role lost meanwhile is lost at each use of the trust too.
        let has = effective::in_project(txn.snapshot(), &trust.trustor_id, project);
        let has = effective::with_implied(txn.snapshot(), has);
        for role in &trust.roles {
            if txn.alive::<Role>(role)?.is_none() || !has.contains(role) {
                return Err(words::not_found("role", role));
            }
        }
    }
    if let Some(from) = &trust.redelegated_from
        && txn.alive::<Trust>(from)?.is_none()
    {
        return Err(words::not_found("trust", from));
    }
    txn.create(id, trust)
}

/// Deletes a trust, those made from it left to a purge; false when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<bool> {
    if !txn.delete::<Trust>(id)? {
        return Ok(false);
    }
    purge::request(txn, Kind::Trust, id)?;
    Ok(true)
}

/// Counts one use.
pub(crate) async fn consume(identity: &Identity, id: &str) -> Result<()> {
    let owned = id.to_owned();
    identity
        .state()
        .transact("trusts::consume", move |txn| {
            let Some(trust) = txn.get::<Trust>(&owned)? else {
                return Err(words::unauthorized());
            };
            match trust.remaining_uses {
                None => Ok(()),
                Some(0) => Err(words::refused(format!("No remaining uses for trust: {owned}."))),
                Some(left) => {
                    txn.update::<Trust, ()>(&owned, |trust| {
                        trust.remaining_uses = Some(left - 1);
                        Ok(())
                    })?;
                    Ok(())
                }
            }
        })
        .await
}
