//! What happens to aggregates. Each is a part of one transaction, in which the resource providers' own
//! aggregates follow.

use std::sync::Arc;

use base::{Error, Map, Result, Set};
use nodes::NodeRecord;
use placement::UsageRecord;
use state::Txn;

use super::record::{AggregateRecord, Turn, ZONE};
use crate::servers::ServerRecord;

/// So many nodes are held against new claims while their zone changes; with more, the change is read from
/// the state as it was (each node is a condition, and a transaction holds only so many).
const HELD: usize = 90;

/// 404 for an unknown aggregate.
pub(super) fn not_found(id: &str) -> Error {
    Error::not_found(format!("Aggregate {id} could not be found."))
}

/// Takes this room's turn: after this, what is read of any aggregate holds until the commit.
fn turn(txn: &mut Txn) -> Result<Turn> {
    let turn = txn.get::<Turn>(Turn::ID)?;
    let mut turn = turn.as_deref().cloned().unwrap_or_default();
    turn.changes += 1;
    txn.put(Turn::ID, turn.clone())?;
    Ok(turn)
}

fn find(txn: &mut Txn, id: &str) -> Result<Arc<AggregateRecord>> {
    txn.get::<AggregateRecord>(id)?.ok_or_else(|| not_found(id))
}

fn name_is_free(txn: &Txn, name: &str, own: &str) -> Result<()> {
    // All names are held by the turn.
    match txn.peek_by::<AggregateRecord>("name", name).iter().any(|(id, _)| **id != *own) {
        true => Err(Error::conflict(format!("Aggregate {name} already exists."))),
        false => Ok(()),
    }
}

/// Makes an aggregate; gives its number.
pub(super) fn create(txn: &mut Txn, uuid: &str, name: &str, zone: Option<&str>) -> Result<u64> {
    let mut turn = turn(txn)?;
    name_is_free(txn, name, "")?;
    turn.last += 1;
    let number = turn.last;
    txn.put(Turn::ID, turn)?;
    let record = AggregateRecord {
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        hosts: Set::new(),
        metadata: zone.map(|zone| (ZONE.to_owned(), zone.to_owned())).into_iter().collect(),
        created_at: txn.now(),
        updated_at: None,
    };
    txn.create(&number.to_string(), record)?;
    Ok(number)
}

/// Changes an aggregate's name or zone.
pub(super) fn update(
    txn: &mut Txn,
    id: &str,
    name: Option<&str>,
    zone: Option<Option<&str>>,
) -> Result<()> {
    turn(txn)?;
    let aggregate = find(txn, id)?;
    let mut new = AggregateRecord::clone(&aggregate);
    if let Some(name) = name {
        name_is_free(txn, name, id)?;
        name.clone_into(&mut new.name);
    }
    if let Some(zone) = zone {
        check_zone(txn, id, &aggregate, zone, "Cannot update aggregate")?;
        if let Some(zone) = zone {
            new.metadata.insert(ZONE.to_owned(), zone.to_owned());
        }
    }
    new.updated_at = Some(txn.now());
    txn.put(id, new)
}

/// Sets metadata; a null takes a key away.
pub(super) fn set_metadata(
    txn: &mut Txn,
    id: &str,
    changes: &Map<String, Option<String>>,
) -> Result<()> {
    turn(txn)?;
    let aggregate = find(txn, id)?;
    if let Some(zone) = changes.get(ZONE) {
        check_zone(txn, id, &aggregate, zone.as_deref(), "Cannot update metadata of aggregate")?;
    }
    let mut new = AggregateRecord::clone(&aggregate);
    for (key, value) in changes {
        match value {
            Some(value) => new.metadata.insert(key.clone(), value.clone()),
            None => new.metadata.remove(key),
        };
    }
    new.updated_at = Some(txn.now());
    txn.put(id, new)
}

/// Whether an aggregate with its hosts may become this zone.
fn check_zone(
    txn: &mut Txn,
    id: &str,
    aggregate: &AggregateRecord,
    zone: Option<&str>,
    what: &str,
) -> Result<()> {
    let refuse =
        |reason: String| Err(Error::bad_request(format!("{what} {id}. Reason: {reason}.")));
    let Some(zone) = zone.filter(|zone| !zone.is_empty()) else {
        return refuse(format!(
            "Aggregate {} does not support empty named availability zone",
            aggregate.name
        ));
    };
    let others = zones(txn, &aggregate.hosts, id);
    let clashing: Vec<&str> =
        others.iter().map(String::as_str).filter(|other| *other != zone).collect();
    if !clashing.is_empty() {
        return refuse(already_in(&clashing));
    }
    if aggregate.zone() != Some(zone) && servers_on(txn, &aggregate.hosts)? > 0 {
        return refuse("One or more hosts contain instances in this zone".into());
    }
    Ok(())
}

fn already_in(zones: &[&str]) -> String {
    let zones: Vec<String> = zones.iter().map(|zone| format!("'{zone}'")).collect();
    format!("One or more hosts already in availability zone(s) [{}]", zones.join(", "))
}

/// The zones that these hosts are in by other aggregates than this one.
fn zones(txn: &Txn, hosts: &Set<String>, without: &str) -> Set<String> {
    // All aggregates are held by the turn.
    let aggregates = hosts.iter().flat_map(|host| txn.peek_by::<AggregateRecord>("host", host));
    aggregates
        .filter(|(id, _)| **id != *without)
        .filter_map(|(_, aggregate)| aggregate.zone().map(str::to_owned))
        .collect()
}

/// How many servers are on these hosts, now and (of few hosts) at the commit.
fn servers_on(txn: &mut Txn, hosts: &Set<String>) -> Result<usize> {
    if hosts.len() <= HELD {
        for host in hosts {
            // Whoever comes to the node writes its usage.
            if let Some(node) = txn.peek::<NodeRecord>(host)? {
                txn.get::<UsageRecord>(&node.uuid)?;
            }
        }
    }
    Ok(hosts.iter().map(|host| txn.peek_by::<ServerRecord>("host", host).len()).sum())
}

/// The words for a zone that is none.
fn or_none(zone: Option<&str>) -> &str {
    zone.unwrap_or("None")
}

/// Refuses to move servers from one zone to another.
fn would_move(begin: &str, from: Option<&str>, to: Option<&str>, servers: usize) -> Error {
    Error::conflict(format!(
        "{begin} as the availability zone of the host would change from '{}' to '{}' but the host already \
         has {servers} instance(s). Changing the AZ of an existing instance is not supported by this \
         action. Move the instances away from this host then try again. If you need to move the \
         instances between AZs then you can use shelve_offload and unshelve to achieve this..",
        or_none(from),
        or_none(to)
    ))
}

/// Adds a node.
pub(super) fn add_host(txn: &mut Txn, id: &str, host: &str) -> Result<()> {
    turn(txn)?;
    let Some(node) = txn.alive::<NodeRecord>(host)? else {
        return Err(Error::not_found(format!("Compute host {host} could not be found.")));
    };
    let aggregate = find(txn, id)?;
    let only = Set::from([host.to_owned()]);
    let others = zones(txn, &only, id);
    if let Some(zone) = aggregate.zone() {
        let clashing: Vec<&str> =
            others.iter().map(String::as_str).filter(|other| *other != zone).collect();
        if !clashing.is_empty() {
            return Err(Error::conflict(format!(
                "Cannot add host to aggregate {id}. Reason: {}.",
                already_in(&clashing)
            )));
        }
        let old = others.iter().next().map(String::as_str);
        if old != Some(zone) && !aggregate.hosts.contains(host) {
            let servers = servers_on(txn, &only)?;
            if servers > 0 {
                let begin = format!(
                    "Cannot add host to aggregate {id}. Reason: The host cannot be added to the aggregate"
                );
                return Err(would_move(&begin, old, Some(zone), servers));
            }
        }
    }
    let mut new = AggregateRecord::clone(&aggregate);
    if !new.hosts.insert(host.to_owned()) {
        return Err(Error::conflict(format!("Aggregate {id} already has host {host}.")));
    }
    new.updated_at = Some(txn.now());
    placement::providers::actions::put_in_aggregate(txn, &node.uuid, &new.uuid, true)?;
    txn.put(id, new)
}

/// Takes a node out.
pub(super) fn remove_host(txn: &mut Txn, id: &str, host: &str) -> Result<()> {
    turn(txn)?;
    let none = || Error::not_found(format!("Cannot remove host {host} in aggregate {id}"));
    let aggregate = txn.get::<AggregateRecord>(id)?.ok_or_else(none)?;
    if !aggregate.hosts.contains(host) {
        return Err(none());
    }
    if let Some(zone) = aggregate.zone() {
        let only = Set::from([host.to_owned()]);
        let others = zones(txn, &only, id);
        let new = others.iter().next().map(String::as_str);
        if new != Some(zone) {
            let servers = servers_on(txn, &only)?;
            if servers > 0 {
                let begin = format!(
                    "Cannot remove host from aggregate {id}. Reason: The host cannot be removed from the \
                     aggregate"
                );
                return Err(would_move(&begin, Some(zone), new, servers));
            }
        }
    }
    take_out(txn, id, &aggregate, host)
}

fn take_out(txn: &mut Txn, id: &str, aggregate: &AggregateRecord, host: &str) -> Result<()> {
    let mut new = aggregate.clone();
    new.hosts.remove(host);
    new.updated_at = Some(txn.now());
    if let Some(node) = txn.peek::<NodeRecord>(host)? {
        placement::providers::actions::put_in_aggregate(txn, &node.uuid, &new.uuid, false)?;
    }
    txn.put(id, new)
}

/// A node leaves the cloud, and with it all aggregates.
pub(crate) fn forget_host(txn: &mut Txn, host: &str) -> Result<()> {
    if txn.peek_by::<AggregateRecord>("host", host).is_empty() {
        // It might be added meanwhile: the turn is read, not taken.
        txn.get::<Turn>(Turn::ID)?;
        return Ok(());
    }
    turn(txn)?;
    for (id, aggregate) in txn.peek_by::<AggregateRecord>("host", host) {
        take_out(txn, &id, &aggregate, host)?;
    }
    Ok(())
}

/// Deletes an aggregate without hosts.
pub(super) fn delete(txn: &mut Txn, id: &str) -> Result<()> {
    turn(txn)?;
    let aggregate = find(txn, id)?;
    if !aggregate.hosts.is_empty() {
        return Err(Error::bad_request(format!(
            "Cannot remove host from aggregate {id}. Reason: Host aggregate is not empty."
        )));
    }
    txn.delete::<AggregateRecord>(id)?;
    Ok(())
}
