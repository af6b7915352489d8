//! Finding a server, for showing and for changing. One that is still a part of a batch is as good as made.

use std::{ops::Deref, sync::Arc};

use base::{Error, Result};
use state::{Snapshot, Txn};
use web::Actor;

use super::{batch, record::ServerRecord, tombstone::DeletedServer};

/// A server that was found.
#[derive(Clone)]
pub struct Server {
    /// Its id.
    pub id: Arc<str>,
    /// What is kept of it.
    pub record: Arc<ServerRecord>,
}

impl Deref for Server {
    type Target = ServerRecord;
    fn deref(&self) -> &ServerRecord {
        &self.record
    }
}

/// 404 in Nova's words.
pub fn not_found(id: &str) -> Error {
    Error::not_found(format!("Instance {id} could not be found."))
}

/// The server, whoever asks.
pub fn find(snapshot: &Snapshot, id: &str) -> Result<Option<Server>> {
    if let Some(entry) = snapshot.find::<ServerRecord>(id)? {
        return Ok(Some(Server { id: entry.id.clone(), record: entry.record() }));
    }
    batch::member(snapshot, id)
}

/// The server, if the actor may know of it: administrators of all, others of their project's.
pub fn visible(actor: &Actor, snapshot: &Snapshot, id: &str) -> Result<Server> {
    find(snapshot, id)?
        .filter(|server| actor.is_admin || server.project_id == actor.project_id())
        .ok_or_else(|| not_found(id))
}

/// As [`visible`], and a server that was deleted not long ago too.
pub fn visible_or_deleted(actor: &Actor, snapshot: &Snapshot, id: &str) -> Result<Server> {
    if let Some(entry) = snapshot.find::<DeletedServer>(id)?
        && (actor.is_admin || entry.0.project_id == actor.project_id())
    {
        return Ok(Server { id: entry.id.clone(), record: Arc::new(entry.0.clone()) });
    }
    visible(actor, snapshot, id)
}

/// The server as the commit must find it; one that is a part of a batch is made by writing it.
pub fn held(txn: &mut Txn, id: &str) -> Result<Arc<ServerRecord>> {
    if let Some(record) = txn.get::<ServerRecord>(id)? {
        return Ok(record);
    }
    batch::take_out(txn, id)?.ok_or_else(|| not_found(id))
}

/// Changes a server in a way that is shown.
pub fn change(
    txn: &mut Txn,
    id: &str,
    change: impl FnOnce(&mut ServerRecord) -> Result<()>,
) -> Result<ServerRecord> {
    let mut record = ServerRecord::clone(&*held(txn, id)?);
    change(&mut record)?;
    record.updated_at = txn.now();
    txn.put(id, record.clone())?;
    Ok(record)
}
