//! What happens to traits. Each is a part of one transaction.

use base::{Error, Result};
use state::{Scope, Txn};

use super::record::{TraitRecord, edge};
use crate::standard;

/// Makes a custom trait; false when it is there already.
pub(crate) fn ensure(txn: &mut Txn, name: &str) -> Result<bool> {
    if txn.get::<TraitRecord>(name)?.is_some() {
        return Ok(false);
    }
    let created_at = txn.now();
    txn.create(name, TraitRecord { created_at })?;
    Ok(true)
}

/// Deletes a custom trait that no provider has.
pub(crate) fn delete(txn: &mut Txn, name: &str) -> Result<()> {
    if standard::is_trait(name) {
        return Err(Error::bad_request(format!("Cannot delete standard trait {name}.")));
    }
    if txn.get::<TraitRecord>(name)?.is_none() {
        return Err(no_trait(name));
    }
    if !txn.childless(Scope::Cell, &edge(name)) {
        return Err(Error::conflict(format!("The trait {name} is in use by a resource provider.")));
    }
    txn.delete::<TraitRecord>(name)?;
    Ok(())
}

/// A provider has a trait from now on, which must exist until the commit.
pub(crate) fn take(txn: &mut Txn, name: &str, provider: &str) -> Result<()> {
    if standard::is_trait(name) {
        return Ok(());
    }
    if txn.alive::<TraitRecord>(name)?.is_none() {
        return Err(Error::bad_request(format!("No such trait {name}")));
    }
    txn.link(Scope::Cell, &edge(name), provider);
    Ok(())
}

/// A provider has a trait no more.
pub(crate) fn leave(txn: &mut Txn, name: &str, provider: &str) {
    if !standard::is_trait(name) {
        txn.unlink(Scope::Cell, &edge(name), provider);
    }
}

/// 404 for an unknown trait.
pub(crate) fn no_trait(name: &str) -> Error {
    Error::not_found(format!("No such trait(s): {name}."))
}
