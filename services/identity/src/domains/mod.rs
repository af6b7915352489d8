//! Domains: projects without a domain, under names of their own. The records, actions and guards are
//! those of projects; deleting one takes along everything in it.
//!
//! ```text
//! enabled <-> disabled -> deleted (users, groups, projects, roles in it are purged)
//! ```

pub(crate) mod api;
pub(crate) mod wire;

use state::{Entry, Snapshot};

use crate::projects::record::Project;

/// The domain of this id.
pub fn find(snapshot: &Snapshot, id: &str) -> Option<Entry<Project>> {
    snapshot.get::<Project>(id).filter(|project| project.is_domain())
}
