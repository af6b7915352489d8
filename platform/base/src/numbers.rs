//! The numbers that keep order: revisions of the store, eras, epochs of a place, versions of an order.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The store's one global counter: each commit has one, later commits have greater ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A random name of this life of the store, new at each restore or migration. Whatever leaves the
/// store carries it, so that revisions of two lives are never compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Era(pub Arc<str>);

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may run a thing: raised whenever its place changes, refused when older.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How new an order is: the revision of the record that it was made from, within an era.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The life of the store that the revision belongs to.
    pub era: Era,
    /// The record's revision.
    pub revision: Revision,
}

impl Version {
    /// Whether this replaces `other`. Versions of different eras are not compared: a new era is
    /// taken only when the cloud's CA vouches for it, which the link does before orders arrive.
    pub fn replaces(&self, other: &Version) -> bool {
        self.era != other.era || self.revision >= other.revision
    }
}
