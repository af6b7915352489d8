//! The SQLite file: its schema, and the few statements that are run on it. Decides nothing: what is
//! committed, and when, is the writer's.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

use base::{Error, Result, Revision};
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use super::{Options, failed};
use crate::store::{Batch, Change, Item, Key, LeaseId, prefix_end};

/// "Evst": `file` and SQLite itself can tell whose database it is.
const APPLICATION: i32 = 0x4576_7374;
/// The schema's version.
const FORMAT: i32 = 1;

/// `kv` is what is there, `log` what happened, both changed by the same SQLite transaction. A row of
/// `log` is named by its revision and its place within it; without `created` it is a deletion.
const SCHEMA: &str = "
    CREATE TABLE kv(
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
        modified INTEGER NOT NULL, lease INTEGER, value BLOB NOT NULL) STRICT;
    CREATE INDEX kv_lease ON kv(lease) WHERE lease IS NOT NULL;
    CREATE TABLE log(
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER, lease INTEGER, value BLOB) STRICT;
    CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL) STRICT;
    CREATE TABLE meta(
        id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, compacted INTEGER NOT NULL,
        log_bytes INTEGER NOT NULL, last_lease INTEGER NOT NULL, scars INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0);
";

/// Changes of one revision that a row id of `log` has room for: the keys of one lease.
const PLACES: i64 = 1 << 20;

/// The one row about the store itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub revision: Revision,
    pub compacted: Revision,
    pub log_bytes: u64,
    pub last_lease: i64,
}

/// Where the database is and how it is opened.
#[derive(Clone)]
pub struct Place {
    path: PathBuf,
    options: Options,
}

impl Place {
    pub fn new(dir: &Path, options: Options) -> Place {
        Place { path: dir.join("store.db"), options }
    }

    /// Readies the files before SQLite sees them, opens the database and makes or checks its schema.
    pub fn open(&self) -> Result<Database> {
        let name = self.path.display();
        if self.options.vfs.is_none() {
            // Made here so that it is never readable by others; SQLite gives its WAL the same mode.
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&self.path)
                .map_err(|error| failed(&format!("cannot open {name}"), error))?;
        }
        self.options
            .files
            .rewrite(&self.path.with_file_name("store.db-wal"))
            .map_err(|error| failed(&format!("cannot rewrite {name}-wal"), error))?;
        let mut database = self.connect()?;
        database.prepare().map_err(|error| failed(&format!("cannot open {name}"), error))?;
        database.check_schema(&self.path)?;
        // SQLite does this for its WAL only.
        let synced = self.options.files.sync_name(&self.path);
        synced.map_err(|error| failed(&format!("cannot sync the directory of {name}"), error))?;
        Ok(database)
    }

    fn connect(&self) -> Result<Database> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let opened = match &self.options.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str()),
            None => Connection::open_with_flags(&self.path, flags),
        };
        let conn = opened
            .map_err(|error| failed(&format!("cannot open {}", self.path.display()), error))?;
        conn.set_prepared_statement_cache_capacity(40);
        Ok(Database { conn, frames: Arc::default() })
    }
}

/// The files beside SQLite.
pub trait Files: Send + Sync {
    /// Writes the file's bytes over themselves and syncs them, if it is there.
    ///
    /// After a failed sync the kernel may show bytes that the disk does not have, and call them clean.
    /// A WAL that is read so would be continued behind a hole, and what is acknowledged there would
    /// be lost with the power. Written again, they are dirty again, and synced or refused.
    ///
    /// # Errors
    /// The file could not be read, written or synced.
    fn rewrite(&self, path: &Path) -> std::io::Result<()>;

    /// Syncs the directory that holds this file, so that its name outlives a power cut.
    ///
    /// # Errors
    /// The directory could not be synced.
    fn sync_name(&self, path: &Path) -> std::io::Result<()>;
}

/// The real files.
pub struct RealFiles;

impl Files for RealFiles {
    fn rewrite(&self, path: &Path) -> std::io::Result<()> {
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.is_empty() => return Ok(()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().write(true).open(path)?;
        std::io::Write::write_all(&mut file, &bytes)?;
        file.sync_all()
    }

    fn sync_name(&self, path: &Path) -> std::io::Result<()> {
        super::sync_directory(path)
    }
}

/// A connection.
pub struct Database {
    conn: Connection,
    /// How many pages the WAL holds, as of the last commit.
    frames: Arc<AtomicI32>,
}

type Sql<T> = rusqlite::Result<T>;

fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

fn log_id(revision: Revision, place: usize) -> i64 {
    number(revision).saturating_mul(PLACES).saturating_add(i64::try_from(place).unwrap_or(PLACES))
}

impl Database {
    /// The writer's settings.
    fn prepare(&mut self) -> Sql<()> {
        let conn = &mut self.conn;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        // The page size counts for a new file only, and before WAL.
        conn.pragma_update(None, "page_size", super::PAGE_SIZE)?;
        // To its end: it may fail after it has said "wal", when the disk is full, and SQLite would go
        // on with a journal whose end is not synced.
        let mut turn_on = conn.prepare("PRAGMA journal_mode=WAL")?;
        let mut rows = turn_on.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        drop(turn_on);
        // Without a WAL this says -1.
        let pages: i32 = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
        if pages < 0 {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            let why = "write-ahead logging cannot be turned on here".to_owned();
            return Err(rusqlite::Error::SqliteFailure(code, Some(why)));
        }
        for (name, value) in [
            ("synchronous", "FULL"),
            ("foreign_keys", "OFF"),
            ("temp_store", "MEMORY"),
            ("trusted_schema", "OFF"),
            ("cell_size_check", "ON"),
            ("mmap_size", "0"),
            ("cache_size", "-8192"),
            ("journal_size_limit", "16777216"),
        ] {
            conn.execute_batch(&format!("PRAGMA {name}={value}"))?;
        }
        // Checkpoints are the writer's: when nobody waits. This hook replaces SQLite's own.
        let frames = self.frames.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            frames.store(pages, Ordering::Relaxed);
            Ok(())
        }))
    }

    fn check_schema(&mut self, path: &Path) -> Result<()> {
        let name = path.display();
        let opened = |error| failed(&format!("cannot read {name}"), error);
        let pragma = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (application, format) =
            (pragma("application_id").map_err(opened)?, pragma("user_version").map_err(opened)?);
        let tables: i64 = self
            .conn
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(opened)?;
        match (application, format, tables) {
            (0, 0, 0) => self.make_schema().map_err(opened),
            (APPLICATION, FORMAT, _) => Ok(()),
            (APPLICATION, ..) => Err(Error::internal(format!(
                "The store {name} has format {format}; this program knows format {FORMAT}. Run the \
                 program that wrote it, or a newer one."
            ))),
            _ => Err(Error::internal(format!(
                "{name} is a database of some other program. Choose another state directory."
            ))),
        }
    }

    fn make_schema(&mut self) -> Sql<()> {
        let transaction = self.conn.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    }

    fn run(&self, sql: &str) -> Sql<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Begins to write.
    pub fn begin(&self) -> Sql<()> {
        self.run("BEGIN IMMEDIATE")
    }

    /// Answers when all since [`Database::begin`] is on the disk.
    pub fn commit(&self) -> Sql<()> {
        self.run("COMMIT")
    }

    /// Forgets all since [`Database::begin`].
    pub fn roll_back(&self) -> Sql<()> {
        if self.conn.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    pub fn meta(&self) -> Sql<Meta> {
        let sql = "SELECT revision, compacted, log_bytes, last_lease FROM meta";
        self.conn.prepare_cached(sql)?.query_row([], |row| {
            Ok(Meta {
                revision: revision(row.get(0)?),
                compacted: revision(row.get(1)?),
                log_bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
                last_lease: row.get(3)?,
            })
        })
    }

    pub fn set_meta(&self, meta: &Meta) -> Sql<()> {
        let sql = "UPDATE meta SET revision = ?1, compacted = ?2, log_bytes = ?3, last_lease = ?4";
        let bytes = i64::try_from(meta.log_bytes).unwrap_or(i64::MAX);
        let values = params![number(meta.revision), number(meta.compacted), bytes, meta.last_lease];
        self.conn.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// A commit that changes nothing that anybody sees.
    pub fn scar(&self) -> Sql<()> {
        self.begin()?;
        self.run("UPDATE meta SET scars = scars + 1")?;
        self.commit()
    }

    /// A key's `created` and `modified`.
    pub fn history(&self, key: &str) -> Sql<Option<(Revision, Revision)>> {
        self.conn
            .prepare_cached("SELECT created, modified FROM kv WHERE key = ?1")?
            .query_row([key], |row| Ok((revision(row.get(0)?), revision(row.get(1)?))))
            .optional()
    }

    /// Whether a key starts with the prefix.
    pub fn any(&self, prefix: &str) -> Sql<bool> {
        match prefix_end(prefix) {
            Some(end) => self
                .conn
                .prepare_cached("SELECT 1 FROM kv WHERE key >= ?1 AND key < ?2 LIMIT 1")?
                .exists([prefix, &end]),
            None => self
                .conn
                .prepare_cached("SELECT 1 FROM kv WHERE key >= ?1 LIMIT 1")?
                .exists([prefix]),
        }
    }

    /// Writes a key, and gives the revision that made it.
    pub fn put(
        &self,
        at: Revision,
        key: &str,
        value: &[u8],
        lease: Option<LeaseId>,
    ) -> Sql<Revision> {
        let sql = "INSERT INTO kv(key, created, modified, lease, value) VALUES (?1, ?2, ?2, ?3, ?4)
            ON CONFLICT(key) DO UPDATE SET modified = ?2, lease = ?3, value = ?4
            RETURNING created";
        let mut put = self.conn.prepare_cached(sql)?;
        let mut rows = put.query(params![key, number(at), lease.map(|lease| lease.0), value])?;
        let created = match rows.next()? {
            Some(row) => row.get(0)?,
            None => return Err(rusqlite::Error::QueryReturnedNoRows),
        };
        // To its end: what fails after the row is not told otherwise.
        while rows.next()?.is_some() {}
        Ok(revision(created))
    }

    /// Whether it was there.
    pub fn delete(&self, key: &str) -> Sql<bool> {
        let deleted = self.conn.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key])?;
        Ok(deleted > 0)
    }

    /// Writes down what happened; gives the bytes that this counts as.
    pub fn note(&self, at: Revision, place: usize, change: &Change) -> Sql<u64> {
        let sql = "INSERT INTO log(id, key, created, lease, value) VALUES (?1, ?2, ?3, ?4, ?5)";
        let id = log_id(at, place);
        let mut note = self.conn.prepare_cached(sql)?;
        match change {
            Change::Put(item) => {
                let lease = item.lease.map(|lease| lease.0);
                let created = number(item.created);
                note.execute(params![id, &*item.key, created, lease, &item.value[..]])?;
            }
            Change::Deleted(key) => {
                let nothing = rusqlite::types::Null;
                note.execute(params![id, &**key, nothing, nothing, nothing])?;
            }
        }
        Ok(note_bytes(change))
    }

    /// Deletes at most `most` rows of the log up to this revision; gives their number and bytes.
    pub fn trim(&self, upto: Revision, most: u32) -> Sql<(u64, u64)> {
        let end = log_id(Revision(upto.0 + 1), 0);
        let sql =
            "SELECT max(id), count(*), coalesce(sum(length(key) + coalesce(length(value), 0)), 0)
            FROM (SELECT id, key, value FROM log WHERE id < ?1 ORDER BY id LIMIT ?2)";
        let (last, count, bytes): (Option<i64>, i64, i64) = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![end, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let Some(last) = last else { return Ok((0, 0)) };
        self.conn.prepare_cached("DELETE FROM log WHERE id <= ?1")?.execute([last])?;
        let whole = |number| u64::try_from(number).unwrap_or(0);
        Ok((whole(count), whole(bytes) + whole(count) * ROW_BYTES))
    }

    pub fn leases(&self) -> Sql<Vec<(LeaseId, u64)>> {
        let mut leases = self.conn.prepare_cached("SELECT id, ttl FROM lease")?;
        let rows = leases.query_map([], |row| {
            Ok((LeaseId(row.get(0)?), u64::try_from(row.get::<_, i64>(1)?).unwrap_or(1)))
        })?;
        rows.collect()
    }

    pub fn add_lease(&self, lease: LeaseId, seconds: u64) -> Sql<()> {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let sql = "INSERT INTO lease(id, ttl) VALUES (?1, ?2)";
        self.conn.prepare_cached(sql)?.execute([lease.0, seconds]).map(drop)
    }

    /// Forgets a lease and gives the keys under it, which are still there.
    pub fn end_lease(&self, lease: LeaseId) -> Sql<Vec<Key>> {
        self.conn.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([lease.0])?;
        let mut keys =
            self.conn.prepare_cached("SELECT key FROM kv WHERE lease = ?1 ORDER BY key")?;
        let rows = keys.query_map([lease.0], |row| Ok(row.get_ref(0)?.as_str()?.into()))?;
        rows.collect()
    }

    /// How many pages wait in the WAL.
    pub fn waiting_pages(&self) -> i32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Moves what it can from the WAL into the database, without waiting for readers.
    pub fn checkpoint(&self) -> Sql<()> {
        self.frames.store(0, Ordering::Relaxed);
        self.conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
    }

    /// Moves everything, and leaves an empty WAL, if nobody reads.
    pub fn finish(self) -> Sql<()> {
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.conn.close().map_err(|(_, error)| error)
    }

    /// Reads at one revision.
    pub fn reading<T>(&self, read: impl FnOnce(&Database) -> Sql<T>) -> Sql<(Meta, T)> {
        self.run("BEGIN")?;
        let result = self.meta().and_then(|meta| Ok((meta, read(self)?)));
        let ended = self.roll_back();
        let result = result?;
        ended.map(|()| result)
    }

    pub fn item(&self, key: &str) -> Sql<Option<Item>> {
        self.conn
            .prepare_cached("SELECT key, created, modified, lease, value FROM kv WHERE key = ?1")?
            .query_row([key], item)
            .optional()
    }

    pub fn items(&self, prefix: &str) -> Sql<Vec<Item>> {
        let end = prefix_end(prefix);
        let sql = "SELECT key, created, modified, lease, value FROM kv
            WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key";
        let mut items = self.conn.prepare_cached(sql)?;
        items.query_map(params![prefix, end], item)?.collect()
    }

    /// Whole revisions after `after`, until they have about this many bytes.
    pub fn batches(&self, after: Revision, bytes: u64) -> Sql<Vec<Batch>> {
        let sql = "SELECT id, key, created, lease, value FROM log WHERE id >= ?1 ORDER BY id";
        let mut log = self.conn.prepare_cached(sql)?;
        let mut rows = log.query([log_id(Revision(after.0 + 1), 0)])?;
        let mut batches: Vec<Batch> = Vec::new();
        let mut size = 0;
        while let Some(row) = rows.next()? {
            let at = revision(row.get::<_, i64>(0)? / PLACES);
            if batches.last().is_none_or(|batch| batch.revision != at) {
                if size > bytes {
                    break;
                }
                batches.push(Batch { revision: at, changes: Vec::new() });
            }
            let change = logged(at, row)?;
            size += note_bytes(&change);
            if let Some(batch) = batches.last_mut() {
                batch.changes.push(change);
            }
        }
        Ok(batches)
    }

    /// Copies the whole database, as of one revision, into a file that is not there yet.
    pub fn copy_to(&self, path: &Path) -> Sql<Meta> {
        let mut copy = Connection::open(path)?;
        let (meta, ()) = self.reading(|database| {
            let backup = rusqlite::backup::Backup::new(&database.conn, &mut copy)?;
            // One step: a backup in steps starts again whenever somebody commits.
            match backup.step(-1)? {
                rusqlite::backup::StepResult::Done => Ok(()),
                _ => Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                    Some("the database is busy".into()),
                )),
            }
        })?;
        copy.close().map_err(|(_, error)| error)?;
        Ok(meta)
    }
}

/// What a row costs beside its key and value, about.
const ROW_BYTES: u64 = 32;

fn note_bytes(change: &Change) -> u64 {
    let value = match change {
        Change::Put(item) => item.value.len(),
        Change::Deleted(_) => 0,
    };
    (change.key().len() + value) as u64 + ROW_BYTES
}

fn item(row: &Row<'_>) -> Sql<Item> {
    Ok(Item {
        key: row.get_ref(0)?.as_str()?.into(),
        created: revision(row.get(1)?),
        modified: revision(row.get(2)?),
        lease: row.get::<_, Option<i64>>(3)?.map(LeaseId),
        value: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
    })
}

fn logged(at: Revision, row: &Row<'_>) -> Sql<Change> {
    let key = row.get_ref(1)?.as_str()?.into();
    Ok(match row.get::<_, Option<i64>>(2)? {
        None => Change::Deleted(key),
        Some(created) => Change::Put(Item {
            key,
            created: revision(created),
            modified: at,
            lease: row.get::<_, Option<i64>>(3)?.map(LeaseId),
            value: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
        }),
    })
}

/// Connections that only read, so that readings never wait for the writer.
pub struct Readers {
    place: Place,
    /// `None` once closed.
    idle: Mutex<Option<Vec<Database>>>,
}

/// So many connections are kept for the next reading.
const IDLE_READERS: usize = 3;

impl Readers {
    pub fn new(place: Place) -> Readers {
        Readers { place, idle: Mutex::new(Some(Vec::new())) }
    }

    /// Reads at one revision. Blocks.
    pub fn read<T>(&self, read: impl FnOnce(&Database) -> Sql<T>) -> Result<(Meta, T)> {
        let idle = self.idle().as_mut().and_then(Vec::pop);
        let database = match idle {
            Some(database) => database,
            None => self.connect()?,
        };
        let result = database.reading(read).map_err(|error| failed("cannot read", error))?;
        self.keep(database);
        Ok(result)
    }

    /// A copy of the database, see [`Database::copy_to`]. Blocks.
    pub fn copy_to(&self, path: &Path) -> Result<Meta> {
        self.connect()?.copy_to(path).map_err(|error| failed("cannot be copied", error))
    }

    fn connect(&self) -> Result<Database> {
        let database = self.place.connect()?;
        let settings =
            "PRAGMA query_only=ON; PRAGMA cache_size=-2048; PRAGMA wal_autocheckpoint=0;";
        let conn = &database.conn;
        conn.busy_timeout(std::time::Duration::from_secs(10))
            .and_then(|()| conn.execute_batch(settings))
            .map_err(|error| failed("cannot be read", error))?;
        Ok(database)
    }

    fn keep(&self, database: Database) {
        match &mut *self.idle() {
            Some(idle) if idle.len() < IDLE_READERS => idle.push(database),
            _ => {}
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Database>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the connections that nobody uses, and of the others when they are done with.
    pub fn close(&self) {
        *self.idle() = None;
    }
}
