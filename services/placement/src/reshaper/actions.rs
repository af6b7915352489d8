//! One reshape, as a part of one transaction.

use base::{Error, Map, Result};
use state::Txn;

use crate::{
    Inventory, ProviderRecord, UsageRecord,
    allocations::asked::{self, Asked, Words},
    classes, inventories,
    manners::code,
    providers::actions::generation,
};

/// The inventories that one provider shall have.
pub(super) struct Shape {
    /// The provider's UUID.
    pub(super) provider: String,
    /// Its generation, as the client knows it.
    pub(super) generation: Option<u64>,
    /// What it shall have.
    pub(super) inventories: Map<String, Inventory>,
}

/// Gives providers new inventories and consumers new allocations. In between a provider has both its old
/// and its new classes, so that allocations can leave the ones and enter the others.
pub(super) fn reshape(txn: &mut Txn, shapes: &[Shape], all: &[Asked]) -> Result<()> {
    for shape in shapes {
        check(txn, shape)?;
    }
    // One that shall have nothing has both by keeping what it has.
    for shape in shapes.iter().filter(|shape| !shape.inventories.is_empty()) {
        let Some(provider) = txn.get::<ProviderRecord>(&shape.provider)? else { continue };
        let mut both = provider.inventories.clone();
        both.extend(shape.inventories.clone());
        inventories::actions::set(txn, &shape.provider, both)?;
    }
    asked::carry_out(txn, all, Words::Reshape)?;
    for shape in shapes {
        let id = &shape.provider;
        let used = txn.get::<UsageRecord>(id)?.map(|usage| usage.used.clone()).unwrap_or_default();
        let kept: Vec<&str> = used
            .iter()
            .map(|(class, _)| class)
            .filter(|class| !shape.inventories.contains_key(*class))
            .collect();
        if !kept.is_empty() {
            return Err(inventories::actions::in_use_error(&kept.join(", "), id));
        }
        inventories::actions::set(txn, id, shape.inventories.clone())?;
    }
    Ok(())
}

fn check(txn: &mut Txn, shape: &Shape) -> Result<()> {
    let id = &shape.provider;
    if txn.get::<ProviderRecord>(id)?.is_none() {
        return Err(Error::bad_request(format!(
            "Resource provider {id} in inventories not found: No resource provider with uuid {id} found"
        ))
        .with_code(code::PROVIDER_NOT_FOUND));
    }
    let known = generation(txn, id)?;
    if shape.generation != Some(known) {
        let given = shape.generation.map_or_else(|| "none".to_owned(), |given| given.to_string());
        return Err(Error::conflict(format!(
            "resource provider generation conflict for provider {id}: actual: {known}, given: {given}"
        ))
        .with_code(code::CONCURRENT_UPDATE));
    }
    match shape.inventories.keys().find(|class| !classes::is_known(txn, class)) {
        None => Ok(()),
        Some(class) => Err(Error::bad_request(format!(
            "malformed reshaper data: No such resource class {class}."
        ))),
    }
}
