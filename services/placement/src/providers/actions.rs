//! What happens to resource providers. Each is a part of one transaction.

use base::{Error, Result, Set};
use state::{Scope, Txn};

use super::record::no_provider;
use crate::{
    DISK_GB, Inventory, MEMORY_MB, ProviderRecord, Resources, UsageRecord, VCPU, classes,
    manners::code, traits,
};

/// The names of all providers.
const NAMES: &str = "placement.provider-name";
/// How often a node's processors are given away, unless an administrator says otherwise (Nova's
/// `initial_cpu_allocation_ratio`).
const CPU_RATIO: f64 = 4.0;
/// Memory that a node keeps for itself, in MiB (Nova's `reserved_host_memory_mb`).
const RESERVED_MEMORY_MB: u64 = 512;
/// Classes whose totals are the node's own.
pub(crate) const NODE_CLASSES: [&str; 3] = [VCPU, MEMORY_MB, DISK_GB];
/// A tree is at most so deep: each ancestor is a condition of a new parent.
const DEEPEST: usize = 64;

/// The parent's name in its edges.
fn edge(id: &str) -> String {
    format!("placement.provider.{id}")
}

/// Makes or corrects the root provider of a node. Totals follow the node; ratios and what is reserved
/// stay as an administrator left them. Writes only when something differs.
///
/// # Errors
/// `Conflict` when another provider has the name.
pub fn ensure_node(txn: &mut Txn, id: &str, name: &str, totals: &Resources) -> Result<()> {
    let old = txn.get::<ProviderRecord>(id)?;
    let mut new = match &old {
        Some(old) => ProviderRecord::clone(old),
        None => ProviderRecord::new(name, txn.now()),
    };
    name.clone_into(&mut new.name);
    new.node = true;
    for class in NODE_CLASSES {
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
    }
    store(txn, id, old.as_deref(), new).map_err(|error| match error.code() {
        Some(code::DUPLICATE_NAME) => Error::conflict(format!(
            "The resource provider of node {name} cannot be made: another one has this name. Rename or \
             delete that."
        )),
        _ => error,
    })
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
    match txn.get::<ProviderRecord>(id)? {
        Some(record) => remove(txn, id, &record),
        None => Ok(()),
    }
}

/// Adds the provider of a node to an aggregate, or takes it out. Nothing happens when there is none.
///
/// # Errors
/// `Unavailable` when the record cannot be read by this program.
pub fn put_in_aggregate(txn: &mut Txn, id: &str, aggregate: &str, member: bool) -> Result<()> {
    let Some(old) = txn.get::<ProviderRecord>(id)? else { return Ok(()) };
    let mut aggregates: Set<String> = old.aggregates.iter().cloned().collect();
    let changed = match member {
        true => aggregates.insert(aggregate.to_owned()),
        false => aggregates.remove(aggregate),
    };
    if !changed {
        return Ok(());
    }
    let mut new = ProviderRecord::clone(&old);
    new.aggregates = aggregates.into_iter().collect();
    new.generation += 1;
    store(txn, id, Some(&old), new)
}

/// Makes a provider.
pub(crate) fn create(txn: &mut Txn, id: &str, name: &str, parent: Option<&str>) -> Result<()> {
    let refuse = |reason: &str| {
        Error::bad_request(format!(
            "Unable to create resource provider \"{name}\", {id}: Object action create failed because: \
             {reason}"
        ))
    };
    if name.is_empty() {
        return Err(refuse("name is required"));
    }
    if parent == Some(id) {
        return Err(refuse(
            "parent provider UUID cannot be same as UUID. Please set parent provider UUID to None if \
             there is no parent.",
        ));
    }
    if txn.get::<ProviderRecord>(id)?.is_some() {
        return Err(Error::conflict(format!(
            "Conflicting resource provider uuid: {id} already exists."
        ))
        .with_code(code::DUPLICATE_NAME));
    }
    let mut record = ProviderRecord::new(name, txn.now());
    if let Some(parent) = parent {
        if txn.alive::<ProviderRecord>(parent)?.is_none() {
            return Err(refuse("parent provider UUID does not exist."));
        }
        record.parent = Some(parent.to_owned());
    }
    store(txn, id, None, record)
}

/// Changes a provider's name or parent. `reparenting`: a parent may be changed for another or for none.
pub(crate) fn update(
    txn: &mut Txn,
    id: &str,
    name: &str,
    parent: Option<Option<&str>>,
    reparenting: bool,
) -> Result<()> {
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let mut new = ProviderRecord::clone(&old);
    name.clone_into(&mut new.name);
    if let Some(parent) = parent {
        check_parent(txn, id, old.parent.as_deref(), parent, reparenting)?;
        new.parent = parent.map(str::to_owned);
    }
    if old.node && (new.name != old.name || new.parent != old.parent) {
        return Err(Error::conflict(format!(
            "The resource provider {id} stands for the node {} of this cloud: its name and its place \
             are the node's.",
            old.name
        )));
    }
    if new == *old {
        return Ok(());
    }
    store(txn, id, Some(&old), new)
}

fn check_parent(
    txn: &mut Txn,
    id: &str,
    old: Option<&str>,
    new: Option<&str>,
    reparenting: bool,
) -> Result<()> {
    let refuse = |action: &str, reason: &str| {
        Err(Error::bad_request(format!(
            "Unable to save resource provider {id}: Object action {action} failed because: {reason}"
        )))
    };
    if old == new {
        return Ok(());
    }
    let Some(new) = new else {
        return match reparenting {
            true => Ok(()),
            false => refuse("update", "un-parenting a provider is not currently allowed."),
        };
    };
    let mut above = Some(new.to_owned());
    for depth in 0.. {
        let Some(ancestor) = above else { break };
        // Read as a condition, so that two who become each other's parent at once meet here.
        let Some(record) = txn.get::<ProviderRecord>(&ancestor)? else {
            return refuse("create", "parent provider UUID does not exist.");
        };
        if depth == 0 && old.is_some() && !reparenting {
            return refuse("update", "re-parenting a provider is not currently allowed.");
        }
        if ancestor == id {
            return refuse("update", "creating loop in the provider tree is not allowed.");
        }
        if depth == DEEPEST {
            return refuse("update", "the provider tree is too deep.");
        }
        above = record.parent.clone();
    }
    Ok(())
}

/// Deletes a provider that stands for no node.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<()> {
    let Some(record) = txn.get::<ProviderRecord>(id)? else {
        return Err(Error::not_found(format!(
            "No resource provider with uuid {id} found for delete"
        )));
    };
    if record.node {
        return Err(Error::conflict(format!(
            "Unable to delete resource provider {id}: it stands for the node {} of this cloud. Delete its \
             compute service instead.",
            record.name
        ))
        .with_code(code::PROVIDER_IN_USE));
    }
    remove(txn, id, &record)
}

fn remove(txn: &mut Txn, id: &str, record: &ProviderRecord) -> Result<()> {
    if !txn.childless(Scope::Cell, &edge(id)) {
        return Err(Error::conflict(format!(
            "Unable to delete parent resource provider {id}: It has child resource providers."
        ))
        .with_code(code::CANNOT_DELETE_PARENT));
    }
    if txn.get::<UsageRecord>(id)?.is_some_and(|usage| !usage.used.is_empty()) {
        return Err(Error::conflict(format!(
            "Unable to delete resource provider {id}: Resource provider has allocations."
        ))
        .with_code(code::PROVIDER_IN_USE));
    }
    let mut bare = ProviderRecord::new(&record.name, record.created_at);
    bare.parent = None;
    edges(txn, id, Some(record), &bare)?;
    txn.release(Scope::Cell, NAMES, &record.name, id);
    txn.delete::<UsageRecord>(id)?;
    txn.delete::<ProviderRecord>(id)?;
    Ok(())
}

/// The generation that clients see, now and at the commit.
pub(crate) fn generation(txn: &mut Txn, id: &str) -> Result<u64> {
    let record = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let usage = txn.get::<UsageRecord>(id)?;
    Ok(record.generation + usage.map_or(0, |usage| usage.changes))
}

const STALE: &str = "Resource provider's generation already changed. Please update the generation and \
                     try again.";

/// Replaces a provider's traits (sorted, no name twice); gives the new generation.
pub(crate) fn set_traits(
    txn: &mut Txn,
    id: &str,
    given: Option<u64>,
    traits: Vec<String>,
) -> Result<u64> {
    let known = generation(txn, id)?;
    if given != Some(known) {
        return Err(Error::conflict(STALE).with_code(code::CONCURRENT_UPDATE));
    }
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let unknown: Vec<&str> =
        traits.iter().map(String::as_str).filter(|name| !traits::is_known(txn, name)).collect();
    if !unknown.is_empty() {
        return Err(Error::bad_request(format!("No such trait {}", unknown.join(", "))));
    }
    if old.traits == traits {
        return Ok(known);
    }
    let mut new = ProviderRecord::clone(&old);
    new.traits = traits;
    new.generation += 1;
    store(txn, id, Some(&old), new)?;
    Ok(known + 1)
}

/// Replaces a provider's aggregates (sorted, no id twice). `given`: the generation must be this one, and is
/// raised (from 1.19 on). Gives the new generation.
pub(crate) fn set_aggregates(
    txn: &mut Txn,
    id: &str,
    given: Option<Option<u64>>,
    aggregates: Vec<String>,
) -> Result<u64> {
    let known = generation(txn, id)?;
    if given.is_some_and(|given| given != Some(known)) {
        return Err(Error::conflict(STALE).with_code(code::CONCURRENT_UPDATE));
    }
    let old = txn.get::<ProviderRecord>(id)?.ok_or_else(|| no_provider(id))?;
    let mut new = ProviderRecord::clone(&old);
    new.aggregates = aggregates;
    new.generation += u64::from(given.is_some());
    let raised = known + u64::from(given.is_some());
    if new != *old {
        store(txn, id, Some(&old), new)?;
    }
    Ok(raised)
}

/// Writes a provider together with everything that hangs on it: its name, its place in the tree, the
/// classes and traits that it uses.
pub(crate) fn store(
    txn: &mut Txn,
    id: &str,
    old: Option<&ProviderRecord>,
    mut new: ProviderRecord,
) -> Result<()> {
    let taken = |name: &str| {
        let shown = if old.is_some() { name.to_owned() } else { format!("name: {name}") };
        Error::conflict(format!("Conflicting resource provider {shown} already exists."))
            .with_code(code::DUPLICATE_NAME)
    };
    if old.is_none_or(|old| old.name != new.name) {
        txn.claim(Scope::Cell, NAMES, &new.name, id).map_err(|_| taken(&new.name))?;
        if let Some(old) = old {
            txn.release(Scope::Cell, NAMES, &old.name, id);
        }
    }
    edges(txn, id, old, &new)?;
    if old.is_some() {
        new.updated_at = txn.now();
    }
    txn.put(id, new)
}

fn edges(
    txn: &mut Txn,
    id: &str,
    old: Option<&ProviderRecord>,
    new: &ProviderRecord,
) -> Result<()> {
    let parent = old.and_then(|old| old.parent.as_deref());
    if parent != new.parent.as_deref() {
        if let Some(parent) = parent {
            txn.unlink(Scope::Cell, &edge(parent), id);
        }
        if let Some(parent) = &new.parent {
            txn.link(Scope::Cell, &edge(parent), id);
        }
    }
    for class in new.inventories.keys() {
        if old.is_none_or(|old| !old.inventories.contains_key(class)) {
            classes::actions::take(txn, class, id)?;
        }
    }
    for name in &new.traits {
        if old.is_none_or(|old| old.traits.binary_search(name).is_err()) {
            traits::actions::take(txn, name, id)?;
        }
    }
    let Some(old) = old else { return Ok(()) };
    for class in old.inventories.keys().filter(|class| !new.inventories.contains_key(*class)) {
        classes::actions::leave(txn, class, id);
    }
    for name in old.traits.iter().filter(|name| new.traits.binary_search(name).is_err()) {
        traits::actions::leave(txn, name, id);
    }
    Ok(())
}
