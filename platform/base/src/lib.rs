//! What every other crate stands on: the [`World`] (clock, randomness, ids, spawning), typed ids,
//! epochs and versions, secrets, timestamps and the one [`Error`]. Knows nothing of OpenStack.

mod beacon;
mod error;
mod id;
mod numbers;
mod secret;
mod time;
mod world;

pub use beacon::{Beacon, Watcher};
pub use error::{Error, Kind, Result};
pub use numbers::{Epoch, Era, Revision, Version};
pub use secret::Secret;
pub use time::Timestamp;
pub use world::{Elapsed, Moment, Task, World};

/// A map with a stable order. `HashMap` is banned: its order differs from run to run, and one seed
/// must give one trace.
pub type Map<K, V> = std::collections::BTreeMap<K, V>;
/// A set with a stable order.
pub type Set<K> = std::collections::BTreeSet<K>;
