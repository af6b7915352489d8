//! Availability zones, derived from the services: a zone is there while a node is in it.
//!
//! No state of its own, no guards.

mod api;

pub(crate) use api::cards;

use nodes::NodeRecord;
use state::Snapshot;

use crate::aggregates::zone_of;

/// Whether a server may be asked into a zone: a node that is not switched off is in it.
pub(crate) fn is_available(snapshot: &Snapshot, zone: &str, default: &str) -> bool {
    snapshot
        .all::<NodeRecord>()
        .any(|node| node.disabled.is_none() && zone_of(snapshot, &node.id, default) == zone)
}
