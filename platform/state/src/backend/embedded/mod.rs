//! The store in one directory, for one process: SQLite (WAL, every commit synced) with one writer that
//! commits what waits as a group. The default.
//!
//! The directory: `store.db` (and SQLite's files beside it), `lock` with the holder's process id.

mod database;
mod lock;
mod recent;
mod writer;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Result, Revision, World};
use tokio::sync::oneshot;

pub use self::database::{Files, RealFiles};
use self::{
    database::{Database, Place, Readers},
    lock::DirLock,
    recent::{EmbeddedWatch, Shared, closed},
    writer::{Answer, Request, Work, Writer},
};
use crate::store::{Item, Key, LeaseId, Outcome, Reading, Store, Transaction, Watch};

/// Of a new database. Records of some KiB fit; 8 KiB made no commit faster, 16 KiB made all slower.
const PAGE_SIZE: u32 = 4_096;

/// How a store is kept.
#[derive(Clone)]
pub struct Options {
    /// History is compacted by itself beyond this many revisions,
    pub keep_revisions: u64,
    /// or beyond about this many bytes.
    pub keep_bytes: u64,
    /// SQLite's file layer: another one in power-cut tests.
    pub vfs: Option<String>,
    /// The same for what is done beside SQLite.
    pub files: Arc<dyn Files>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            keep_revisions: 50_000,
            keep_bytes: 64 * 1024 * 1024,
            vfs: None,
            files: Arc::new(RealFiles),
        }
    }
}

/// The embedded store. Clones are the same store; it closes when the last is gone, or by
/// [`EmbeddedStore::close`].
#[derive(Clone)]
pub struct EmbeddedStore {
    world: World,
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    drive: Drive,
}

/// Who runs the writer.
enum Drive {
    /// A thread of its own.
    Thread(Sender<Request>),
    /// Simulated: whoever waits for an answer runs it, for all that wait.
    Inline(Box<Mutex<Inline>>),
}

struct Inline {
    waiting: Vec<Request>,
    writer: Writer,
}

impl EmbeddedStore {
    /// Opens the store in this directory; makes both if they are not there.
    ///
    /// # Errors
    /// Another process has it open (the sentence names it), it is of a newer format, or the disk fails.
    pub async fn open(world: World, dir: &Path) -> Result<EmbeddedStore> {
        EmbeddedStore::open_with(world, dir, Options::default()).await
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub async fn open_with(world: World, dir: &Path, options: Options) -> Result<EmbeddedStore> {
        let (inside, dir) = (world.clone(), dir.to_owned());
        world.blocking(move || open(inside, &dir, options)).await
    }

    /// Ends the writer and lets go of the directory. What was asked before is carried out; later calls
    /// are refused.
    ///
    /// # Errors
    /// None that loses anything: the store was closed already.
    pub async fn close(&self) -> Result<()> {
        self.inner.readers.close();
        self.ask(Work::Close).await?.await.map_err(|_| closed())?.map(drop)
    }

    /// Copies the store, as of one revision, to a new file beside running commits, synced. It is
    /// opened by putting it into an empty directory as `store.db`.
    ///
    /// # Errors
    /// The file is there already, or the disk fails.
    pub async fn backup(&self, to: &Path) -> Result<Revision> {
        self.inner.shared.check_open()?;
        let (readers, to) = (self.inner.readers.clone(), to.to_owned());
        let partial = to.with_extension(format!("partial-{}", &self.world.hex_id()[..8]));
        self.world.blocking(move || back_up(&readers, &partial, &to)).await
    }

    /// Hands work to the writer: an error says that it was not taken. What comes is its answer, or
    /// nothing if it ended without a word.
    async fn ask(&self, work: Work) -> Result<oneshot::Receiver<Result<Answer>>> {
        // What would wait for a writer that is gone was certainly not done.
        self.inner.shared.check_open()?;
        let (answer, answered) = oneshot::channel();
        let request = Request { work, answer };
        match &self.inner.drive {
            Drive::Thread(requests) => requests.send(request).map_err(|_| closed())?,
            Drive::Inline(inline) => {
                lock(inline).waiting.push(request);
                // Others may join the group.
                self.world.breathe().await;
                lock(inline).work();
            }
        }
        Ok(answered)
    }

    async fn done(&self, work: Work) -> Result<Answer> {
        self.ask(work).await?.await.map_err(|_| closed())?
    }

    /// Simulated leases have nobody who looks at the clock.
    fn look(&self) {
        if let Drive::Inline(inline) = &self.inner.drive {
            lock(inline).work();
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Reading<T>> {
        self.look();
        self.inner.shared.check_open()?;
        let readers = self.inner.readers.clone();
        let (meta, items) = self.world.blocking(move || readers.read(read)).await?;
        self.inner.shared.published(meta.revision).await?;
        Ok(Reading { revision: meta.revision, items })
    }
}

impl Inline {
    fn work(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.writer.work(waiting, true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(format!("The store {what}: {error}")).with_source(error)
}

/// Makes the directory if need be, and what leads to it, so that it is still there after a power cut.
fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    sync_directory(dir)
}

/// Syncs the directory that holds this.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(parent)?.sync_all()
}

fn open(world: World, dir: &Path, options: Options) -> Result<EmbeddedStore> {
    let name = dir.display();
    make_directory(dir).map_err(|error| failed(&format!("cannot make {name}"), error))?;
    let lock = DirLock::take(dir)?;
    let place = Place::new(dir, options.clone());
    let database = place.open()?;
    let (writer, shared) = Writer::new(world.clone(), options, database, lock)
        .map_err(|error| failed(&format!("in {name} cannot be read"), error))?;
    let readers = Arc::new(Readers::new(place));
    let drive = if world.seed().is_some() {
        Drive::Inline(Box::new(Mutex::new(Inline { waiting: Vec::new(), writer })))
    } else {
        let (requests, waiting) = mpsc::channel();
        // Not a task: a runtime that ends would wait for it, and it for the runtime's tasks.
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|error| failed("cannot start its writer", error))?;
        Drive::Thread(requests)
    };
    Ok(EmbeddedStore { world, inner: Arc::new(Inner { shared, readers, drive }) })
}

fn back_up(readers: &Readers, partial: &Path, to: &Path) -> Result<Revision> {
    let name = to.display();
    if to.exists() {
        return Err(Error::bad_request(format!("{name} is there already: choose another name.")));
    }
    let cannot = |error| failed(&format!("cannot be copied to {name}"), error);
    let copied = (|| {
        File::options().write(true).create_new(true).open(partial).map_err(cannot)?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(partial, permissions).map_err(cannot)?;
        let meta = readers.copy_to(partial)?;
        File::open(partial).and_then(|file| file.sync_all()).map_err(cannot)?;
        // Refuses if somebody else made it meanwhile.
        fs::hard_link(partial, to).map_err(cannot)?;
        Ok(meta.revision)
    })();
    let _ = fs::remove_file(partial);
    let revision = copied?;
    sync_directory(to).map_err(cannot)?;
    Ok(revision)
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        transaction.check()?;
        match self.ask(Work::Commit(transaction.clone())).await?.await {
            // The writer died over it.
            Err(_) => Ok(Outcome::Unknown("the store's writer ended".into())),
            Ok(Ok(Answer::Outcome(outcome))) => Ok(outcome),
            Ok(Err(error)) => Err(error),
            Ok(Ok(other)) => {
                Err(Error::internal(format!("The store's writer answered {other:?}.")))
            }
        }
    }

    async fn revision(&self) -> Result<Revision> {
        self.look();
        self.inner.shared.check_open()?;
        Ok(self.inner.shared.newest())
    }

    fn local_revision(&self) -> Option<Revision> {
        self.look();
        self.inner.shared.check_open().ok().map(|()| self.inner.shared.newest())
    }

    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        let keys = keys.to_vec();
        self.read(move |database| keys.iter().map(|key| database.item(key)).collect()).await
    }

    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        let prefix = prefix.to_owned();
        self.read(move |database| database.items(&prefix)).await
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        self.inner.shared.check_open()?;
        let (shared, readers) = (self.inner.shared.clone(), self.inner.readers.clone());
        Ok(Box::new(EmbeddedWatch::new(self.world.clone(), shared, readers, after)))
    }

    async fn compact(&self, upto: Revision) -> Result<()> {
        self.done(Work::Compact(upto)).await.map(drop)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let Answer::Lease(lease) = self.done(Work::Grant(seconds.max(1))).await? else {
            return Err(Error::internal("The store's writer granted no lease."));
        };
        if let Drive::Inline(_) = self.inner.drive {
            self.look_later(lease);
        }
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        self.look();
        self.inner.shared.check_open()?;
        Ok(self.inner.shared.renew(lease, self.world.now()))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.done(Work::Revoke(lease)).await.map(drop)
    }
}

impl EmbeddedStore {
    /// In a simulated world: looks when the lease may have ended.
    fn look_later(&self, lease: LeaseId) {
        let store = self.clone();
        self.world.spawn("embedded-lease", async move {
            while let Some(ends) = store.inner.shared.lease_end(lease) {
                let left = ends.since(store.world.now());
                store.world.sleep(left + Duration::from_millis(1)).await;
                store.look();
            }
        });
    }
}
