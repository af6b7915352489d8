//! What a store must do, and nothing about what is kept in it. Backends: memory, embedded, etcd; one
//! conformance suite ([`crate::conformance`]) is passed by all of them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Error, Result, Revision, Set};
use bytes::Bytes;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 512 * 1024;
/// The largest transaction: all keys and values that it writes, in bytes.
pub const MAX_TRANSACTION: usize = 1024 * 1024;
/// Most conditions of a transaction, and most writes.
pub const MAX_OPERATIONS: usize = 128;
/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;

/// A key: printable text that starts with `/`. Keys are ordered bytewise.
pub type Key = Arc<str>;

/// One key's value and history, as of some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// The revision of the commit that made it (again, if it was deleted before).
    pub created: Revision,
    /// The revision of the commit that last wrote it.
    pub modified: Revision,
    /// The lease whose end deletes it.
    pub lease: Option<LeaseId>,
}

/// What must hold for a transaction to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key exists and was last written by that revision.
    Unchanged {
        /// The key.
        key: Key,
        /// Its [`Item::modified`].
        modified: Revision,
    },
    /// The key exists and was not deleted and made again since that revision.
    Alive {
        /// The key.
        key: Key,
        /// Its [`Item::created`].
        created: Revision,
    },
    /// The key does not exist.
    Absent {
        /// The key.
        key: Key,
    },
    /// No key starts with the prefix.
    Empty {
        /// The prefix.
        prefix: Key,
    },
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Makes or replaces the key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// Deleted when this lease ends.
        lease: Option<LeaseId>,
    },
    /// Deletes the key; none there is fine.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Write {
    /// The key that is written.
    pub fn key(&self) -> &Key {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }
}

/// Conditions and writes: all or nothing, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// A name for logs, metrics and fault tests, such as `servers::create`. Not stored.
    pub label: &'static str,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// Then all of these are done.
    pub writes: Vec<Write>,
}

impl Transaction {
    /// Refuses what any backend would refuse, with the same limits for all.
    ///
    /// # Errors
    /// `BadRequest` names the limit.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::bad_request(format!("{}: {what}", self.label)));
        if self.writes.is_empty() {
            return refuse("a transaction must write something".into());
        }
        if self.writes.len() > MAX_OPERATIONS || self.conditions.len() > MAX_OPERATIONS {
            return refuse(format!(
                "{} writes and {} conditions; {MAX_OPERATIONS} of each is the limit",
                self.writes.len(),
                self.conditions.len()
            ));
        }
        let mut keys = Set::new();
        let mut size = 0;
        for write in &self.writes {
            let key = write.key();
            if key.len() > MAX_KEY || !key.starts_with('/') {
                return refuse(format!(
                    "the key {key:.80} is not of at most {MAX_KEY} bytes after a /"
                ));
            }
            if !keys.insert(key) {
                return refuse(format!("the key {key} is written twice"));
            }
            size += key.len();
            if let Write::Put { value, .. } = write {
                if value.len() > MAX_VALUE {
                    return refuse(format!(
                        "the value of {key} has {} bytes; {MAX_VALUE} is the limit",
                        value.len()
                    ));
                }
                size += value.len();
            }
        }
        if size > MAX_TRANSACTION {
            return refuse(format!("{size} bytes are written; {MAX_TRANSACTION} is the limit"));
        }
        Ok(())
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durably done, at this revision.
    Done(Revision),
    /// A condition did not hold; nothing was written.
    Conflict,
    /// It may or may not have been (or still be) done: timeout, lost leader, I/O error. Never
    /// repeat it blindly: look.
    Unknown(String),
}

/// A reading of several keys at one revision.
#[derive(Clone, Debug)]
pub struct Reading<T> {
    /// The store's revision that the reading is true for.
    pub revision: Revision,
    /// What was there.
    pub items: T,
}

/// A lease: keys put under it vanish together when it ends. It may end early; it never lasts on
/// unnoticed. An end is a hint, never a proof of death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One key's change within a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Made or replaced.
    Put(Item),
    /// Deleted, by a transaction or by the end of its lease.
    Deleted(Key),
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Change::Put(item) => &item.key,
            Change::Deleted(key) => key,
        }
    }
}

/// All changes of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision.
    pub revision: Revision,
    /// Its changes, each key once.
    pub changes: Vec<Change>,
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// The history from there on is compacted away: load anew.
    Compacted,
    /// The connection broke: watch again from the last revision seen.
    Lost(String),
}

/// A watch over all keys: whole revisions, in order, none left out.
#[async_trait]
pub trait Watch: Send {
    /// The next revision's changes. May be dropped while waiting without losing any.
    async fn next(&mut self) -> Result<Batch, WatchEnd>;
}

/// An ordered key-value store with one global revision.
#[async_trait]
pub trait Store: Send + Sync {
    /// Carries out the transaction if its conditions hold.
    ///
    /// # Errors
    /// Only for what certainly was not and will not be done: over the limits (`BadRequest`), or the
    /// store could not be asked (`Unavailable`).
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome>;

    /// The store's newest revision: linearizable, so at least that of every commit acknowledged
    /// before the call.
    async fn revision(&self) -> Result<Revision>;

    /// The newest revision, where it is known in this process without asking anybody: the store lives
    /// here and nowhere else. As good as [`Store::revision`], and free.
    fn local_revision(&self) -> Option<Revision> {
        None
    }

    /// These keys at one revision, linearizable, in the order asked for.
    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>>;

    /// All keys with the prefix at one revision, linearizable, in key order. For cold starts: not paged.
    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>>;

    /// All changes after `after`.
    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>>;

    /// Forgets the history up to `upto`; watches from before it end with [`WatchEnd::Compacted`].
    async fn compact(&self, upto: Revision) -> Result<()>;

    /// A new lease that lasts `ttl` (whole seconds, at least 1) after each renewal.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId>;

    /// Renews a lease; false when it has ended.
    async fn renew(&self, lease: LeaseId) -> Result<bool>;

    /// Ends a lease now and deletes its keys.
    async fn revoke(&self, lease: LeaseId) -> Result<()>;
}

/// The exclusive end of the range of keys that start with `prefix`.
pub fn prefix_end(prefix: &str) -> Option<String> {
    let mut bytes = prefix.as_bytes().to_vec();
    while let Some(last) = bytes.pop() {
        // Keys are ASCII: the successor of a byte below 0x7f is valid text.
        if last < 0x7f {
            bytes.push(last + 1);
            return String::from_utf8(bytes).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn prefix_ends() {
        assert_eq!(prefix_end("/a/").as_deref(), Some("/a0"));
        assert_eq!(prefix_end("/a\u{7f}").as_deref(), Some("/b"));
    }
}
