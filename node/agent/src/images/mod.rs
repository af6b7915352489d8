//! The node's images: fetched once by range, checked against their hash, kept read-only under it, and
//! deleted, the longest unused first, when the room is needed. Never one that a machine's disk stands on.
//!
//! ```text
//!   wanted ─► fetched to tmp-… ─► hash and format checked ─► synced, 0444 ─► renamed to <sha512>
//! ```

mod fetch;
mod inspect;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime},
};

use base::{Error, Map, Result, World};
use orders::{ImageRef, ImageSource};

use self::fetch::Fetch;
use crate::drivers::hypervisor::lock;

/// How much the cache may take.
#[derive(Clone, Debug)]
pub struct CacheLimits {
    /// Unused images are deleted while all of them together have more bytes.
    pub budget: u64,
    /// A larger image is refused.
    pub largest: u64,
    /// Bytes asked for at once.
    pub chunk: u64,
    /// A fetch that gets nothing for this long is given up.
    pub patience: Duration,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits {
            budget: 50 << 30,
            largest: 2 << 40,
            chunk: 4 << 20,
            patience: Duration::from_secs(60),
        }
    }
}

/// The cache. Clones are the same cache.
#[derive(Clone)]
pub struct ImageCache {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    path: PathBuf,
    source: Arc<dyn ImageSource>,
    limits: CacheLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    images: Map<Arc<str>, Cached>,
    fetches: Map<Arc<str>, Weak<Fetch>>,
    holds: Map<Arc<str>, usize>,
}

struct Cached {
    size: u64,
    used: SystemTime,
}

/// An image that stays while this is kept.
pub struct Hold {
    inner: Arc<Inner>,
    hash: Arc<str>,
}

/// An image on this node's disk.
pub struct Image {
    /// Where; read-only.
    pub path: PathBuf,
    /// The size of the disk in it, in bytes.
    pub virtual_size: u64,
    /// Keeps it.
    pub hold: Hold,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = lock(&self.inner.state);
        if let Some(count) = state.holds.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                state.holds.remove(&self.hash);
            }
        }
    }
}

impl ImageCache {
    /// The images in this directory, which is made if it is missing. What an interrupted fetch left is
    /// deleted.
    pub async fn open(
        world: &World,
        path: &Path,
        source: Arc<dyn ImageSource>,
        limits: CacheLimits,
    ) -> Result<ImageCache> {
        let directory = path.to_path_buf();
        // Disks name their image by its full path, from other directories.
        let (images, path) = world
            .blocking(move || {
                let images = scan(&directory)?;
                let path =
                    fs::canonicalize(&directory).map_err(|e| failed("find", &directory, e))?;
                Ok::<_, Error>((images, path))
            })
            .await?;
        let state = Mutex::new(State { images, ..State::default() });
        let inner = Inner { world: world.clone(), path, source, limits, state };
        Ok(ImageCache { inner: Arc::new(inner) })
    }

    /// Keeps an image that something on this node stands on, whether it is here or not.
    pub fn hold(&self, sha512: &str) -> Hold {
        let hash: Arc<str> = sha512.into();
        *lock(&self.inner.state).holds.entry(hash.clone()).or_default() += 1;
        Hold { inner: self.inner.clone(), hash }
    }

    /// The image on this node's disk, fetched if it is not there. Those who ask for the same image at
    /// once share one fetch; it ends with the last of them.
    pub async fn ensure(&self, image: &ImageRef) -> Result<Image> {
        let hash = image.sha512.as_str();
        if hash.len() != 128 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Error::bad_request(format!("Image {} has no SHA-512.", image.id)));
        }
        if image.size > self.inner.limits.largest {
            return Err(Error::bad_request(format!(
                "Image {} has {} bytes; this node takes at most {}.",
                image.id, image.size, self.inner.limits.largest
            )));
        }
        let hold = self.hold(hash);
        let path = self.inner.path.join(hash);
        if !self.is_here(&hold.hash, image.size) {
            self.shared_fetch(&hold.hash, image).await?;
        }
        let used = self.wall();
        lock(&self.inner.state).images.insert(hold.hash.clone(), Cached { size: image.size, used });
        let (at, format, length) = (path.clone(), image.disk_format.clone(), image.size);
        let virtual_size = self
            .inner
            .world
            .blocking(move || {
                // So that the order of use outlives this process; of no weight where it fails.
                let _ = File::open(&at).and_then(|file| file.set_modified(used));
                inspect_file(&at, length, &format)
            })
            .await
            .map_err(|error| named(error, image))?;
        if image.virtual_size > 0 && virtual_size > image.virtual_size {
            return Err(Error::bad_request(format!(
                "Image {} holds a disk of {virtual_size} bytes but says {}.",
                image.id, image.virtual_size
            )));
        }
        Ok(Image { path, virtual_size, hold })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Bytes of all images here.
    pub fn bytes(&self) -> u64 {
        lock(&self.inner.state).images.values().map(|cached| cached.size).sum()
    }

    fn wall(&self) -> SystemTime {
        let micros = u64::try_from(self.inner.world.wall().micros()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
    }

    fn is_here(&self, hash: &Arc<str>, size: u64) -> bool {
        let here = lock(&self.inner.state).images.contains_key(hash);
        // Somebody may have deleted it by hand.
        here && fs::metadata(self.inner.path.join(&**hash)).is_ok_and(|m| m.len() == size)
    }

    async fn shared_fetch(&self, hash: &Arc<str>, image: &ImageRef) -> Result<()> {
        let fetch = {
            let mut state = lock(&self.inner.state);
            match state.fetches.get(hash).and_then(Weak::upgrade) {
                Some(fetch) => fetch,
                None => {
                    let fetch = Arc::new(Fetch::begin(self.clone(), hash.clone(), image.clone()));
                    state.fetches.insert(hash.clone(), Arc::downgrade(&fetch));
                    state.fetches.retain(|_, fetch| fetch.strong_count() > 0);
                    fetch
                }
            }
        };
        fetch.done().await
    }

    /// Deletes images that nothing stands on, the longest unused first, until so many bytes more fit.
    async fn make_room(&self, bytes: u64) -> Result<()> {
        let victims = {
            let mut state = lock(&self.inner.state);
            let mut total: u64 = state.images.values().map(|cached| cached.size).sum();
            let mut order = state
                .images
                .iter()
                .filter(|(hash, _)| !state.holds.contains_key(*hash))
                .map(|(hash, cached)| (cached.used, hash.clone(), cached.size))
                .collect::<Vec<_>>();
            order.sort();
            let mut victims = Vec::new();
            for (_, hash, size) in order {
                if total.saturating_add(bytes) <= self.inner.limits.budget {
                    break;
                }
                total -= size;
                state.images.remove(&hash);
                victims.push(self.inner.path.join(&*hash));
            }
            victims
        };
        let directory = self.inner.path.clone();
        self.inner
            .world
            .blocking(move || {
                for victim in victims {
                    tracing::info!(file = %victim.display(), "an unused image is deleted");
                    let _ = fs::remove_file(victim);
                }
                let fs = rustix::fs::statvfs(&directory)
                    .map_err(|e| Error::internal(format!("cannot measure the disk: {e}")))?;
                let free = fs.f_bavail.saturating_mul(fs.f_frsize);
                if free < bytes {
                    return Err(Error::unavailable(format!(
                        "The node's disk has room for {free} bytes; the image needs {bytes}."
                    )));
                }
                Ok(())
            })
            .await
    }
}

fn named(error: Error, image: &ImageRef) -> Error {
    Error::new(error.kind(), format!("Image {}: {}", image.id, error.message()))
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {error}", path.display())).with_source(error)
}

fn scan(directory: &Path) -> Result<Map<Arc<str>, Cached>> {
    // A machine's process runs as another user and reads its base image here.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(directory)
        .map_err(|e| failed("make the directory", directory, e))?;
    let mut images = Map::new();
    for entry in fs::read_dir(directory).map_err(|e| failed("list", directory, e))? {
        let path = entry.map_err(|e| failed("list", directory, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with("tmp-") {
            let _ = fs::remove_file(&path);
        } else if name.len() == 128 {
            let data = fs::metadata(&path).map_err(|e| failed("look at", &path, e))?;
            let seconds = u64::try_from(data.mtime()).unwrap_or(0);
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            images.insert(name.into(), Cached { size: data.len(), used });
        }
    }
    Ok(images)
}

fn inspect_file(path: &Path, length: u64, format: &str) -> Result<u64> {
    let file = File::open(path).map_err(|e| failed("open", path, e))?;
    let mut header = Vec::new();
    let most = u64::try_from(inspect::HEADER).unwrap_or(u64::MAX);
    (&file).take(most).read_to_end(&mut header).map_err(|e| failed("read", path, e))?;
    inspect::inspect(&header, length, format)
}
