//! What can be done to limits. Each is one transaction; ids are made outside.

use base::{Error, Result};
use state::{Scope, Txn};

use super::{
    record::{Limit, RegisteredLimit},
    wire::Change,
};
use crate::{
    catalog::record::{Region, Service},
    projects::record::Project,
    words,
};

const REGISTERED: &str = "identity.registered-limit";
const LIMITS: &str = "identity.limit";

/// The parent of an edge: what limits hang on.
fn node(id: &str) -> String {
    format!("{REGISTERED}.{id}")
}

/// What a registered limit speaks of, as a claim: printable, whatever the names are.
pub(crate) fn subject(service: &str, region: Option<&str>, resource: &str) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|b| match b.is_ascii_alphanumeric() || b"-_.:".contains(&b) {
                true => char::from(b).to_string(),
                false => format!("%{b:02x}"),
            })
            .collect()
    };
    let region = region.map(|region| format!("={}", escape(region))).unwrap_or_default();
    let text = format!("{service}/{region}/{}", escape(resource));
    if text.len() <= 512 {
        return text;
    }
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn subject_of(limit: &RegisteredLimit) -> String {
    subject(&limit.service_id, limit.region_id.as_deref(), &limit.resource_name)
}

/// Makes registered limits: all or none.
pub(crate) fn register(txn: &mut Txn, limits: &[(String, RegisteredLimit)]) -> Result<()> {
    for (id, limit) in limits {
        check_place(txn, limit)?;
        take_subject(txn, id, limit)?;
        txn.create(id, limit.clone())?;
    }
    Ok(())
}

fn check_place(txn: &mut Txn, limit: &RegisteredLimit) -> Result<()> {
    if txn.alive::<Service>(&limit.service_id)?.is_none() {
        return Err(bad("service", &limit.service_id));
    }
    if let Some(region) = &limit.region_id
        && txn.alive::<Region>(region)?.is_none()
    {
        return Err(bad("region", region));
    }
    Ok(())
}

fn bad(what: &str, id: &str) -> Error {
    Error::bad_request(words::not_found(what, id).message().to_owned())
}

fn take_subject(txn: &mut Txn, id: &str, limit: &RegisteredLimit) -> Result<()> {
    txn.claim(Scope::Global, REGISTERED, &subject_of(limit), id)
        .map_err(|_| words::conflict("registered_limit", "Duplicate entry"))
}

/// Changes a registered limit and gives it as it is then. None: there is none.
pub(crate) fn update_registered(
    txn: &mut Txn,
    id: &str,
    change: Change,
) -> Result<Option<RegisteredLimit>> {
    let Some(old) = txn.get::<RegisteredLimit>(id)? else { return Ok(None) };
    let mut new = RegisteredLimit::clone(&old);
    if let Some(service) = change.service_id {
        new.service_id = service;
    }
    if let Some(region) = change.region_id {
        new.region_id = region;
    }
    if let Some(resource) = change.resource_name {
        new.resource_name = resource;
    }
    if let Some(number) = change.number {
        new.default_limit = number;
    }
    if let Some(description) = change.description {
        new.description = description;
    }
    if subject_of(&new) != subject_of(&old) {
        if !txn.childless(Scope::Global, &node(id)) {
            return Err(has_limits(id));
        }
        check_place(txn, &new)?;
        take_subject(txn, id, &new)?;
        txn.release(Scope::Global, REGISTERED, &subject_of(&old), id);
    }
    if new != *old {
        txn.put(id, new.clone())?;
    }
    Ok(Some(new))
}

fn has_limits(id: &str) -> Error {
    words::refused(format!(
        "Unable to update or delete registered limit {id} because there are project limits \
         associated with it."
    ))
}

/// Deletes a registered limit without limits; false when there is none.
pub(crate) fn unregister(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(limit) = txn.get::<RegisteredLimit>(id)? else { return Ok(false) };
    if !txn.childless(Scope::Global, &node(id)) {
        return Err(has_limits(id));
    }
    txn.release(Scope::Global, REGISTERED, &subject_of(&limit), id);
    txn.delete::<RegisteredLimit>(id)
}

/// A limit to be made, by what it speaks of.
#[derive(Clone, Debug)]
pub(crate) struct NewLimit {
    pub(crate) id: String,
    pub(crate) service_id: String,
    pub(crate) region_id: Option<String>,
    pub(crate) resource_name: String,
    pub(crate) limit: Limit,
}

/// Makes limits: all or none.
pub(crate) fn create(txn: &mut Txn, limits: &[NewLimit]) -> Result<()> {
    for new in limits {
        let subject = subject(&new.service_id, new.region_id.as_deref(), &new.resource_name);
        let registered = txn.claimed(Scope::Global, REGISTERED, &subject).ok_or_else(|| {
            words::refused("Unable to create a limit that has no corresponding registered limit.")
        })?;
        txn.alive::<RegisteredLimit>(&registered)?;
        let owner = match (&new.limit.project_id, &new.limit.domain_id) {
            (Some(id), None) => {
                let found = txn.alive::<Project>(id)?.filter(|project| !project.is_domain());
                found.ok_or_else(|| bad("project", id))?;
                format!("project.{id}")
            }
            (None, Some(id)) => {
                let found = txn.alive::<Project>(id)?.filter(|project| project.is_domain());
                found.ok_or_else(|| bad("domain", id))?;
                format!("domain.{id}")
            }
            _ => {
                return Err(Error::bad_request(
                    "A limit is of a project or of a domain: give one of project_id and domain_id.",
                ));
            }
        };
        txn.claim(Scope::Global, LIMITS, &format!("{registered}/{owner}"), &new.id)
            .map_err(|_| words::conflict("limit", "Duplicate entry"))?;
        txn.link(Scope::Global, &node(&registered), &new.id);
        txn.create(&new.id, Limit { registered_id: registered, ..new.limit.clone() })?;
    }
    Ok(())
}

/// Deletes a limit; false when there is none.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(limit) = txn.get::<Limit>(id)? else { return Ok(false) };
    let owner = match (&limit.project_id, &limit.domain_id) {
        (Some(id), _) => format!("project.{id}"),
        (None, Some(id)) => format!("domain.{id}"),
        (None, None) => String::new(),
    };
    let claim = format!("{}/{owner}", limit.registered_id);
    txn.release(Scope::Global, LIMITS, &claim, id);
    txn.unlink(Scope::Global, &node(&limit.registered_id), id);
    txn.delete::<Limit>(id)
}
