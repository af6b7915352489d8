//! Which hypervisors a request is about.

use base::{Error, Result};
use nodes::NodeRecord;
use state::{Entry, Snapshot};
use web::{Request, v, validate::Format};

use crate::services::rows::number;

/// A node; the id in the table is its name.
pub(super) type Node = Entry<NodeRecord>;

/// The id that a version knows a node by.
pub(super) fn id_of(request: &Request, node: &Node) -> String {
    match request.version >= v(2, 53) {
        true => node.uuid.clone(),
        false => number(&node.uuid).to_string(),
    }
}

/// All nodes, in the order of their ids, so that a marker keeps its place.
pub(super) fn all(request: &Request, snapshot: &Snapshot) -> Vec<Node> {
    let mut nodes: Vec<Node> = snapshot.all::<NodeRecord>().collect();
    match request.version >= v(2, 53) {
        true => nodes.sort_by(|a, b| a.uuid.cmp(&b.uuid)),
        false => nodes.sort_by_key(|node| number(&node.uuid)),
    }
    nodes
}

/// The nodes whose name holds this text; 404 when there is none.
pub(super) fn matching(request: &Request, snapshot: &Snapshot, text: &str) -> Result<Vec<Node>> {
    let mut nodes = all(request, snapshot);
    nodes.retain(|node| node.id.contains(text));
    match nodes.is_empty() {
        true => Err(Error::not_found(format!("No hypervisor matching '{text}' could be found."))),
        false => Ok(nodes),
    }
}

/// The node with the id in the path.
pub(super) fn by_id(request: &Request, snapshot: &Snapshot, id: &str) -> Result<Node> {
    let none = || Error::not_found(format!("Hypervisor with ID '{id}' could not be found."));
    if request.version >= v(2, 53) {
        if !Format::Uuid.fits(id) {
            return Err(Error::bad_request(format!("Invalid uuid {id}")));
        }
        return nodes::by_uuid(snapshot, &id.to_ascii_lowercase()).ok_or_else(none);
    }
    let wanted: u64 = id.trim().parse().map_err(|_| none())?;
    let mut nodes = snapshot.all::<NodeRecord>();
    nodes.find(|node| number(&node.uuid) == wanted).ok_or_else(none)
}
