//! What can be done to a flavor; each is one transaction.

use base::{Error, Kind, Map, Result};
use state::{Scope, Txn};

use super::record::{FlavorRecord, NAMES};

/// 404 in Nova's words.
pub fn not_found(id: &str) -> Error {
    Error::not_found(format!("Flavor {id} could not be found."))
}

/// Makes a flavor.
pub fn create(txn: &mut Txn, id: &str, flavor: FlavorRecord) -> Result<()> {
    txn.claim(Scope::Global, NAMES, &flavor.name, id).map_err(|error| match error.kind() {
        Kind::Conflict => {
            Error::conflict(format!("Flavor with name {} already exists.", flavor.name))
        }
        _ => error,
    })?;
    // The same name and id: the name is held by the flavor itself.
    if txn.get::<FlavorRecord>(id)?.is_some_and(|there| there.name == flavor.name) {
        return Err(Error::conflict(format!("Flavor with name {} already exists.", flavor.name)));
    }
    txn.create(id, flavor).map_err(|error| match error.kind() {
        Kind::Conflict => Error::conflict(format!("Flavor with ID {id} already exists.")),
        _ => error,
    })
}

/// Deletes a flavor. Servers that were made of it keep their copy.
pub fn delete(txn: &mut Txn, id: &str) -> Result<()> {
    let flavor = txn.get::<FlavorRecord>(id)?.ok_or_else(|| not_found(id))?;
    txn.release(Scope::Global, NAMES, &flavor.name, id);
    txn.delete::<FlavorRecord>(id)?;
    Ok(())
}

/// Changes a flavor, and says what it is then.
fn change(
    txn: &mut Txn,
    id: &str,
    change: impl FnOnce(&mut FlavorRecord) -> Result<()>,
) -> Result<FlavorRecord> {
    let now = txn.now();
    txn.update::<FlavorRecord, _>(id, |flavor| {
        change(flavor)?;
        flavor.updated_at = Some(now);
        Ok(flavor.clone())
    })?
    .ok_or_else(|| not_found(id))
}

/// Describes it.
pub fn describe(txn: &mut Txn, id: &str, description: Option<String>) -> Result<FlavorRecord> {
    change(txn, id, |flavor| {
        flavor.description = description;
        Ok(())
    })
}

/// Adds extra specs, or replaces those of the same names.
pub fn set_extra_specs(
    txn: &mut Txn,
    id: &str,
    specs: Map<String, String>,
) -> Result<FlavorRecord> {
    change(txn, id, |flavor| {
        flavor.extra_specs.extend(specs);
        Ok(())
    })
}

/// 404 for an extra spec that is not there.
pub fn no_extra_spec(id: &str, key: &str) -> Error {
    Error::not_found(format!("Flavor {id} has no extra specs with key {key}."))
}

/// Takes an extra spec away.
pub fn delete_extra_spec(txn: &mut Txn, id: &str, key: &str) -> Result<FlavorRecord> {
    change(txn, id, |flavor| match flavor.extra_specs.remove(key) {
        Some(_) => Ok(()),
        None => Err(no_extra_spec(id, key)),
    })
}

/// Lets a project use it. `refuse_public`: from 2.7 on a public flavor is refused.
pub fn add_access(
    txn: &mut Txn,
    id: &str,
    project_id: &str,
    refuse_public: bool,
) -> Result<FlavorRecord> {
    change(txn, id, |flavor| {
        if refuse_public && flavor.is_public {
            return Err(Error::conflict("Can not add access to a public flavor."));
        }
        if !flavor.projects.insert(project_id.to_owned()) {
            return Err(Error::conflict(format!(
                "Flavor access already exists for flavor {id} and project {project_id} combination."
            )));
        }
        Ok(())
    })
}

/// Lets a project use it no more.
pub fn remove_access(txn: &mut Txn, id: &str, project_id: &str) -> Result<FlavorRecord> {
    change(txn, id, |flavor| {
        if !flavor.projects.remove(project_id) {
            return Err(Error::not_found(format!(
                "Flavor access not found for {id} / {project_id} combination."
            )));
        }
        Ok(())
    })
}
