//! Moving usage from what consumers held to what they shall hold: the one place where usage records change.

use base::{Error, Map, Result};
use state::Txn;

use crate::{AllocationRecord, Held, Owner, ProviderRecord, UsageRecord, inventories::Misfit};

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

/// What changes at one provider: amounts given back, and amounts taken, one by one.
#[derive(Default)]
struct Move<'m> {
    back: Vec<(&'m str, u64)>,
    take: Vec<(&'m str, u64)>,
    /// The provider's generation is raised.
    raise: bool,
}

/// Changes the usage of all providers from what these consumers hold (as this transaction leaves it) to
/// what they shall hold, all at once: what one gives back, another may take. The consumers' own records
/// are left to the caller.
///
/// As in Placement, generations are raised where something is taken, and where a consumer gives all back;
/// not where it moves away from.
pub(crate) fn replace(txn: &mut Txn, changes: &[(&str, &Held)]) -> Result<(), Refusal> {
    let mut before = Vec::new();
    for (consumer, _) in changes {
        let record = txn.get::<AllocationRecord>(consumer)?;
        before.push(record.map(|record| record.held.clone()).unwrap_or_default());
    }
    let mut moves = Map::<&str, Move<'_>>::new();
    for ((_, after), before) in changes.iter().zip(&before) {
        for (provider, amounts) in before {
            let change = moves.entry(provider).or_default();
            change.back.extend(amounts.iter().map(|(class, amount)| (class.as_str(), *amount)));
            change.raise |= after.is_empty();
        }
        for (provider, amounts) in *after {
            let change = moves.entry(provider).or_default();
            change.take.extend(amounts.iter().map(|(class, amount)| (class.as_str(), *amount)));
            change.raise = true;
        }
    }
    for (provider, change) in moves {
        move_usage(txn, provider, &change)?;
    }
    Ok(())
}

/// A consumer gives all back; the generations of the providers stay, as in Placement. Its own record is left
/// to the caller.
pub(crate) fn give_all_back(txn: &mut Txn, held: &Held) -> Result<(), Refusal> {
    for (provider, amounts) in held {
        let back = amounts.iter().map(|(class, amount)| (class.as_str(), *amount)).collect();
        move_usage(txn, provider, &Move { back, ..Move::default() })?;
    }
    Ok(())
}

fn move_usage(txn: &mut Txn, id: &str, change: &Move<'_>) -> Result<(), Refusal> {
    let old = txn.get::<UsageRecord>(id)?;
    let mut usage = old.as_deref().cloned().unwrap_or_default();
    for (class, amount) in &change.back {
        usage.used.set(class, usage.used.get(class).saturating_sub(*amount));
    }
    // Giving back rests on nothing that the provider's own record says.
    if !change.take.is_empty() {
        let Some(provider) = txn.get::<ProviderRecord>(id)? else {
            return Err(Refusal::NoProvider(id.to_owned()));
        };
        for (class, amount) in &change.take {
            let Some(inventory) = provider.inventories.get(*class) else {
                let class = (*class).to_owned();
                return Err(Refusal::NoInventory { provider: id.to_owned(), class });
            };
            let refuse = |misfit| Refusal::Misfit {
                provider: id.to_owned(),
                name: provider.name.clone(),
                class: (*class).to_owned(),
                misfit,
            };
            let used = usage.used.get(class);
            usage.used.add(class, *amount);
            // Where a provider has shrunk below what is taken, taking no more than before is fine.
            let before = old.as_ref().map_or(0, |old| old.used.get(class));
            if usage.used.get(class) <= before {
                inventory.takes(*amount).map_err(refuse)?;
            } else {
                inventory.fits(*amount, used).map_err(refuse)?;
            }
        }
    }
    usage.changes += u64::from(change.raise);
    Ok(txn.put(id, usage)?)
}

/// Writes the consumer's record, or deletes it when it holds nothing.
pub(crate) fn write(
    txn: &mut Txn,
    consumer_id: &str,
    owner: Owner,
    held: Held,
    change: impl FnOnce(&mut AllocationRecord),
) -> Result<()> {
    if held.is_empty() {
        return txn.delete::<AllocationRecord>(consumer_id).map(drop);
    }
    let now = txn.now();
    let mut record = match txn.get::<AllocationRecord>(consumer_id)? {
        Some(old) => AllocationRecord::clone(&old),
        None => AllocationRecord {
            project_id: String::new(),
            user_id: String::new(),
            consumer_type: None,
            generation: 0,
            owner,
            held: Map::new(),
            created_at: now,
            updated_at: now,
        },
    };
    record.held = held;
    record.generation += 1;
    record.updated_at = now;
    change(&mut record);
    txn.put(consumer_id, record)
}
