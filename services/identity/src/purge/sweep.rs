//! One step of a purge: takes away some of what hangs on a deleted thing. Bounded, so that it fits into
//! one transaction.

use base::Result;
use state::{Record, Snapshot, Txn};

use super::record::{Kind, Purge};
use crate::{
    app_creds::{
        self,
        record::{AccessRule, AppCred},
    },
    assignments::record::{Assignment, Where, Who},
    catalog::{endpoints, filter::Association, record::Endpoint},
    credentials::record::Credential,
    domain_configs::record::DomainConfig,
    groups::{
        self,
        record::{Group, Membership},
    },
    limits::{self, record::Limit},
    projects,
    projects::record::Project,
    roles::{
        self,
        record::{Implication, Role},
    },
    trusts::record::Trust,
    users::{self, record::User},
};

/// So many things go in one step; each costs up to four operations.
const MOST: usize = 24;

/// Takes one step; true when nothing is left and the purge itself is gone.
pub(super) fn step(txn: &mut Txn, key: &str) -> Result<bool> {
    let Some(purge) = txn.get::<Purge>(key)? else { return Ok(true) };
    let id = purge.of.as_str();
    let snapshot = txn.snapshot().clone();
    let mut left = MOST;
    match purge.kind {
        Kind::User => {
            delete_by::<Assignment>(txn, &snapshot, &mut left, "who", &Who::User(id.into()).key())?;
            delete_by::<Membership>(txn, &snapshot, &mut left, "user", id)?;
            delete_app_creds(txn, &snapshot, &mut left, "user", id)?;
            delete_by::<AccessRule>(txn, &snapshot, &mut left, "user", id)?;
            delete_by::<Credential>(txn, &snapshot, &mut left, "user", id)?;
            delete_by::<Trust>(txn, &snapshot, &mut left, "trustor", id)?;
            delete_by::<Trust>(txn, &snapshot, &mut left, "trustee", id)?;
        }
        Kind::Group => {
            delete_by::<Assignment>(
                txn,
                &snapshot,
                &mut left,
                "who",
                &Who::Group(id.into()).key(),
            )?;
            delete_by::<Membership>(txn, &snapshot, &mut left, "group", id)?;
        }
        Kind::Project => {
            let place = Where::Project(id.into()).key();
            delete_by::<Assignment>(txn, &snapshot, &mut left, "where", &place)?;
            delete_app_creds(txn, &snapshot, &mut left, "project", id)?;
            delete_by::<Credential>(txn, &snapshot, &mut left, "project", id)?;
            delete_by::<Trust>(txn, &snapshot, &mut left, "project", id)?;
            delete_limits(txn, &snapshot, &mut left, "project", id)?;
            delete_by::<Association>(txn, &snapshot, &mut left, "project", id)?;
            for user in some(&snapshot.index_ids::<User>("default_project", id), &mut left) {
                txn.update::<User, ()>(user, |user| {
                    user.default_project_id = None;
                    Ok(())
                })?;
            }
        }
        Kind::Role => {
            delete_by::<Assignment>(txn, &snapshot, &mut left, "role", id)?;
            delete_by::<Implication>(txn, &snapshot, &mut left, "prior", id)?;
            delete_by::<Implication>(txn, &snapshot, &mut left, "implied", id)?;
        }
        Kind::Service => {
            for endpoint in some(&snapshot.index_ids::<Endpoint>("service", id), &mut left) {
                endpoints::actions::remove(txn, endpoint)?;
            }
        }
        Kind::Endpoint => delete_by::<Association>(txn, &snapshot, &mut left, "of", id)?,
        Kind::Trust => {
            for trust in some(&snapshot.index_ids::<Trust>("from", id), &mut left) {
                txn.delete::<Trust>(trust)?;
                super::request(txn, Kind::Trust, trust)?;
            }
        }
        Kind::Domain => domain(txn, &snapshot, &mut left, id)?,
    }
    let done = left == MOST;
    if done {
        txn.delete::<Purge>(key)?;
    }
    Ok(done)
}

/// What lives in a domain goes as if it were deleted one by one, each leaving a purge of its own.
fn domain(txn: &mut Txn, snapshot: &Snapshot, left: &mut usize, id: &str) -> Result<()> {
    let place = Where::Domain(id.into()).key();
    delete_by::<Assignment>(txn, snapshot, left, "where", &place)?;
    delete_limits(txn, snapshot, left, "domain", id)?;
    if txn.delete::<DomainConfig>(id)? {
        *left -= 1;
    }
    for user in some(&snapshot.index_ids::<User>("domain", id), left) {
        users::actions::remove(txn, user)?;
    }
    for group in some(&snapshot.index_ids::<Group>("domain", id), left) {
        groups::actions::remove(txn, group)?;
    }
    for project in some(&snapshot.index_ids::<Project>("domain", id), left) {
        projects::actions::remove(txn, project)?;
    }
    for role in some(&snapshot.index_ids::<Role>("domain", id), left) {
        roles::actions::remove(txn, role)?;
    }
    Ok(())
}

fn delete_by<T: Record>(
    txn: &mut Txn,
    snapshot: &Snapshot,
    left: &mut usize,
    index: &str,
    text: &str,
) -> Result<()> {
    for id in some(&snapshot.index_ids::<T>(index, text), left) {
        txn.delete::<T>(id)?;
    }
    Ok(())
}

fn delete_limits(
    txn: &mut Txn,
    snapshot: &Snapshot,
    left: &mut usize,
    index: &str,
    text: &str,
) -> Result<()> {
    for id in some(&snapshot.index_ids::<Limit>(index, text), left) {
        limits::actions::remove(txn, id)?;
    }
    Ok(())
}

fn delete_app_creds(
    txn: &mut Txn,
    snapshot: &Snapshot,
    left: &mut usize,
    index: &str,
    text: &str,
) -> Result<()> {
    for id in some(&snapshot.index_ids::<AppCred>(index, text), left) {
        app_creds::actions::remove(txn, id)?;
    }
    Ok(())
}

/// As many as may still go in this step.
fn some<'i>(ids: &'i [std::sync::Arc<str>], left: &mut usize) -> impl Iterator<Item = &'i str> {
    let count = ids.len().min(*left);
    *left -= count;
    ids.iter().take(count).map(|id| &**id)
}
