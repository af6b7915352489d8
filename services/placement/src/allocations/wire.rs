//! Allocations as JSON, in and out, at each microversion.

use base::{Map, Timestamp};
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::{Microversion, Schema, v, validate::prop};

use crate::{
    AllocationRecord, ProviderRecord,
    manners::{CLASS, UUID},
};

const AMOUNTS: Schema = Schema::map(CLASS, &Schema::integer().min(1)).min_len(1);
const PROVIDER: Schema = Schema::object(&[prop("uuid", Schema::uuid()).required()]);
const IN_LIST: Schema = Schema::object(&[
    prop("resource_provider", PROVIDER).required(),
    prop("resources", AMOUNTS).required(),
]);
const BY_PROVIDER: Schema =
    Schema::object(&[prop("generation", Schema::integer()), prop("resources", AMOUNTS).required()]);
const OWNER: Schema = Schema::string().len(1, 255);
const GENERATION: Schema = Schema::integer().nullable();
const MAPPINGS: Schema = Schema::map("", &Schema::array(&Schema::uuid()).min_len(1)).min_len(1);
const TYPE: Schema = Schema::string().len(1, 255).pattern(CLASS);

/// For one consumer. Before 1.12 a list; before 1.28 never empty.
pub(super) const PUT: Schema = Schema::object(&[
    prop("allocations", Schema::array(&IN_LIST).min_len(1)).required().until("1.11"),
    prop("allocations", Schema::map(UUID, &BY_PROVIDER).min_len(1))
        .required()
        .since("1.12")
        .until("1.27"),
    prop("allocations", Schema::map(UUID, &BY_PROVIDER)).required().since("1.28"),
    prop("project_id", OWNER).required().since("1.8"),
    prop("user_id", OWNER).required().since("1.8"),
    prop("consumer_generation", GENERATION).required().since("1.28"),
    prop("mappings", MAPPINGS).since("1.34"),
    prop("consumer_type", TYPE).required().since("1.38"),
]);

const OF_ONE: Schema = Schema::object(&[
    prop("allocations", Schema::map(UUID, &BY_PROVIDER)).required(),
    prop("project_id", OWNER).required(),
    prop("user_id", OWNER).required(),
    prop("consumer_generation", GENERATION).required().since("1.28"),
    prop("mappings", MAPPINGS).since("1.34"),
    prop("consumer_type", TYPE).required().since("1.38"),
]);

/// For many consumers, by consumer. [`Schema::min_len`] is the caller's.
pub(crate) const POST: Schema = Schema::map(UUID, &OF_ONE);

/// What a consumer holds.
pub(super) fn of_consumer(
    record: Option<&Entry<AllocationRecord>>,
    snapshot: &Snapshot,
    version: Microversion,
) -> Value {
    let Some(record) = record else { return json!({"allocations": {}}) };
    let mut allocations = serde_json::Map::new();
    for (id, amounts) in &record.held {
        let provider = snapshot.get::<ProviderRecord>(id);
        let generation = provider.map_or(0, |provider| provider.shown_generation(snapshot, id));
        allocations.insert(id.clone(), json!({"resources": amounts, "generation": generation}));
    }
    let mut shown = json!({"allocations": allocations});
    if version >= v(1, 12) {
        shown["project_id"] = record.project_id.clone().into();
        shown["user_id"] = record.user_id.clone().into();
    }
    if version >= v(1, 28) {
        shown["consumer_generation"] = record.generation.into();
    }
    if version >= v(1, 38) {
        shown["consumer_type"] = record.consumer_type.as_deref().unwrap_or("unknown").into();
    }
    shown
}

/// Who holds something of a provider.
pub(super) fn of_provider(
    id: &str,
    records: &[Entry<AllocationRecord>],
    generation: u64,
    version: Microversion,
) -> Value {
    let nothing = Map::new();
    let mut allocations = serde_json::Map::new();
    for record in records {
        let mut one = json!({"resources": record.held.get(id).unwrap_or(&nothing)});
        if version >= v(1, 28) {
            one["consumer_generation"] = record.generation.into();
        }
        allocations.insert(record.id.to_string(), one);
    }
    json!({"allocations": allocations, "resource_provider_generation": generation})
}

/// When the newest of them was written.
pub(super) fn newest<'r>(
    records: impl IntoIterator<Item = &'r Entry<AllocationRecord>>,
) -> Option<Timestamp> {
    records.into_iter().map(|record| record.updated_at).max()
}
