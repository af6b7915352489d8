//! Keystone's own words for what goes wrong, in one place. No decisions.

use base::{Error, Kind};

/// 404: `Could not find project: X.`
pub(crate) fn not_found(what: &str, id: &str) -> Error {
    Error::not_found(format!("Could not find {what}: {id}."))
}

/// 409: `Conflict occurred attempting to store user - ...`
pub(crate) fn conflict(what: &str, details: impl std::fmt::Display) -> Error {
    Error::conflict(format!("Conflict occurred attempting to store {what} - {details}."))
}

/// 409 for a name that is taken within a domain.
pub(crate) fn duplicate(what: &str, name: &str, domain: Option<&str>) -> Error {
    match domain {
        Some(domain) => {
            conflict(what, format!("Duplicate entry found with name {name} at domain ID {domain}"))
        }
        None => conflict(what, format!("Duplicate entry found with name {name}")),
    }
}

/// 400: a part of the request is missing.
pub(crate) fn expecting(attribute: &str, target: &str) -> Error {
    Error::bad_request(format!(
        "Expecting to find {attribute} in {target}. The server could not comply with the request \
         since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    ))
}

/// 400: a moment that cannot be read.
pub(crate) fn bad_timestamp() -> Error {
    Error::bad_request(
        "Timestamp not in expected format. The server could not comply with the request since it \
         is either malformed or otherwise incorrect. The client is assumed to be in error.",
    )
}

/// 401, always the same, whatever the reason.
pub(crate) fn unauthorized() -> Error {
    Error::unauthorized("The request you have made requires authentication.")
}

/// 403 with a reason that anybody may read.
pub(crate) fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Forbidden, why)
}

/// 403 of a policy-like check, in the words of a refused policy.
pub(crate) fn forbidden_action(action: &str) -> Error {
    refused(format!("You are not authorized to perform the requested action: {action}."))
}

/// 403 without saying more.
pub(crate) fn forbidden() -> Error {
    refused("You are not authorized to perform the requested action.")
}

/// 404 for a token that is bad, ended or revoked; which of them is not said.
pub(crate) fn token_not_found() -> Error {
    Error::not_found("Failed to validate token")
}

/// 403: a thing that must not be changed.
pub(crate) fn immutable_update(what: &str, id: &str) -> Error {
    refused(format!(
        "Cannot update resource of type {what} with id {id}: it is immutable; set its `immutable` \
         option to false before updating."
    ))
}

/// 403: a thing that must not be deleted.
pub(crate) fn immutable_delete(what: &str, id: &str) -> Error {
    refused(format!(
        "Cannot delete resource of type {what} with id {id}: it is immutable; set its `immutable` \
         option to false before deleting."
    ))
}
