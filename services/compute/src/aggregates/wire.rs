//! Aggregates as JSON, in and out.

use serde_json::{Value, json};
use web::{
    Microversion, Schema, v,
    validate::{Format, prop},
};

use super::AggregateRecord;

const NAME: Schema = Schema::name(1, 255);
/// Spaces around it are taken off.
const LOOSE_NAME: Schema = Schema::string().len(1, 255);
const ZONE: Schema = Schema::string().len(1, 255).format(Format::AzName).nullable();
const HOST: Schema = Schema::string().len(1, 255).pattern("^[a-zA-Z0-9-._]*$");
const METADATA: Schema =
    Schema::map("^[a-zA-Z0-9-_:. ]{1,255}$", &Schema::string().max_len(255).nullable());

const NEW: Schema =
    Schema::object(&[prop("name", NAME).required(), prop("availability_zone", ZONE)]);
pub(super) const CREATE: Schema = Schema::object(&[prop("aggregate", NEW).required()]);

const CHANGED: Schema =
    Schema::object(&[prop("name", LOOSE_NAME), prop("availability_zone", ZONE)]).min_len(1);
pub(super) const UPDATE: Schema = Schema::object(&[prop("aggregate", CHANGED).required()]);

const WITH_HOST: Schema = Schema::object(&[prop("host", HOST).required()]);
pub(super) const ADD_HOST: Schema = Schema::object(&[prop("add_host", WITH_HOST).required()]);
pub(super) const REMOVE_HOST: Schema = Schema::object(&[prop("remove_host", WITH_HOST).required()]);

const WITH_METADATA: Schema = Schema::object(&[prop("metadata", METADATA).required()]);
pub(super) const SET_METADATA: Schema =
    Schema::object(&[prop("set_metadata", WITH_METADATA).required()]);

const IMAGE: Schema = Schema::object(&[prop("id", Schema::uuid()).required()]);
pub(super) const CACHE: Schema =
    Schema::object(&[prop("cache", Schema::array(&IMAGE).min_len(1)).required()]);

/// An aggregate as the API shows it; one that was just made without its hosts and metadata.
pub(super) fn show(
    number: u64,
    aggregate: &AggregateRecord,
    version: Microversion,
    new: bool,
) -> Value {
    let mut shown = json!({
        "id": number,
        "name": aggregate.name,
        "availability_zone": aggregate.zone(),
        "created_at": aggregate.created_at.iso_micros_zoneless(),
        "updated_at": aggregate.updated_at.map(|time| time.iso_micros_zoneless()),
        "deleted": false,
        "deleted_at": null,
    });
    if version >= v(2, 41) {
        shown["uuid"] = aggregate.uuid.clone().into();
    }
    if !new {
        shown["hosts"] = json!(aggregate.hosts);
        shown["metadata"] = json!(aggregate.metadata);
    }
    shown
}
