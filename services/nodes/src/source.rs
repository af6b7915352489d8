//! Who makes orders and takes reports: the services, behind one trait. The hub knows none of them.

use std::sync::Arc;

use async_trait::async_trait;
use base::Result;
use orders::{Order, Report, VmId};
use state::Snapshot;

/// One object on one node, such as a server on its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// The node's name.
    pub node: Arc<str>,
    /// The object's id.
    pub id: Arc<str>,
}

/// A service that has objects on nodes. Orders are functions of the state: nothing else is kept.
#[async_trait]
pub trait OrderSource: Send + Sync {
    /// All objects that this node has an order for, those that shall be gone there included.
    fn objects(&self, snapshot: &Snapshot, node: &str) -> Vec<Arc<str>>;

    /// The objects whose order may have changed with this record (which may be deleted by now).
    fn touched(&self, snapshot: &Snapshot, table: &str, id: &str) -> Vec<Object>;

    /// The order for an object on a node as of the snapshot; none when it has none there.
    async fn order(&self, snapshot: &Snapshot, object: &Object) -> Result<Option<Order>>;

    /// Takes in what a node saw. A report counts only while the object's record names this node and the
    /// report's epoch. Answers the machines that the node may now forget: their `gone` is written down,
    /// or they are nobody's any more.
    async fn report(&self, node: &str, reports: Vec<Report>) -> Result<Vec<VmId>>;
}
