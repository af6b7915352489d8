//! Projects and, since a domain is a project without a domain, what both have in common.
//!
//! ```text
//! enabled <-> disabled -> deleted (what hung on it is purged)
//! ```
//! Guards: the name is a claim in its domain. A child is an edge of its parent, and a parent with an edge
//! is not deleted. Making a child writes its parent anew, so that a parent is never disabled (or deleted)
//! beside the making of an enabled child.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use state::{Entry, Snapshot};

use record::Project;

/// The project of this id; domains are none.
pub fn find(snapshot: &Snapshot, id: &str) -> Option<Entry<Project>> {
    snapshot.get::<Project>(id).filter(|project| !project.is_domain())
}

/// Whether there is a project of this id.
pub fn exists(snapshot: &Snapshot, id: &str) -> bool {
    find(snapshot, id).is_some()
}
