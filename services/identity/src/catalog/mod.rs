//! The catalog: regions, services, endpoints.
//!
//! ```text
//! region   there -> deleted with the regions below it, if none has endpoints
//! service  enabled <-> disabled -> deleted (its endpoints are purged)
//! endpoint enabled <-> disabled -> deleted
//! endpoint group there -> deleted
//! ```
//! Guards: an endpoint reads its service as alive; it is an edge of its region, as a region is of the
//! one above it; a region with edges is not deleted.

pub(crate) mod endpoint_groups;
pub(crate) mod endpoints;
pub(crate) mod filter;
pub mod record;
pub(crate) mod regions;
pub(crate) mod render;
pub(crate) mod services;
#[cfg(test)]
mod tests;

/// The parent of an edge: what endpoints and regions below hang on.
pub(crate) fn node(region_id: &str) -> String {
    // Ids of regions are chosen by clients; a parent of edges has no slash.
    format!("identity.region.{}", region_id.replace('%', "%25").replace('/', "%2F"))
}
