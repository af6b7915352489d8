//! The one writer: carries out what waits as a group, in one SQLite transaction with one sync, each
//! Store transaction at a revision of its own; answers only when the group is on the disk.
//!
//! ```text
//!   waiting ──► group: ended leases, then requests in order ──► COMMIT ──► publish, answer
//!                                                                 │ fails
//!            answer "unavailable" (never written) or "unknown" ◄──┤
//!                                                                 ▼
//!                    broken: every request "unavailable"; each second a scar commit is tried,
//!                    which writes over whatever the failed one left in the WAL ──► healthy
//! ```
//! After a failed COMMIT the connection is kept: rolled back, its next commit overwrites the failed
//! one's pages in the WAL. Opened anew, SQLite would read those pages back, from a page cache that the
//! disk may not agree with, and take them for committed.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use base::{Error, Moment, Result, Revision, World};
use tokio::sync::oneshot;

use super::{
    Options,
    database::{Database, Meta},
    lock::DirLock,
    recent::{Shared, closed},
};
use crate::store::{Batch, Change, Condition, Item, Key, LeaseId, Outcome, Transaction, Write};

/// What the writer is asked for.
pub enum Work {
    Commit(Transaction),
    Compact(Revision),
    Grant(u64),
    Revoke(LeaseId),
    Close,
}

/// What it answers with.
#[derive(Debug)]
pub enum Answer {
    Outcome(Outcome),
    Lease(LeaseId),
    Nothing,
}

pub struct Request {
    pub work: Work,
    pub answer: oneshot::Sender<Result<Answer>>,
}

/// So many requests share a sync at most.
const GROUP: usize = 256;
/// Pages in the WAL from which it is moved into the database when nobody waits, and when many do.
const IDLE_PAGES: i32 = 500;
const BUSY_PAGES: i32 = 4_000;
/// Rows of old history deleted with each group.
const TRIM: u32 = 500;
/// How long a broken store waits before it tries again.
const HEAL_EVERY: Duration = Duration::from_secs(1);
/// The writer looks at the clock this often while there are leases: timers stand still while the
/// machine sleeps, leases do not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Writer {
    world: World,
    shared: Arc<Shared>,
    database: Option<Database>,
    options: Options,
    meta: Meta,
    /// Leases taken out, whose keys are still to be deleted.
    ending: Vec<LeaseId>,
    /// The log may hold rows that are compacted.
    trimming: bool,
    broken: Option<Broken>,
    /// Who waits for the end.
    closing: Vec<oneshot::Sender<Result<Answer>>>,
    /// Let go after the database is closed.
    lock: Option<DirLock>,
}

struct Broken {
    why: String,
    retry: Moment,
}

/// A group under way: what it changed so far, none of it on the disk.
struct Group {
    meta: Meta,
    batches: Vec<Batch>,
    answers: Vec<(oneshot::Sender<Result<Answer>>, Result<Answer>)>,
    leases: Vec<(LeaseId, u64)>,
    /// Something is to be committed, even if no revision was made.
    dirty: bool,
}

type Sql<T> = rusqlite::Result<T>;

impl Writer {
    pub fn new(
        world: World,
        options: Options,
        database: Database,
        lock: DirLock,
    ) -> Sql<(Writer, Arc<Shared>)> {
        let meta = database.meta()?;
        let shared = Arc::new(Shared::new(meta.revision, meta.compacted));
        let now = world.now();
        for (lease, seconds) in database.leases()? {
            shared.add_lease(lease, seconds, now);
        }
        let writer = Writer {
            world,
            shared: shared.clone(),
            database: Some(database),
            options,
            meta,
            ending: Vec::new(),
            trimming: true,
            broken: None,
            closing: Vec::new(),
            lock: Some(lock),
        };
        Ok((writer, shared))
    }

    /// Works until it is told to close or nobody can ask any more.
    pub fn run(mut self, requests: &Receiver<Request>) {
        while self.database.is_some() {
            let first = match requests.recv_timeout(self.patience()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    self.close();
                    return;
                }
            };
            let waiting = requests.try_iter();
            let group: Vec<_> = first.into_iter().chain(waiting).take(GROUP).collect();
            let idle = group.len() < GROUP / 4;
            self.work(group, idle);
        }
    }

    /// How long to wait for a request.
    fn patience(&self) -> Duration {
        let now = self.world.now();
        if let Some(broken) = &self.broken {
            return broken.retry.since(now);
        }
        if self.trimming {
            return Duration::ZERO;
        }
        match self.shared.next_end() {
            Some(ends) => ends.since(now).min(LOOK_EVERY),
            None => Duration::from_secs(3_600),
        }
    }

    /// Carries out a group, and what is due anyway.
    pub fn work(&mut self, requests: Vec<Request>, idle: bool) {
        self.ending.extend(self.shared.take_ended(self.world.now()));
        self.heal();
        let Some(database) = self.database.take() else {
            for request in requests {
                let _ = request.answer.send(Err(closed()));
            }
            return;
        };
        let mut group = Group {
            meta: self.meta,
            batches: Vec::new(),
            answers: Vec::new(),
            leases: Vec::new(),
            dirty: false,
        };
        let mut requests = requests.into_iter();
        let carried_out = match &self.broken {
            Some(broken) => Err((broken.why.clone(), false)),
            None => self.carry_out(&database, &mut group, &mut requests),
        };
        self.database = Some(database);
        match carried_out {
            Ok(()) => self.succeed(group),
            Err((why, tried)) => {
                for request in requests {
                    self.refuse(request, &why);
                }
                self.fail(group, &why, tried);
            }
        }
        if self.closing.is_empty() {
            self.checkpoint(idle);
        } else {
            self.close();
        }
    }

    /// `Err`: why not, and whether its COMMIT was tried.
    fn carry_out(
        &mut self,
        database: &Database,
        group: &mut Group,
        requests: &mut impl Iterator<Item = Request>,
    ) -> Result<(), (String, bool)> {
        self.prepare(database, group, requests).map_err(|error| (error.to_string(), false))?;
        let ended = if group.dirty { database.commit() } else { database.roll_back() };
        ended.map_err(|error| (error.to_string(), group.dirty))
    }

    fn refuse(&mut self, request: Request, why: &str) {
        if let Work::Close = request.work {
            self.closing.push(request.answer);
        } else {
            let _ = request.answer.send(Err(unavailable(why)));
        }
    }

    fn prepare(
        &mut self,
        database: &Database,
        group: &mut Group,
        requests: &mut impl Iterator<Item = Request>,
    ) -> Sql<()> {
        database.begin()?;
        for lease in &self.ending {
            group.end_lease(database, *lease)?;
        }
        let now = self.world.now();
        for request in requests {
            let result = match request.work {
                Work::Commit(transaction) => {
                    let holds = |lease| self.shared.lease_holds(lease, now);
                    group.commit(database, &transaction, holds)
                }
                Work::Compact(upto) => {
                    group.compact(upto);
                    Ok(Ok(Answer::Nothing))
                }
                Work::Grant(seconds) => group.grant(database, seconds),
                Work::Revoke(lease) => {
                    // Only what is still held: its end may have come before.
                    if self.shared.take_lease(lease) {
                        self.ending.push(lease);
                        group.end_lease(database, lease).map(|()| Ok(Answer::Nothing))
                    } else {
                        Ok(Ok(Answer::Nothing))
                    }
                }
                Work::Close => {
                    self.closing.push(request.answer);
                    continue;
                }
            };
            match result {
                Ok(result) => group.answers.push((request.answer, result)),
                Err(error) => {
                    let _ = request.answer.send(Err(unavailable(&error.to_string())));
                    return Err(error);
                }
            }
        }
        self.trim(database, group)?;
        if group.dirty {
            database.set_meta(&group.meta)?;
        }
        Ok(())
    }

    /// Keeps the log within its bounds, a few rows with each group.
    fn trim(&mut self, database: &Database, group: &mut Group) -> Sql<()> {
        let meta = &mut group.meta;
        let held = meta.revision.0 - meta.compacted.0;
        if held > self.options.keep_revisions || meta.log_bytes > self.options.keep_bytes {
            // A quarter at once, so that this is rare.
            meta.compacted.0 += (held / 4).max(1);
            group.dirty = true;
        }
        if meta.compacted > self.meta.compacted {
            self.trimming = true;
        }
        if self.trimming {
            let (rows, bytes) = database.trim(meta.compacted, TRIM)?;
            meta.log_bytes = meta.log_bytes.saturating_sub(bytes);
            group.dirty |= rows > 0;
            self.trimming = rows == u64::from(TRIM);
        }
        Ok(())
    }

    fn succeed(&mut self, group: Group) {
        self.ending.clear();
        let compacted = group.meta.compacted > self.meta.compacted;
        self.meta = group.meta;
        let now = self.world.now();
        for (lease, seconds) in group.leases {
            self.shared.add_lease(lease, seconds, now);
        }
        self.shared.publish(group.batches);
        if compacted {
            self.shared.compacted(self.meta.compacted);
        }
        for (answer, result) in group.answers {
            let _ = answer.send(result);
        }
    }

    /// Nothing of the group counts. If its COMMIT was tried, that is certain only when the WAL could be
    /// written over.
    fn fail(&mut self, group: Group, why: &str, tried: bool) {
        if self.broken.is_none() {
            tracing::error!("the store could not write: {why}");
            // Never used again, even though nothing was granted.
            self.meta.last_lease = group.meta.last_lease;
            self.trimming = true;
            self.broken = Some(Broken { why: why.to_owned(), retry: self.world.now() });
            self.heal();
        }
        let unsure = tried && self.broken.is_some();
        for (answer, result) in group.answers {
            let result = match result {
                Ok(Answer::Outcome(Outcome::Done(_))) if unsure => {
                    Ok(Answer::Outcome(Outcome::Unknown(format!("the disk failed: {why}"))))
                }
                // What was refused by itself stays refused.
                Err(error) => Err(error),
                // A conflict may be with what was not written.
                Ok(_) => Err(unavailable(why)),
            };
            let _ = answer.send(result);
        }
    }

    /// Tries to be whole again: rolled back, and a commit of its own on the disk.
    fn heal(&mut self) {
        let Some(broken) = &mut self.broken else { return };
        let now = self.world.now();
        if broken.retry > now {
            return;
        }
        let Some(database) = &self.database else { return };
        let healed = database.roll_back().and_then(|()| database.scar()).and_then(|()| {
            let found = database.meta()?;
            Ok(found.revision == self.meta.revision)
        });
        match healed {
            Ok(true) => {
                tracing::warn!("the store can write again");
                self.broken = None;
            }
            Ok(false) => {
                broken.why = "the database was changed by somebody else".into();
                broken.retry = now + HEAL_EVERY;
            }
            Err(error) => {
                let _ = database.roll_back();
                broken.why = error.to_string();
                broken.retry = now + HEAL_EVERY;
            }
        }
    }

    fn checkpoint(&mut self, idle: bool) {
        let Some(database) = &self.database else { return };
        let pages = database.waiting_pages();
        if self.broken.is_none() && (pages > BUSY_PAGES || (idle && pages > IDLE_PAGES)) {
            // The WAL still has everything: a failure here costs nothing but room.
            if let Err(error) = database.checkpoint() {
                tracing::error!("the store's log could not be moved into its database: {error}");
            }
        }
    }

    fn close(&mut self) {
        self.shared.close();
        if let Some(database) = self.database.take()
            && let Err(error) = database.finish()
        {
            tracing::error!("the store was not closed cleanly, nothing is lost: {error}");
        }
        self.lock = None;
        for answer in self.closing.drain(..) {
            let _ = answer.send(Ok(Answer::Nothing));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also after a panic: nobody waits for ever.
        self.shared.close();
    }
}

impl Group {
    fn commit(
        &mut self,
        database: &Database,
        transaction: &Transaction,
        holds: impl Fn(LeaseId) -> bool,
    ) -> Sql<Result<Answer>> {
        for condition in &transaction.conditions {
            let true_now = match condition {
                Condition::Unchanged { key, modified } => {
                    database.history(key)?.is_some_and(|(_, at)| at == *modified)
                }
                Condition::Alive { key, created } => {
                    database.history(key)?.is_some_and(|(at, _)| at == *created)
                }
                Condition::Absent { key } => database.history(key)?.is_none(),
                Condition::Empty { prefix } => !database.any(prefix)?,
            };
            if !true_now {
                return Ok(Ok(Answer::Outcome(Outcome::Conflict)));
            }
        }
        for write in &transaction.writes {
            if let Write::Put { lease: Some(lease), .. } = write
                && !holds(*lease)
            {
                return Ok(Err(Error::bad_request(format!("The lease {lease} has ended."))));
            }
        }
        let at = Revision(self.meta.revision.0 + 1);
        let mut changes = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            match write {
                Write::Put { key, value, lease } => {
                    let created = database.put(at, key, value, *lease)?;
                    changes.push(Change::Put(Item {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: at,
                        lease: *lease,
                    }));
                }
                Write::Delete { key } => {
                    if database.delete(key)? {
                        changes.push(Change::Deleted(key.clone()));
                    }
                }
            }
        }
        self.made(database, at, changes)?;
        Ok(Ok(Answer::Outcome(Outcome::Done(self.meta.revision))))
    }

    /// Makes a revision of these changes, if there are any.
    fn made(&mut self, database: &Database, at: Revision, changes: Vec<Change>) -> Sql<()> {
        if changes.is_empty() {
            return Ok(());
        }
        for (place, change) in changes.iter().enumerate() {
            self.meta.log_bytes += database.note(at, place, change)?;
        }
        self.meta.revision = at;
        self.batches.push(Batch { revision: at, changes });
        self.dirty = true;
        Ok(())
    }

    fn end_lease(&mut self, database: &Database, lease: LeaseId) -> Sql<()> {
        let keys: Vec<Key> = database.end_lease(lease)?;
        self.dirty = true;
        for key in &keys {
            database.delete(key)?;
        }
        let at = Revision(self.meta.revision.0 + 1);
        self.made(database, at, keys.into_iter().map(Change::Deleted).collect())
    }

    fn grant(&mut self, database: &Database, seconds: u64) -> Sql<Result<Answer>> {
        self.meta.last_lease += 1;
        let lease = LeaseId(self.meta.last_lease);
        database.add_lease(lease, seconds)?;
        self.leases.push((lease, seconds));
        self.dirty = true;
        Ok(Ok(Answer::Lease(lease)))
    }

    fn compact(&mut self, upto: Revision) {
        let upto = upto.min(self.meta.revision);
        if upto > self.meta.compacted {
            self.meta.compacted = upto;
            self.dirty = true;
        }
    }
}

fn unavailable(why: &str) -> Error {
    Error::unavailable(format!("The store cannot be written: {why}. Nothing was changed."))
}
