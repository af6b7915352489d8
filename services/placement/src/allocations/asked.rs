//! Allocations that clients ask for through the API: for one consumer, for many, or with a reshape.

use base::{Error, Map, Result};
use serde_json::Value;
use state::Txn;
use web::{Microversion, v};

use super::replace::{Refusal, give_all_back, replace, write};
use crate::{
    AllocationRecord, Held, Owner, ProviderRecord, classes,
    manners::{UNKNOWN_OWNER, code, dashed, text},
};

/// What one consumer shall hold.
pub(crate) struct Asked {
    /// The consumer's UUID.
    pub(crate) consumer: String,
    /// What it shall hold; nothing to give all back.
    pub(crate) held: Held,
    project_id: String,
    user_id: String,
    consumer_type: Option<String>,
    /// What the client says of the consumer's generation (from 1.28 on); inside, none for a new consumer.
    generation: Option<Option<i64>>,
}

/// How the refusals of a request begin.
#[derive(Clone, Copy)]
pub(crate) enum Words {
    /// PUT for one consumer.
    One,
    /// POST for many.
    Many,
    /// A reshape.
    Reshape,
}

impl Asked {
    /// Reads a checked body.
    pub(crate) fn read(consumer: &str, body: &Value, version: Microversion) -> Asked {
        let owner = |name| text(body, name).unwrap_or(UNKNOWN_OWNER).to_owned();
        Asked {
            consumer: dashed(consumer).unwrap_or_else(|| consumer.to_owned()),
            held: held(body.get("allocations").unwrap_or(&Value::Null)),
            project_id: owner("project_id"),
            user_id: owner("user_id"),
            consumer_type: text(body, "consumer_type").map(str::to_owned),
            generation: (version >= v(1, 28))
                .then(|| body.get("consumer_generation").and_then(Value::as_i64)),
        }
    }
}

/// A list of providers and resources (before 1.12), or resources by provider.
fn held(allocations: &Value) -> Held {
    let amounts = |value: &Value| -> Map<String, u64> {
        let resources = value.get("resources").and_then(Value::as_object);
        let pairs = resources.into_iter().flatten();
        pairs.map(|(class, amount)| (class.clone(), amount.as_u64().unwrap_or(0))).collect()
    };
    match allocations {
        Value::Array(list) => list
            .iter()
            .filter_map(|one| {
                let id =
                    one.get("resource_provider").and_then(|provider| text(provider, "uuid"))?;
                Some((dashed(id)?, amounts(one)))
            })
            .collect(),
        Value::Object(map) => map.iter().map(|(id, one)| (id.clone(), amounts(one))).collect(),
        _ => Held::new(),
    }
}

/// Carries all of them out, or none.
pub(crate) fn carry_out(txn: &mut Txn, all: &[Asked], words: Words) -> Result<()> {
    for asked in all {
        check_consumer(txn, asked)?;
    }
    for asked in all {
        check_names(txn, asked, words)?;
    }
    let changes: Vec<(&str, &Held)> =
        all.iter().map(|asked| (asked.consumer.as_str(), &asked.held)).collect();
    replace(txn, &changes).map_err(in_words)?;
    for asked in all {
        write(txn, &asked.consumer, Owner::Api, asked.held.clone(), |record| {
            record.project_id.clone_from(&asked.project_id);
            record.user_id.clone_from(&asked.user_id);
            if asked.consumer_type.is_some() {
                record.consumer_type.clone_from(&asked.consumer_type);
            }
        })?;
    }
    Ok(())
}

/// Deletes what a consumer holds.
pub(crate) fn delete(txn: &mut Txn, consumer: &str) -> Result<()> {
    let Some(record) = txn.get::<AllocationRecord>(consumer)? else {
        return Err(Error::not_found(format!("No allocations for consumer '{consumer}'")));
    };
    keep_ours(consumer, &record)?;
    give_all_back(txn, &record.held).map_err(in_words)?;
    write(txn, consumer, Owner::Api, Held::new(), |_| {})
}

/// What the cloud's services hold changes with the thing that it is for. If it changed here, the sums
/// would no longer be those of the servers.
fn keep_ours(consumer: &str, record: &AllocationRecord) -> Result<()> {
    if record.owner == Owner::Api {
        return Ok(());
    }
    let kind = record.consumer_type.as_deref().unwrap_or("INSTANCE");
    Err(Error::conflict(format!(
        "The allocations of {consumer} belong to a server of this cloud ({kind}) and always equal what it \
         uses: they change when it is resized, moved or deleted, and cannot be edited."
    )))
}

fn check_consumer(txn: &mut Txn, asked: &Asked) -> Result<()> {
    let record = txn.get::<AllocationRecord>(&asked.consumer)?;
    if let Some(given) = asked.generation {
        let known = record.as_ref().and_then(|record| i64::try_from(record.generation).ok());
        if given != known {
            let show = |generation: Option<i64>, none: &str| {
                generation.map_or_else(|| none.to_owned(), |generation| generation.to_string())
            };
            return Err(Error::conflict(format!(
                "consumer generation conflict - expected {} but got {}",
                show(known, "null"),
                show(given, "None")
            ))
            .with_code(code::CONCURRENT_UPDATE));
        }
    }
    record.map_or(Ok(()), |record| keep_ours(&asked.consumer, &record))
}

fn check_names(txn: &mut Txn, asked: &Asked, words: Words) -> Result<()> {
    for (provider, amounts) in &asked.held {
        if txn.get::<ProviderRecord>(provider)?.is_none() {
            return Err(no_provider(provider));
        }
        for class in amounts.keys() {
            if !classes::is_known(txn, class) {
                let begin = match words {
                    Words::One => {
                        format!("Unable to allocate inventory for consumer {}:", asked.consumer)
                    }
                    Words::Many => "Unable to allocate inventory".to_owned(),
                    Words::Reshape => "malformed reshaper data:".to_owned(),
                };
                return Err(Error::bad_request(format!("{begin} No such resource class {class}.")));
            }
        }
    }
    Ok(())
}

fn no_provider(provider: &str) -> Error {
    Error::bad_request(format!(
        "Allocation for resource provider '{provider}' that does not exist."
    ))
}

fn in_words(refusal: Refusal) -> Error {
    use crate::inventories::Misfit;
    match refusal {
        Refusal::NoProvider(provider) => no_provider(&provider),
        Refusal::NoInventory { provider, class } => Error::conflict(format!(
            "Unable to allocate inventory: Inventory for '{class}' on resource provider '{provider}' \
             invalid."
        )),
        Refusal::Misfit { provider, class, misfit, .. } => {
            let why = match misfit {
                Misfit::Full { .. } => "exceed the capacity",
                Misfit::Unit { .. } => "violate inventory constraints",
            };
            Error::conflict(format!(
                "Unable to allocate inventory: Unable to create allocation for '{class}' on resource \
                 provider '{provider}'. The requested amount would {why}."
            ))
        }
        Refusal::Error(error) => error,
    }
}
