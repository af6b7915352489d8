//! Taking and giving back by the cloud's own services. Each is a part of one transaction, in which the
//! providers' usage records change with the consumer's.

use base::{Error, Result};
use state::Txn;

use super::replace::{Refusal, give_all_back, replace, write};
use crate::{AllocationRecord, Consumer, Held, Owner, Resources};

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
    if old.as_ref().is_some_and(|old| old.owner != Owner::Cloud) {
        return Err(Error::conflict(format!(
            "The consumer {} has allocations that were made through the Placement API; delete them first.",
            consumer.id
        )));
    }
    let before = old.map(|old| old.held.clone()).unwrap_or_default();
    let mut held = before.clone();
    match resources.is_empty() {
        true => held.remove(provider_id),
        false => held.insert(provider_id.to_owned(), resources.to_map()),
    };
    if before == held {
        return Ok(());
    }
    change_to(txn, &consumer.id, held, |record| {
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
    match held_by_us(txn, consumer_id)? {
        Some(held) => {
            give_all_back(txn, &held).map_err(|refusal| in_words(refusal, consumer_id))?;
            write(txn, consumer_id, Owner::Cloud, Held::new(), |_| {})
        }
        None => Ok(()),
    }
}

/// A consumer gives back what it holds of one provider (the source of a migration). Nothing there is fine.
///
/// # Errors
/// `Unavailable` when a record cannot be read by this program.
pub fn release_from(txn: &mut Txn, consumer_id: &str, provider_id: &str) -> Result<()> {
    let Some(mut held) = held_by_us(txn, consumer_id)? else { return Ok(()) };
    match held.remove(provider_id) {
        Some(_) => change_to(txn, consumer_id, held, |_| {}),
        None => Ok(()),
    }
}

/// What an administrator gave a consumer through the API is not ours to give back.
fn held_by_us(txn: &mut Txn, consumer_id: &str) -> Result<Option<Held>> {
    let record = txn.get::<AllocationRecord>(consumer_id)?;
    let ours = record.filter(|record| record.owner == Owner::Cloud);
    Ok(ours.map(|record| record.held.clone()))
}

fn change_to(
    txn: &mut Txn,
    consumer_id: &str,
    held: Held,
    change: impl FnOnce(&mut AllocationRecord),
) -> Result<()> {
    replace(txn, &[(consumer_id, &held)]).map_err(|refusal| in_words(refusal, consumer_id))?;
    write(txn, consumer_id, Owner::Cloud, held, change)
}

fn in_words(refusal: Refusal, consumer: &str) -> Error {
    match refusal {
        Refusal::NoProvider(provider) => Error::conflict(format!(
            "{consumer} gets no resources: the resource provider {provider} is gone."
        )),
        Refusal::NoInventory { provider, class } => Error::conflict(format!(
            "{consumer} gets no resources: the resource provider {provider} has no {class}."
        )),
        Refusal::Misfit { name, class, misfit, .. } => {
            Error::conflict(format!("{consumer} gets no resources of {name}: {class}: {misfit}."))
        }
        Refusal::Error(error) => error,
    }
}
