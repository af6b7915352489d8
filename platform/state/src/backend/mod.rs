//! The backends: one file or folder each, all behind [`crate::Store`].

pub mod embedded;
pub mod etcd;
mod memory;

pub use embedded::EmbeddedStore;
pub use etcd::EtcdStore;
pub use memory::MemoryStore;
