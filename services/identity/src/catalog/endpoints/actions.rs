//! What can be done to endpoints. Each is one transaction; ids are made outside.

use base::{Error, Result};
use serde_json::{Map, Value};
use state::{Scope, Txn};

use crate::{
    catalog::{
        node,
        record::{Endpoint, Service},
        regions, render,
    },
    manners,
    purge::{self, record::Kind},
    words,
};

/// What a client may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) service_id: Option<String>,
    pub(crate) interface: Option<String>,
    pub(crate) region_id: Option<Option<String>>,
    pub(crate) url: Option<String>,
    pub(crate) enabled: Option<bool>,
    pub(crate) extra: Map<String, Value>,
    /// A region that does not exist is made: the old name `region` asks for that.
    pub(crate) make_region: bool,
}

/// Makes an endpoint.
pub(crate) fn create(txn: &mut Txn, id: &str, endpoint: Endpoint, make_region: bool) -> Result<()> {
    check(txn, &endpoint)?;
    if let Some(region) = &endpoint.region_id {
        hang(txn, region, id, make_region)?;
    }
    txn.create(id, endpoint)
}

fn check(txn: &mut Txn, endpoint: &Endpoint) -> Result<()> {
    if txn.alive::<Service>(&endpoint.service_id)?.is_none() {
        return Err(Error::bad_request(
            words::not_found("service", &endpoint.service_id).message().to_owned(),
        ));
    }
    if !render::is_fillable(&endpoint.url) {
        return Err(Error::bad_request(format!(
            "Cannot create an endpoint with an invalid URL: {}.",
            endpoint.url
        )));
    }
    Ok(())
}

fn hang(txn: &mut Txn, region: &str, id: &str, make_region: bool) -> Result<()> {
    if make_region {
        regions::actions::ensure(txn, region)?;
    } else if txn.alive::<crate::catalog::record::Region>(region)?.is_none() {
        return Err(Error::bad_request(words::not_found("region", region).message().to_owned()));
    }
    txn.link(Scope::Global, &node(region), &format!("endpoint/{id}"));
    Ok(())
}

/// Changes an endpoint and gives it as it is then. None: there is none.
pub(crate) fn update(txn: &mut Txn, id: &str, change: Change) -> Result<Option<Endpoint>> {
    let Some(old) = txn.get::<Endpoint>(id)? else { return Ok(None) };
    let mut new = Endpoint::clone(&old);
    if let Some(service_id) = change.service_id {
        new.service_id = service_id;
    }
    if let Some(interface) = change.interface {
        new.interface = interface;
    }
    if let Some(url) = change.url {
        new.url = url;
    }
    if let Some(enabled) = change.enabled {
        new.enabled = enabled;
    }
    if new.service_id != old.service_id || new.url != old.url {
        check(txn, &new)?;
    }
    if let Some(region) = change.region_id
        && region != old.region_id
    {
        if let Some(region) = &old.region_id {
            txn.unlink(Scope::Global, &node(region), &format!("endpoint/{id}"));
        }
        if let Some(region) = &region {
            hang(txn, region, id, change.make_region)?;
        }
        new.region_id = region;
    }
    manners::merge_extra(&mut new.extra, change.extra);
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

/// Takes an endpoint away; false when there is none.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(endpoint) = txn.get::<Endpoint>(id)? else { return Ok(false) };
    if let Some(region) = &endpoint.region_id {
        txn.unlink(Scope::Global, &node(region), &format!("endpoint/{id}"));
    }
    txn.delete::<Endpoint>(id)?;
    purge::request(txn, Kind::Endpoint, id)?;
    Ok(true)
}
