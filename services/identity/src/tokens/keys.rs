//! The keys that seal tokens: made when there is none or the newest is old, kept sealed in the store,
//! so that every controller has them; unsealed once and then kept in memory.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base::{Error, Map, Result};
use state::{Snapshot, Txn};

use super::{
    format::{self, Token, TokenKey},
    record::KeyRecord,
};
use crate::{Identity, config::Config, words};

/// Keys that were unsealed already.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<Map<[u8; 4], TokenKey>>);

impl Identity {
    /// Writes a token with the newest key.
    pub(crate) async fn seal_token(&self, snapshot: &Snapshot, token: &Token) -> Result<String> {
        let key = match self.newest_key(snapshot)? {
            Some(key) => key,
            None => {
                self.make_key().await?;
                let snapshot = self.state().fresh().await?;
                self.newest_key(&snapshot)?
                    .ok_or_else(|| Error::internal("there is no key for tokens"))?
            }
        };
        let era = self.state().era();
        format::seal(token, &key, era, self.world().random())
            .ok_or_else(|| Error::internal("a token is too long"))
    }

    /// Reads a token; 404 when it is not one of ours.
    pub(crate) fn open_token(&self, snapshot: &Snapshot, text: &str) -> Result<Token> {
        let id = format::key_id(text).ok_or_else(words::token_not_found)?;
        let key = self.key(snapshot, id)?.ok_or_else(words::token_not_found)?;
        format::open(text, self.state().era(), |_| Some(&key)).ok_or_else(words::token_not_found)
    }

    fn newest_key(&self, snapshot: &Snapshot) -> Result<Option<TokenKey>> {
        let newest = snapshot.all::<KeyRecord>().max_by_key(|key| (key.since, key.id.clone()));
        let Some(newest) = newest else { return Ok(None) };
        if self.world().wall().since(newest.since) >= self.config().token_key_lifetime {
            return Ok(None);
        }
        match unhex(&newest.id) {
            Some(id) => self.key(snapshot, id),
            None => Ok(None),
        }
    }

    fn key(&self, snapshot: &Snapshot, id: [u8; 4]) -> Result<Option<TokenKey>> {
        let name = hex(id);
        // Also when it is in memory: a key that was taken out of the store must not open anything.
        let Some(record) = snapshot.get::<KeyRecord>(&name) else { return Ok(None) };
        let keys = &self.keyring().0;
        if let Some(key) = keys.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(key.clone()));
        }
        let secret = self.sealer().unseal(&place(&name), "secret", &record.sealed)?;
        let secret = <[u8; 32]>::try_from(secret.as_slice())
            .map_err(|_| Error::internal("a key for tokens has the wrong length"))?;
        let key = TokenKey::new(id, secret);
        keys.lock().unwrap_or_else(PoisonError::into_inner).insert(id, key.clone());
        Ok(Some(key))
    }

    /// Makes a new key. Two controllers may do so at once: then there are two, and both are good.
    pub(crate) async fn make_key(&self) -> Result<()> {
        let id = hex(self.world().random());
        let secret: [u8; 32] = self.world().random();
        let sealed = self.sealer().seal(&place(&id), "secret", &secret)?;
        self.state()
            .transact("tokens::make_key", move |txn| {
                let since = txn.now();
                txn.create(&id, KeyRecord { sealed: sealed.clone(), since })
            })
            .await
    }
}

/// Deletes keys whose every token has ended.
pub(crate) fn forget_old(txn: &mut Txn, config: &Config) -> Result<()> {
    let longest = config.token_lifetime + config.token_expired_window + Duration::from_secs(3600);
    let now = txn.now();
    let mut keys: Vec<_> = txn.snapshot().all::<KeyRecord>().map(|k| (k.since, k.id)).collect();
    keys.sort();
    // A key sealed until the next one was made.
    for pair in keys.windows(2) {
        if let [(_, id), (replaced, _)] = pair
            && now.since(*replaced) > longest
        {
            txn.delete::<KeyRecord>(id)?;
        }
    }
    Ok(())
}

fn place(id: &str) -> String {
    format!("identity.token_keys/{id}")
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

fn unhex(id: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(id, 16).ok()?.to_be_bytes())
}
