//! What an operator does to a node's service. Each is a part of one transaction.

use base::{Error, Result};
use nodes::NodeRecord;
use state::Txn;

use crate::{aggregates, servers};

/// What an operator says of a node; what is not said stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Switched off and why (may be empty), or on.
    pub(super) disabled: Option<Option<String>>,
    /// It is down, or no longer said to be.
    pub(super) forced_down: Option<bool>,
}

/// Notes what an operator says of a node; false when there is none of that name.
pub(super) fn say(txn: &mut Txn, host: &str, said: &Said) -> Result<bool> {
    let Some(node) = txn.get::<NodeRecord>(host)? else { return Ok(false) };
    let mut new = NodeRecord::clone(&node);
    if let Some(disabled) = &said.disabled {
        new.disabled.clone_from(disabled);
    }
    if let Some(forced_down) = said.forced_down {
        new.forced_down = forced_down;
    }
    if new != *node {
        new.updated_at = txn.now();
        txn.put(host, new)?;
    }
    Ok(true)
}

/// Removes a node that has no servers: its record, its resource provider, its place in aggregates, and what
/// was still to be cleared away on it. One that is still linked comes back as a new one.
pub(super) fn remove(txn: &mut Txn, host: &str) -> Result<()> {
    let Some(node) = txn.get::<NodeRecord>(host)? else {
        return Err(Error::not_found(format!("Compute host {host} could not be found.")));
    };
    if !txn.peek_by::<servers::ServerRecord>("host", host).is_empty() {
        return Err(Error::conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances \
             first.",
        ));
    }
    servers::clear_node(txn, host)?;
    aggregates::actions::forget_host(txn, host)?;
    placement::providers::actions::remove_node(txn, &node.uuid)?;
    txn.delete::<NodeRecord>(host)?;
    Ok(())
}
