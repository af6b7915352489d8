//! What happens to resource classes. Each is a part of one transaction.

use base::{Error, Result};
use state::{Scope, Txn};

use super::record::{ClassRecord, edge};
use crate::standard;

/// Makes a custom class; false when it is there already.
pub(crate) fn ensure(txn: &mut Txn, name: &str) -> Result<bool> {
    if txn.get::<ClassRecord>(name)?.is_some() {
        return Ok(false);
    }
    let created_at = txn.now();
    txn.create(name, ClassRecord { created_at })?;
    Ok(true)
}

/// Deletes a custom class that nobody has inventory of.
pub(crate) fn delete(txn: &mut Txn, name: &str) -> Result<()> {
    if standard::is_class(name) {
        return Err(Error::bad_request(format!(
            "Error in delete resource class: Cannot delete standard resource class {name}."
        )));
    }
    if txn.get::<ClassRecord>(name)?.is_none() {
        return Err(no_class(name));
    }
    if !txn.childless(Scope::Cell, &edge(name)) {
        return Err(Error::conflict(format!(
            "Error in delete resource class: Cannot delete resource class {name}. Class is in use in \
             inventory."
        )));
    }
    txn.delete::<ClassRecord>(name)?;
    Ok(())
}

/// Gives a custom class another name (before 1.7). One in use keeps its name: inventories and allocations
/// are kept by it.
pub(crate) fn rename(txn: &mut Txn, name: &str, to: &str) -> Result<()> {
    if standard::is_class(name) {
        return Err(Error::bad_request(format!("Cannot update standard resource class {name}")));
    }
    let Some(record) = txn.get::<ClassRecord>(name)? else { return Err(no_class(name)) };
    if name == to {
        return Ok(());
    }
    if txn.get::<ClassRecord>(to)?.is_some() {
        return Err(Error::conflict(format!("Resource class already exists: {to}")));
    }
    if !txn.childless(Scope::Cell, &edge(name)) {
        return Err(Error::conflict(format!(
            "The resource class {name} cannot be renamed: it is in use in inventory."
        )));
    }
    txn.create(to, ClassRecord::clone(&record))?;
    txn.delete::<ClassRecord>(name)?;
    Ok(())
}

/// A provider has inventory of a class from now on, which must exist until the commit.
pub(crate) fn take(txn: &mut Txn, name: &str, provider: &str) -> Result<()> {
    if standard::is_class(name) {
        return Ok(());
    }
    if txn.alive::<ClassRecord>(name)?.is_none() {
        return Err(no_class(name));
    }
    txn.link(Scope::Cell, &edge(name), provider);
    Ok(())
}

/// A provider has no inventory of a class any more.
pub(crate) fn leave(txn: &mut Txn, name: &str, provider: &str) {
    if !standard::is_class(name) {
        txn.unlink(Scope::Cell, &edge(name), provider);
    }
}

/// 404 for an unknown class.
pub(crate) fn no_class(name: &str) -> Error {
    Error::not_found(format!("No such resource class {name}."))
}
