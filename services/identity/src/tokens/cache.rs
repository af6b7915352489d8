//! What was found out about tokens lately, good until any identity record changes. Bounded; forgetting
//! costs only time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use base::{Revision, Timestamp};
use bytes::Bytes;
use web::Actor;

use super::resolve::Resolved;

/// A token that is good.
pub(crate) struct Validated {
    pub(crate) resolved: Resolved,
    pub(crate) actor: Arc<Actor>,
    /// Good until then, if nothing changes.
    pub(crate) ends: Timestamp,
    /// The state of identity that it was found out in.
    pub(crate) stamp: Revision,
    /// The answer to `GET /auth/tokens`, with and without the catalog.
    pub(crate) bodies: [std::sync::OnceLock<Bytes>; 2],
}

const SHARDS: usize = 16;
/// Entries of a shard before the older half is forgotten.
const MOST: usize = 2048;

/// By token. Two generations: what is not asked for while one fills up is forgotten.
pub(crate) struct Cache(Vec<Mutex<Shard>>);

#[derive(Default)]
struct Shard {
    young: BTreeMap<Box<str>, Arc<Validated>>,
    old: BTreeMap<Box<str>, Arc<Validated>>,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Cache {
    /// Tokens end in what is as good as random.
    fn shard(&self, token: &str) -> Option<&Mutex<Shard>> {
        let last = token.bytes().rev().nth(1).unwrap_or_default();
        self.0.get(usize::from(last) % SHARDS)
    }

    pub(crate) fn get(
        &self,
        token: &str,
        stamp: Revision,
        now: Timestamp,
    ) -> Option<Arc<Validated>> {
        let mut shard = self.shard(token)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.young.get(token) {
            return (found.stamp == stamp && now < found.ends).then(|| found.clone());
        }
        let found = shard.old.remove(token)?;
        if found.stamp != stamp || now >= found.ends {
            return None;
        }
        shard.young.insert(token.into(), found.clone());
        Some(found)
    }

    pub(crate) fn put(&self, token: &str, validated: Arc<Validated>) {
        let Some(shard) = self.shard(token) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.young.len() >= MOST {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(token.into(), validated);
    }
}
