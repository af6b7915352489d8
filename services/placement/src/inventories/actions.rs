//! What happens to inventories. Each is a part of one transaction, in which the provider's record is
//! written anew.

use base::{Error, Map, Result};
use state::Txn;

use super::Inventory;
use crate::{
    ProviderRecord, UsageRecord, classes,
    manners::code,
    providers::{
        actions::{NODE_CLASSES, generation, store},
        no_provider,
    },
    standard,
};

/// Whether the generation that a client knows is the one that is: 409 when not.
pub(super) fn check_generation(txn: &mut Txn, id: &str, given: Option<u64>) -> Result<u64> {
    let known = generation(txn, id)?;
    if given != Some(known) {
        return Err(Error::conflict("resource provider generation conflict")
            .with_code(code::CONCURRENT_UPDATE));
    }
    Ok(known)
}

/// Replaces all inventories; gives the new generation. Those taken away must not be in use.
pub(crate) fn set(txn: &mut Txn, id: &str, inventories: Map<String, Inventory>) -> Result<u64> {
    let known = generation(txn, id)?;
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let usage = txn.get::<UsageRecord>(id)?;
    if let Some(usage) = usage {
        let mut in_use: Vec<&str> = old
            .inventories
            .keys()
            .filter(|class| !inventories.contains_key(*class) && usage.used.get(class) > 0)
            .map(String::as_str)
            .collect();
        in_use.sort_by_key(|class| standard::class_order(class));
        if !in_use.is_empty() {
            return Err(in_use_error(&in_use.join(", "), id));
        }
    }
    let mut new = ProviderRecord::clone(&old);
    new.inventories = inventories;
    keep_node(&old, &mut new, id)?;
    new.generation += 1;
    store(txn, id, Some(&old), new)?;
    Ok(known + 1)
}

/// Adds one; gives the new generation.
pub(super) fn add(txn: &mut Txn, id: &str, class: &str, inventory: Inventory) -> Result<u64> {
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    if !classes::is_known(txn, class) {
        return Err(Error::bad_request(format!(
            "Unable to create inventory for resource provider {id}: No such resource class {class}."
        )));
    }
    if old.inventories.contains_key(class) {
        return Err(Error::conflict(format!(
            "Update conflict: the resource provider {id} has an inventory of class {class} already."
        ))
        .with_code(code::CONCURRENT_UPDATE));
    }
    let mut all = old.inventories.clone();
    all.insert(class.to_owned(), inventory);
    set(txn, id, all)
}

/// Replaces one that is there; gives the new generation.
pub(super) fn replace(txn: &mut Txn, id: &str, class: &str, inventory: Inventory) -> Result<u64> {
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    if !classes::is_known(txn, class) {
        return Err(classes::actions::no_class(class));
    }
    let mut all = old.inventories.clone();
    let Some(own) = all.get_mut(class) else {
        return Err(Error::bad_request(format!(
            "No inventory record with resource class for resource provider {id}: No inventory of class \
             {class} found."
        )));
    };
    *own = inventory;
    set(txn, id, all)
}

/// Takes one away that is not in use.
pub(super) fn remove(txn: &mut Txn, id: &str, class: &str) -> Result<()> {
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let absent = |why: String| {
        Error::not_found(format!("No inventory of class {class} found for delete: {why}"))
    };
    if !classes::is_known(txn, class) {
        return Err(absent(format!("No such resource class {class}.")));
    }
    let mut all = old.inventories.clone();
    if all.remove(class).is_none() {
        return Err(absent(format!("No inventory of class {class} found for delete")));
    }
    match set(txn, id, all) {
        Err(error) if error.code() == Some(code::INVENTORY_INUSE) => Err(Error::conflict(format!(
            "Unable to delete inventory of class {class}: {}",
            in_use_text(class, id)
        ))
        .with_code(code::CONCURRENT_UPDATE)),
        other => other.map(drop),
    }
}

/// The text of a refusal to take inventory away that is in use.
pub(super) fn in_use_text(classes: &str, id: &str) -> String {
    format!("Inventory for '{classes}' on resource provider '{id}' in use.")
}

pub(crate) fn in_use_error(classes: &str, id: &str) -> Error {
    Error::conflict(format!("update conflict: {}", in_use_text(classes, id)))
        .with_code(code::INVENTORY_INUSE)
}

/// What a node has is the node's to say; how much of it is reserved and how often it is given away, and
/// classes beside, are an administrator's.
fn keep_node(old: &ProviderRecord, new: &mut ProviderRecord, id: &str) -> Result<()> {
    if !old.node {
        return Ok(());
    }
    for class in NODE_CLASSES {
        let before = old.inventories.get(class).map(|own| own.total);
        let after = new.inventories.get(class).map(|own| own.total);
        if before != after {
            return Err(Error::conflict(format!(
                "The resource provider {id} stands for the node {} of this cloud: its total of {class} is \
                 what the node has. Its reserved and allocation_ratio may be changed.",
                old.name
            )));
        }
        if let Some(own) = new.inventories.get_mut(class) {
            own.max_unit = own.total;
        }
    }
    Ok(())
}
