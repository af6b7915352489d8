//! The backends: one file or folder each, all behind [`crate::Store`].

pub mod embedded;
mod memory;

pub use embedded::EmbeddedStore;
pub use memory::MemoryStore;
