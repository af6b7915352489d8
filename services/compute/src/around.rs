//! What servers need to know of other rooms and services, in one place: who they call, and in which words
//! what is missing is refused.

use base::{Error, Kind, Result};
use image::images::{Status, Viewer, bootable, find_visible};
use serde_json::Value;
use state::{Snapshot, Txn};
use web::Actor;

use crate::{
    aggregates, availability_zones, keypairs,
    server_groups::{self, ServerGroupRecord},
    servers::{ImageCopy, KeyCopy},
};

/// An image to boot from, if the actor may.
pub(crate) fn image(snapshot: &Snapshot, actor: &Actor, id: &str) -> Result<ImageCopy> {
    let viewer = Viewer { project: Some(actor.project_id()), admin: actor.is_admin };
    let image = find_visible(snapshot, &viewer, id).map_err(|error| match error.kind() {
        Kind::NotFound => Error::bad_request("Can not find requested image"),
        _ => error,
    })?;
    if image.status != Status::Active {
        return Err(Error::bad_request(format!("Image {id} is not active.")));
    }
    let reference = bootable(id, &image)?;
    Ok(ImageCopy {
        id: reference.id,
        size: reference.size,
        sha512: reference.sha512,
        disk_format: reference.disk_format,
        virtual_size: reference.virtual_size,
        min_disk: u64::try_from(image.min_disk).unwrap_or(0),
        min_ram: u64::try_from(image.min_ram).unwrap_or(0),
        properties: image.properties.clone(),
    })
}

/// A user's key pair.
pub(crate) fn key_pair(snapshot: &Snapshot, user: &str, name: &str) -> Result<Option<KeyCopy>> {
    Ok(keypairs::find(snapshot, user, name)?.map(|keypair| KeyCopy {
        name: keypair.name.clone(),
        public_key: keypair.public_key.clone(),
        kind: keypair.kind.name().to_owned(),
    }))
}

/// The availability zone that a node is in.
pub(crate) fn zone_of(snapshot: &Snapshot, node: &str, default: &str) -> String {
    aggregates::zone_of(snapshot, node, default)
}

/// Whether a server may be asked into a zone.
pub(crate) fn zone_is_available(snapshot: &Snapshot, zone: &str, default: &str) -> bool {
    availability_zones::is_available(snapshot, zone, default)
}

/// The group of the scheduler hint, if there is one.
pub(crate) fn group_hint(
    txn: &mut Txn,
    actor: &Actor,
    hints: &serde_json::Map<String, Value>,
) -> Result<Option<String>> {
    let group = match hints.get("group") {
        Some(Value::Array(list)) => list.first().and_then(Value::as_str),
        Some(other) => other.as_str(),
        None => None,
    };
    let Some(id) = group else { return Ok(None) };
    // That it is still there is asked when the servers join.
    let found = txn.snapshot().find::<ServerGroupRecord>(id)?;
    let own = |group: &ServerGroupRecord| actor.is_admin || group.project_id == actor.project_id();
    if !found.is_some_and(|group| own(&group)) {
        return Err(Error::bad_request(format!("Instance group {id} could not be found.")));
    }
    Ok(Some(id.to_owned()))
}

/// Servers become members of a group.
pub(crate) fn join_group(txn: &mut Txn, group: &str, user: &str, ids: &[String]) -> Result<()> {
    server_groups::actions::join(txn, group, user, ids)
}

/// A server is no member any more.
pub(crate) fn leave_group(txn: &mut Txn, group: &str, _user: &str, id: &str) -> Result<()> {
    server_groups::actions::leave(txn, group, id)
}

/// Whether there is such a project.
pub(crate) fn project_exists(snapshot: &Snapshot, id: &str) -> bool {
    identity::projects::exists(snapshot, id)
}

/// Whether a change of this table may move nodes between zones or aggregates.
pub(crate) fn moves_zones(table: &str) -> bool {
    aggregates::moves_zones(table)
}

/// What the aggregates of a node say.
pub(crate) fn metadata_of(snapshot: &Snapshot, node: &str) -> placement::scheduler::Metadata {
    aggregates::metadata_of(snapshot, node)
}

/// What a server group wants of the scheduler, and how many of its members one host may have.
pub(crate) fn group_rule(
    snapshot: &Snapshot,
    group: &str,
) -> Option<(placement::scheduler::GroupPolicy, u64)> {
    server_groups::actions::rule(snapshot, group)
}
