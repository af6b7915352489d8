//! What can be done to key pairs, each in one transaction.

use base::{Error, Result};
use state::Txn;

use super::record::{KeypairCountRecord, KeypairRecord, id};
use crate::quotas::{Resource, actions::limit};

/// 404 for a key pair that is not there.
pub(super) fn not_found(user: &str, name: &str) -> Error {
    Error::not_found(format!("Keypair {name} not found for user {user}"))
}

/// Keeps a key pair and counts it; `project` is the one whose limits are asked. Its number is given here.
pub(super) fn create(
    txn: &mut Txn,
    project: &str,
    keypair: &KeypairRecord,
) -> Result<KeypairRecord> {
    let user = &keypair.user_id;
    let counted = txn.get::<KeypairCountRecord>(user)?.map(|count| *count).unwrap_or_default();
    let most = limit(txn, project, user, Resource::KeyPairs)?;
    if u64::try_from(most).is_ok_and(|most| counted.count >= most) {
        return Err(Error::over_quota("Quota exceeded, too many key pairs."));
    }
    let key = id(user, &keypair.name);
    if txn.get::<KeypairRecord>(&key)?.is_some() {
        return Err(Error::conflict(format!("Key pair '{}' already exists.", keypair.name)));
    }
    let counted = KeypairCountRecord { count: counted.count + 1, number: counted.number + 1 };
    let keypair = KeypairRecord { number: counted.number, ..keypair.clone() };
    txn.put(user, counted)?;
    txn.create(&key, keypair.clone())?;
    Ok(keypair)
}

/// Forgets a key pair.
pub(super) fn delete(txn: &mut Txn, user: &str, name: &str) -> Result<()> {
    if !txn.delete::<KeypairRecord>(&id(user, name))? {
        return Err(not_found(user, name));
    }
    let counted = txn.get::<KeypairCountRecord>(user)?.map(|count| *count).unwrap_or_default();
    match counted.count {
        0 | 1 => txn.delete::<KeypairCountRecord>(user).map(|_| ()),
        count => txn.put(user, KeypairCountRecord { count: count - 1, ..counted }),
    }
}
