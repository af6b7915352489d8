//! What happens to a node's record. Guards: the record itself; its resource provider is written with it.

use base::{Error, Result};
use orders::NodeHello;
use placement::Resources;
use state::Txn;

use crate::{NodeRecord, Presence};

/// Who holds a link, for [`join`] and [`leave`].
#[derive(Clone, Debug)]
pub struct Holder {
    /// The controller's name.
    pub controller: String,
    /// Its incarnation.
    pub incarnation: String,
}

/// A node said hello: its record, its presence and its resource provider in one step. `uuid` is used if
/// the node is new.
///
/// # Errors
/// `BadRequest` when what it says of itself makes no sense.
pub fn join(txn: &mut Txn, hello: &NodeHello, uuid: &str, holder: &Holder) -> Result<()> {
    if hello.name.is_empty() || hello.name.len() > 253 || hello.name.contains(['/', ' ']) {
        return Err(Error::bad_request(format!("{:?} is not a name for a node", hello.name)));
    }
    let now = txn.now();
    let old = txn.get::<NodeRecord>(&hello.name)?;
    let presence = Presence {
        controller: Some(holder.controller.clone()),
        incarnation: holder.incarnation.clone(),
        since: match &old {
            Some(old) if old.presence.controller.is_some() => old.presence.since,
            _ => now,
        },
    };
    let record = match &old {
        None => NodeRecord {
            uuid: uuid.to_owned(),
            address: hello.address.clone(),
            boot: hello.boot.clone(),
            version: hello.version.clone(),
            level: hello.level,
            inventory: hello.inventory.clone(),
            created_at: now,
            updated_at: now,
            disabled: None,
            forced_down: false,
            presence,
        },
        Some(old) => NodeRecord {
            address: hello.address.clone(),
            boot: hello.boot.clone(),
            version: hello.version.clone(),
            level: hello.level,
            inventory: hello.inventory.clone(),
            updated_at: if old.inventory == hello.inventory { old.updated_at } else { now },
            presence,
            ..NodeRecord::clone(old)
        },
    };
    let totals = Resources::vm(
        record.inventory.vcpus.into(),
        record.inventory.ram_mib,
        record.inventory.disk_gib,
    );
    placement::providers::actions::ensure_node(txn, &record.uuid, &hello.name, &totals)?;
    if old.as_deref() != Some(&record) {
        txn.put(&hello.name, record)?;
    }
    Ok(())
}

/// The link of `holder` ended. Nothing happens when the node has another by now.
///
/// # Errors
/// `Unavailable` when the record cannot be read by this program.
pub fn leave(txn: &mut Txn, name: &str, holder: &Holder) -> Result<()> {
    let Some(record) = txn.get::<NodeRecord>(name)? else { return Ok(()) };
    let ours = record.presence.controller.as_deref() == Some(&holder.controller)
        && record.presence.incarnation == holder.incarnation;
    if !ours {
        return Ok(());
    }
    let since = txn.now();
    let presence = Presence { controller: None, since, ..record.presence.clone() };
    txn.put(name, NodeRecord { presence, ..NodeRecord::clone(&record) })
}
