//! Where images' bytes are kept, apart from the records that name them. An object's name is random and
//! never used again. Everything here blocks: it is called off the async threads.

mod file;
mod memory;

use std::{io, sync::Arc};

pub use file::FileStore;
pub use memory::MemoryStore;

use crate::inspect::Source;

/// A place for objects.
pub trait Store: Send + Sync + 'static {
    /// The name of this place, kept with each image: a controller that has another place does not look
    /// for the bytes in its own.
    fn place(&self) -> &str;

    /// Begins an object. Nothing of it is seen before [`Draft::keep`]; dropped, it leaves nothing.
    ///
    /// # Errors
    /// Of the place.
    fn create(&self, object: &str) -> io::Result<Box<dyn Draft>>;

    /// Opens an object for reading; it can be read to its end even if it is deleted meanwhile.
    ///
    /// # Errors
    /// Of the place; none there is no error.
    fn open(&self, object: &str) -> io::Result<Option<Arc<dyn Source>>>;

    /// Deletes an object; none there is fine.
    ///
    /// # Errors
    /// Of the place.
    fn delete(&self, object: &str) -> io::Result<()>;

    /// The names of all objects.
    ///
    /// # Errors
    /// Of the place.
    fn list(&self) -> io::Result<Vec<String>>;
}

/// An object being written.
pub trait Draft: Send {
    /// Appends.
    ///
    /// # Errors
    /// Of the place; the draft is of no use then.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes it an object. When this returns, it outlives a loss of power.
    ///
    /// # Errors
    /// Of the place; then there is no object, or one that nobody knows of.
    fn keep(self: Box<Self>) -> io::Result<()>;
}

/// Whether a name is one that an object may have: it becomes a file's name.
fn proper(object: &str) -> io::Result<()> {
    let fine = object.len() >= 8
        && object.len() <= 64
        && object.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if fine {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{object:?} is no object's name")))
    }
}

#[cfg(test)]
mod tests;
