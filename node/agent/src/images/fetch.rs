//! One fetch of one image, shared by all who wait for it. What it writes becomes an image only when
//! its hash is right; what it leaves otherwise is deleted.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use base::{Error, Kind, Result, Task};
use bytes::Bytes;
use orders::ImageRef;
use sha2::{Digest, Sha512};
use tokio::sync::watch;

use super::{ImageCache, failed, inspect_file, named};

/// An error that many can be told.
type Told = Option<Result<(), (Kind, String)>>;

pub(super) struct Fetch {
    task: Task<()>,
    done: watch::Receiver<Told>,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // Nobody waits any more.
        self.task.abort();
    }
}

impl Fetch {
    pub fn begin(cache: ImageCache, hash: Arc<str>, image: ImageRef) -> Fetch {
        let (tell, done) = watch::channel(None);
        let world = cache.inner.world.clone();
        let task = world.spawn("image", async move {
            let fetched = fetch(&cache, &hash, &image).await;
            tell.send_replace(Some(fetched.map_err(|e| (e.kind(), e.message().to_owned()))));
        });
        Fetch { task, done }
    }

    pub async fn done(&self) -> Result<()> {
        let mut done = self.done.clone();
        let told = done.wait_for(Option::is_some).await;
        match told.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err((kind, message)))) => Err(Error::new(*kind, message.clone())),
            Ok(None) | Err(_) => Err(Error::unavailable("The fetch of an image was ended.")),
        }
    }
}

/// A file that is deleted unless it was put in place.
struct Temporary {
    path: PathBuf,
    file: File,
    hash: Sha512,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn fetch(cache: &ImageCache, hash: &Arc<str>, image: &ImageRef) -> Result<()> {
    let inner = &cache.inner;
    let world = &inner.world;
    let began = world.now();
    cache.make_room(image.size).await?;
    let path = inner.path.join(format!("tmp-{}", world.hex_id()));
    let mut temporary = world
        .blocking(move || {
            let file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(|e| failed("make", &path, e))?;
            Ok::<_, Error>(Temporary { path, file, hash: Sha512::new() })
        })
        .await?;
    let mut at = 0;
    while at < image.size {
        let bytes = fetch_some(cache, image, at).await?;
        at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        temporary = world
            .blocking(move || {
                temporary.hash.update(&bytes);
                temporary
                    .file
                    .write_all(&bytes)
                    .map_err(|e| failed("write", &temporary.path, e))?;
                Ok::<_, Error>(temporary)
            })
            .await?;
    }
    let place = inner.path.join(&**hash);
    let image_data = image.clone();
    world.blocking(move || put_in_place(temporary, place, &image_data)).await?;
    let duration_ms = u64::try_from(world.now().since(began).as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        image.id = image.id,
        image.bytes = image.size,
        duration_ms,
        "an image was fetched"
    );
    Ok(())
}

/// Some bytes from there on. Asks again, ever more rarely, while the source cannot be reached.
async fn fetch_some(cache: &ImageCache, image: &ImageRef, at: u64) -> Result<Bytes> {
    let inner = &cache.inner;
    let (world, limits) = (&inner.world, &inner.limits);
    let end = image.size.min(at.saturating_add(limits.chunk.max(1)));
    let began = world.now();
    let mut wait = Duration::from_millis(100);
    loop {
        let left = limits.patience.saturating_sub(world.now().since(began));
        let asked = world.timeout(left, inner.source.fetch(image, at..end)).await;
        let error = match asked {
            Ok(Ok(bytes)) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                if (1..=end - at).contains(&length) {
                    return Ok(bytes);
                }
                Error::unavailable(format!("asked for {} bytes, {length} came", end - at))
            }
            Ok(Err(error)) if error.kind() == Kind::NotFound => {
                return Err(named(Error::bad_request("it does not exist any more."), image));
            }
            Ok(Err(error)) => error,
            Err(elapsed) => Error::unavailable(elapsed.to_string()),
        };
        if world.now().since(began) + wait >= limits.patience {
            let message = format!("it cannot be fetched: {}", error.message());
            return Err(named(Error::unavailable(message), image));
        }
        tracing::debug!(image.id = image.id, "fetching goes on: {error:?}");
        world.sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

fn put_in_place(mut temporary: Temporary, place: PathBuf, image: &ImageRef) -> Result<()> {
    let digest = std::mem::take(&mut temporary.hash).finalize();
    let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if found != image.sha512 {
        return Err(named(
            Error::unavailable(format!("what was fetched hashes to {found}, not {}", image.sha512)),
            image,
        ));
    }
    inspect_file(&temporary.path, image.size, &image.disk_format).map_err(|e| named(e, image))?;
    let fail = |e| failed("put in place", &place, e);
    temporary.file.set_permissions(fs::Permissions::from_mode(0o444)).map_err(fail)?;
    temporary.file.sync_all().map_err(fail)?;
    fs::rename(&temporary.path, &place).map_err(fail)?;
    if let Some(directory) = place.parent() {
        File::open(directory).and_then(|d| d.sync_all()).map_err(fail)?;
    }
    Ok(())
}
