//! Taking and giving back. Each is a part of one transaction, in which the providers' usage records change
//! with the consumer's.

use base::{Error, Map, Result};
use state::Txn;

use crate::{
    AllocationRecord, Consumer, Owner, ProviderRecord, Resources, UsageRecord, inventories::Misfit,
};

/// A consumer takes these resources of a provider. What it already holds of the same provider is
/// replaced; taking the same again changes nothing.
///
/// # Errors
/// `Conflict`, with the reason, when it does not fit now.
pub fn claim(
    txn: &mut Txn,
    consumer: &Consumer,
    provider_id: &str,
    resources: &Resources,
) -> Result<()> {
    let old = txn.get::<AllocationRecord>(&consumer.id)?;
    let mut held = old.as_ref().map(|old| old.held.clone()).unwrap_or_default();
    if old.as_ref().is_some_and(|old| old.owner != Owner::Cloud) {
        return Err(Error::conflict(format!(
            "The consumer {} has allocations that were made through the Placement API; delete them first.",
            consumer.id
        )));
    }
    match resources.is_empty() {
        true => held.remove(provider_id),
        false => held.insert(provider_id.to_owned(), resources.to_map()),
    };
    if old.as_ref().map(|old| &old.held).unwrap_or(&Map::new()) == &held {
        return Ok(());
    }
    replace(txn, &consumer.id, &held).map_err(|refusal| refusal.into_error(&consumer.id))?;
    write(txn, &consumer.id, old.as_deref(), held, Owner::Cloud, |record| {
        record.project_id.clone_from(&consumer.project_id);
        record.user_id.clone_from(&consumer.user_id);
        record.consumer_type = Some(consumer.kind.clone());
    })
}

/// A consumer gives everything back. One that holds nothing is fine.
///
/// # Errors
/// `Unavailable` when a record cannot be read by this program.
pub fn release(txn: &mut Txn, consumer_id: &str) -> Result<()> {
    if txn.get::<AllocationRecord>(consumer_id)?.is_none() {
        return Ok(());
    }
    replace(txn, consumer_id, &Map::new()).map_err(|refusal| refusal.into_error(consumer_id))?;
    txn.delete::<AllocationRecord>(consumer_id).map(drop)
}

/// A consumer gives back what it holds of one provider (the source of a migration). Nothing there is fine.
///
/// # Errors
/// `Unavailable` when a record cannot be read by this program.
pub fn release_from(txn: &mut Txn, consumer_id: &str, provider_id: &str) -> Result<()> {
    let Some(old) = txn.get::<AllocationRecord>(consumer_id)? else { return Ok(()) };
    let mut held = old.held.clone();
    if held.remove(provider_id).is_none() {
        return Ok(());
    }
    replace(txn, consumer_id, &held).map_err(|refusal| refusal.into_error(consumer_id))?;
    write(txn, consumer_id, Some(&old), held, old.owner, |_| {})
}

/// Why a set of allocations is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such provider.
    NoProvider(String),
    /// The provider has no such class.
    NoInventory {
        /// Which provider.
        provider: String,
        /// Which class.
        class: String,
    },
    /// It does not fit.
    Misfit {
        /// Which provider.
        provider: String,
        /// Its name.
        name: String,
        /// Which class.
        class: String,
        /// How not.
        misfit: Misfit,
    },
    /// Something else.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Error(error)
    }
}

impl Refusal {
    /// In words for whoever called by function.
    fn into_error(self, consumer: &str) -> Error {
        match self {
            Refusal::NoProvider(provider) => Error::conflict(format!(
                "{consumer} gets no resources: the resource provider {provider} is gone."
            )),
            Refusal::NoInventory { provider, class } => Error::conflict(format!(
                "{consumer} gets no resources: the resource provider {provider} has no {class}."
            )),
            Refusal::Misfit { name, class, misfit, .. } => Error::conflict(format!(
                "{consumer} gets no resources of {name}: {class}: {misfit}."
            )),
            Refusal::Error(error) => error,
        }
    }
}

/// Changes the usage of all providers from what the consumer holds (as this transaction leaves it) to
/// `new`. The consumer's own record is left to the caller.
pub(crate) fn replace(
    txn: &mut Txn,
    consumer_id: &str,
    new: &Map<String, Map<String, u64>>,
) -> Result<(), Refusal> {
    let old = txn.get::<AllocationRecord>(consumer_id)?.map(|old| old.held.clone());
    let old = old.unwrap_or_default();
    let none = Map::new();
    for (provider_id, before) in &old {
        let after = new.get(provider_id).unwrap_or(&none);
        if before != after {
            move_usage(txn, provider_id, before, after)?;
        }
    }
    for (provider_id, after) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        move_usage(txn, provider_id, &none, after)?;
    }
    Ok(())
}

/// One provider's usage, from what a consumer held to what it shall hold.
fn move_usage(
    txn: &mut Txn,
    provider_id: &str,
    before: &Map<String, u64>,
    after: &Map<String, u64>,
) -> Result<(), Refusal> {
    let usage = txn.get::<UsageRecord>(provider_id)?;
    let mut usage = usage.map(|usage| UsageRecord::clone(&usage)).unwrap_or_default();
    for (class, amount) in before {
        usage.used.set(class, usage.used.get(class).saturating_sub(*amount));
    }
    // Giving back rests on nothing that the provider's own record says.
    if !after.is_empty() {
        let Some(provider) = txn.get::<ProviderRecord>(provider_id)? else {
            return Err(Refusal::NoProvider(provider_id.to_owned()));
        };
        for (class, amount) in after {
            let Some(inventory) = provider.inventories.get(class) else {
                let class = class.clone();
                return Err(Refusal::NoInventory { provider: provider_id.to_owned(), class });
            };
            // Taking no more than before is fine, also where the provider has shrunk meanwhile.
            let held = before.get(class).copied().unwrap_or(0);
            if held < *amount {
                inventory.fits(*amount, usage.used.get(class)).map_err(|misfit| {
                    Refusal::Misfit {
                        provider: provider_id.to_owned(),
                        name: provider.name.clone(),
                        class: class.clone(),
                        misfit,
                    }
                })?;
            }
            usage.used.add(class, *amount);
        }
    }
    usage.changes += 1;
    Ok(txn.put(provider_id, usage)?)
}

/// Writes the consumer's record, or deletes it when it holds nothing.
pub(crate) fn write(
    txn: &mut Txn,
    consumer_id: &str,
    old: Option<&AllocationRecord>,
    held: Map<String, Map<String, u64>>,
    owner: Owner,
    change: impl FnOnce(&mut AllocationRecord),
) -> Result<()> {
    if held.is_empty() {
        return txn.delete::<AllocationRecord>(consumer_id).map(drop);
    }
    let now = txn.now();
    let mut record = AllocationRecord {
        project_id: String::new(),
        user_id: String::new(),
        consumer_type: None,
        generation: 0,
        owner,
        held: Map::new(),
        created_at: now,
        updated_at: now,
    };
    if let Some(old) = old {
        record = AllocationRecord { updated_at: now, owner, ..old.clone() };
    }
    record.held = held;
    record.generation += 1;
    change(&mut record);
    txn.put(consumer_id, record)
}
