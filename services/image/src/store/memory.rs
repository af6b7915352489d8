//! Objects in memory: for simulated clouds and tests. Behaves as a directory does, and can be full.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base::Map;

use super::{Draft, Store, proper};
use crate::inspect::Source;

/// Objects in memory. Clones share them.
#[derive(Clone)]
pub struct MemoryStore {
    place: String,
    shared: Arc<Shared>,
}

struct Shared {
    objects: Mutex<Map<String, Arc<Vec<u8>>>>,
    room: AtomicU64,
}

impl MemoryStore {
    /// An empty one without a limit.
    pub fn new(place: &str) -> MemoryStore {
        MemoryStore::with_room(place, u64::MAX)
    }

    /// An empty one that is full after this many bytes.
    pub fn with_room(place: &str, bytes: u64) -> MemoryStore {
        let shared = Shared { objects: Mutex::default(), room: AtomicU64::new(bytes) };
        MemoryStore { place: place.to_owned(), shared: Arc::new(shared) }
    }

    fn objects(&self) -> MutexGuard<'_, Map<String, Arc<Vec<u8>>>> {
        self.shared.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn place(&self) -> &str {
        &self.place
    }

    fn create(&self, object: &str) -> io::Result<Box<dyn Draft>> {
        proper(object)?;
        Ok(Box::new(MemoryDraft {
            store: self.clone(),
            name: object.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn open(&self, object: &str) -> io::Result<Option<Arc<dyn Source>>> {
        proper(object)?;
        Ok(self.objects().get(object).cloned().map(|bytes| bytes as Arc<dyn Source>))
    }

    fn delete(&self, object: &str) -> io::Result<()> {
        proper(object)?;
        if let Some(gone) = self.objects().remove(object) {
            self.shared.room.fetch_add(gone.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.objects().keys().cloned().collect())
    }
}

struct MemoryDraft {
    store: MemoryStore,
    name: String,
    bytes: Vec<u8>,
}

impl Draft for MemoryDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = &self.store.shared.room;
        let taken = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
            room.checked_sub(bytes.len() as u64)
        });
        if taken.is_err() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.store.objects().insert(self.name.clone(), Arc::new(bytes));
        Ok(())
    }
}

impl Drop for MemoryDraft {
    fn drop(&mut self) {
        self.store.shared.room.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
    }
}
