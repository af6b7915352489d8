//! What happens to resource providers. Each is a part of one transaction.

use base::{Error, Map, Result};
use state::{Scope, Txn};

use crate::{DISK_GB, Inventory, MEMORY_MB, ProviderRecord, Resources, UsageRecord, VCPU};

/// The names of all providers.
pub(crate) const NAMES: &str = "placement.provider-name";
/// How often a node's processors are given away, unless an administrator says otherwise (Nova's
/// `initial_cpu_allocation_ratio`).
const CPU_RATIO: f64 = 4.0;
/// Memory that a node keeps for itself, in MiB (Nova's `reserved_host_memory_mb`).
const RESERVED_MEMORY_MB: u64 = 512;

/// The parent's name in its edges.
pub(crate) fn edge(id: &str) -> String {
    format!("placement.provider.{id}")
}

/// Makes or corrects the root provider of a node. Totals follow the node; ratios and what is reserved
/// stay as an administrator left them. Writes only when something differs.
///
/// # Errors
/// `Conflict` when another provider has the name.
pub fn ensure_node(txn: &mut Txn, id: &str, name: &str, totals: &Resources) -> Result<()> {
    let old = txn.get::<ProviderRecord>(id)?;
    let now = txn.now();
    let mut new = match &old {
        Some(old) => ProviderRecord::clone(old),
        None => ProviderRecord {
            name: name.to_owned(),
            generation: 0,
            parent: None,
            node: true,
            inventories: Map::new(),
            traits: Vec::new(),
            aggregates: Vec::new(),
            created_at: now,
            updated_at: now,
        },
    };
    if old.is_none() || new.name != name {
        txn.claim(Scope::Cell, NAMES, name, id).map_err(|_| {
            Error::conflict(format!(
                "The resource provider of node {name} cannot be made: another one has this name. \
                 Rename or delete that."
            ))
        })?;
        if new.name != name {
            let before = std::mem::replace(&mut new.name, name.to_owned());
            txn.release(Scope::Cell, NAMES, &before, id);
        }
    }
    new.node = true;
    for class in [VCPU, MEMORY_MB, DISK_GB] {
        let total = totals.get(class);
        match new.inventories.get_mut(class) {
            None if total > 0 => {
                new.inventories.insert(class.to_owned(), fresh(class, total));
            }
            None => {}
            Some(own) => {
                own.total = total;
                own.max_unit = total;
                own.reserved = own.reserved.min(total);
            }
        }
    }
    if old.as_deref() == Some(&new) {
        return Ok(());
    }
    if old.is_some() {
        new.generation += 1;
        new.updated_at = now;
    }
    txn.put(id, new)
}

fn fresh(class: &str, total: u64) -> Inventory {
    match class {
        VCPU => Inventory { allocation_ratio: CPU_RATIO, ..Inventory::of(total) },
        MEMORY_MB => Inventory { reserved: RESERVED_MEMORY_MB.min(total), ..Inventory::of(total) },
        _ => Inventory::of(total),
    }
}

/// Takes the provider of a node away. One that is not there is fine.
///
/// # Errors
/// `Conflict` when something is still allocated from it, or it has parts.
pub fn remove_node(txn: &mut Txn, id: &str) -> Result<()> {
    remove(txn, id).map(drop)
}

/// What stands against taking a provider away.
pub(crate) enum InTheWay {
    /// It has children.
    Children,
    /// Something is allocated from it.
    Allocations,
}

/// Takes a provider away; false when there is none.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(record) = txn.get::<ProviderRecord>(id)? else { return Ok(false) };
    match in_the_way(txn, id)? {
        None => {}
        Some(InTheWay::Children) => {
            return Err(Error::conflict(format!(
                "Unable to delete parent resource provider {id}: It has child resource providers."
            ))
            .with_code("placement.resource_provider.cannot_delete_parent"));
        }
        Some(InTheWay::Allocations) => {
            return Err(Error::conflict(format!(
                "Unable to delete resource provider {id}: Resource provider has allocations."
            ))
            .with_code("placement.resource_provider.inuse"));
        }
    }
    txn.release(Scope::Cell, NAMES, &record.name, id);
    if let Some(parent) = &record.parent {
        txn.unlink(Scope::Cell, &edge(parent), id);
    }
    txn.delete::<UsageRecord>(id)?;
    txn.delete::<ProviderRecord>(id)
}

fn in_the_way(txn: &mut Txn, id: &str) -> Result<Option<InTheWay>> {
    if !txn.childless(Scope::Cell, &edge(id)) {
        return Ok(Some(InTheWay::Children));
    }
    let usage = txn.get::<UsageRecord>(id)?;
    let used = usage.is_some_and(|usage| !usage.used.is_empty());
    Ok(used.then_some(InTheWay::Allocations))
}
