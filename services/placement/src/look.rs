//! Reading from a snapshot or from a transaction under way by the same functions. Nothing read this way
//! becomes a condition: actions that decide on it read through the transaction first.

use std::sync::Arc;

use state::{Record, Snapshot, Txn};

/// What records can be read from.
pub trait Look {
    /// The record, `None` when there is none or this program cannot read it.
    fn look<T: Record>(&self, id: &str) -> Option<Arc<T>>;
}

impl Look for Snapshot {
    fn look<T: Record>(&self, id: &str) -> Option<Arc<T>> {
        self.get::<T>(id).map(|entry| entry.record())
    }
}

impl Look for Txn {
    fn look<T: Record>(&self, id: &str) -> Option<Arc<T>> {
        self.peek::<T>(id).ok().flatten()
    }
}
