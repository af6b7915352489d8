//! What can be done to regions. Each is one transaction.

use base::{Error, Result};
use serde_json::{Map, Value};
use state::{Scope, Txn};

use crate::{
    catalog::{
        node,
        record::{Endpoint, Region},
    },
    manners, words,
};

/// Deeper trees, or larger ones, are not taken away in one transaction.
const LARGEST_TREE: usize = 20;

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) description: Option<Option<String>>,
    pub(crate) parent_id: Option<Option<String>>,
    pub(crate) extra: Map<String, Value>,
}

/// Makes a region.
pub(crate) fn create(txn: &mut Txn, id: &str, region: Region) -> Result<()> {
    if txn.get::<Region>(id)?.is_some() {
        return Err(words::conflict("region", format!("Duplicate ID, {id}")));
    }
    if let Some(parent) = &region.parent_id {
        hang(txn, parent, id)?;
    }
    txn.create(id, region)
}

/// Makes a region that an endpoint speaks of, if it is not there.
pub(crate) fn ensure(txn: &mut Txn, id: &str) -> Result<()> {
    if txn.alive::<Region>(id)?.is_some() {
        return Ok(());
    }
    let region = Region { description: Some(String::new()), parent_id: None, extra: Map::new() };
    txn.create(id, region)
}

fn hang(txn: &mut Txn, parent: &str, id: &str) -> Result<()> {
    if txn.alive::<Region>(parent)?.is_none() {
        return Err(words::not_found("region", parent));
    }
    txn.link(Scope::Global, &node(parent), &format!("region/{id}"));
    Ok(())
}

/// Changes a region and gives it as it is then. None: there is none.
pub(crate) fn update(txn: &mut Txn, id: &str, change: Change) -> Result<Option<Region>> {
    let Some(old) = txn.get::<Region>(id)? else { return Ok(None) };
    let mut new = Region::clone(&old);
    if let Some(description) = change.description {
        new.description = description;
    }
    if let Some(parent) = change.parent_id
        && parent != old.parent_id
    {
        if let Some(above) = &old.parent_id {
            txn.unlink(Scope::Global, &node(above), &format!("region/{id}"));
        }
        if let Some(above) = &parent {
            refuse_circle(txn, id, above)?;
            hang(txn, above, id)?;
        }
        new.parent_id = parent;
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

fn refuse_circle(txn: &mut Txn, id: &str, parent: &str) -> Result<()> {
    let mut next = Some(parent.to_owned());
    while let Some(above) = next {
        if above == id {
            return Err(Error::bad_request(format!(
                "The specified parent region {parent} would create a circular region hierarchy."
            )));
        }
        // Read with its content, so that two moves at once cannot close a circle together.
        next = txn.get::<Region>(&above)?.and_then(|region| region.parent_id.clone());
    }
    Ok(())
}

/// Deletes a region and those below it, from below: one at each call. Says whether that was the region
/// itself; none when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<Option<bool>> {
    if txn.get::<Region>(id)?.is_none() {
        return Ok(None);
    }
    let tree = tree(txn, id);
    let used = tree.iter().any(|region| !txn.peek_by::<Endpoint>("region", region).is_empty());
    if used || tree.len() > LARGEST_TREE {
        return Err(in_use(id));
    }
    let lowest = tree.last().map_or(id, String::as_str).to_owned();
    if !txn.childless(Scope::Global, &node(&lowest)) {
        return Err(in_use(id));
    }
    if let Some(region) = txn.get::<Region>(&lowest)?
        && let Some(above) = &region.parent_id
    {
        txn.unlink(Scope::Global, &node(above), &format!("region/{lowest}"));
    }
    txn.delete::<Region>(&lowest)?;
    Ok(Some(lowest == id))
}

fn in_use(id: &str) -> Error {
    words::refused(format!(
        "Unable to delete region {id} because it or its child regions have associated endpoints."
    ))
}

/// A region and all below it, the lowest last. What is decided from it is guarded by edges.
fn tree(txn: &Txn, id: &str) -> Vec<String> {
    let mut tree = vec![id.to_owned()];
    let mut at = 0;
    while let Some(parent) = tree.get(at).cloned() {
        for (child, _) in txn.peek_by::<Region>("parent", &parent) {
            if !tree.iter().any(|known| **known == *child) {
                tree.push(child.to_string());
            }
        }
        at += 1;
    }
    tree
}
