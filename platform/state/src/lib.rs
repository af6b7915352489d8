//! The one place where the cloud's truth is kept, and how rooms reach it.
//!
//! - [`Store`]: ordered keys, one revision, transactions, watch, leases; the backends stand behind it.
//! - [`State`]: what rooms use. Typed records in tables, read from a [`Snapshot`] in memory that follows
//!   the store's watch; changed by transactions ([`Txn`]) whose reads become conditions.
//!
//! Rooms never see keys, backends or revisions of others.

pub mod backend;
mod cache;
pub mod conformance;
pub mod faulty;
mod lane;
mod record;
pub mod seal;
mod session;
mod snapshot;
mod state;
mod store;
mod txn;

#[cfg(test)]
mod state_tests;

pub use cache::Notice;
pub use record::{Index, Record, Schema, Scope, reserved_names};
pub use seal::Sealer;
pub use session::{Session, SessionRecord};
pub use snapshot::{Entry, Snapshot};
pub use state::State;
pub use store::{
    Batch, Change, Condition, Item, Key, LeaseId, MAX_KEY, MAX_OPERATIONS, MAX_TRANSACTION,
    MAX_VALUE, Outcome, Reading, Store, Transaction, Watch, WatchEnd, Write, prefix_end,
};
pub use txn::Txn;
