//! The backends: one file or folder each, all behind [`crate::Store`].

mod memory;

pub use memory::MemoryStore;
