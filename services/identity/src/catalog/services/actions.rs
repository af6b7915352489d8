//! What can be done to services. Each is one transaction; ids are made outside.

use base::Result;
use serde_json::{Map, Value};
use state::Txn;

use crate::{
    catalog::record::Service,
    manners,
    purge::{self, record::Kind},
};

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) kind: Option<String>,
    pub(crate) enabled: Option<bool>,
    pub(crate) extra: Map<String, Value>,
}

/// Changes a service and gives it as it is then. None: there is none.
pub(crate) fn update(txn: &mut Txn, id: &str, change: Change) -> Result<Option<Service>> {
    let Some(old) = txn.get::<Service>(id)? else { return Ok(None) };
    let mut new = Service::clone(&old);
    if let Some(kind) = change.kind {
        new.kind = kind;
    }
    if let Some(enabled) = change.enabled {
        new.enabled = enabled;
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

/// Deletes a service, its endpoints left to a purge; false when there is none.
pub(crate) fn delete(txn: &mut Txn, id: &str) -> Result<bool> {
    if !txn.delete::<Service>(id)? {
        return Ok(false);
    }
    purge::request(txn, Kind::Service, id)?;
    Ok(true)
}
