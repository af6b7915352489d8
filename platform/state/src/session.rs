//! A controller's session: one key under one lease, renewed while the controller lives. Its end is a
//! hint to the others, never a proof.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base::{Moment, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    LeaseId, Outcome, Transaction, Write,
    record::{self, Record, Scope},
    state::State,
};

/// A controller that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// [`State::incarnation`]: new at each start of the controller.
    pub incarnation: String,
    /// When it began.
    pub since: Timestamp,
    /// Where its peers reach it; empty when it has none.
    pub address: String,
}

impl Record for SessionRecord {
    const TABLE: &'static str = "state.sessions";
    const SCOPE: Scope = Scope::Global;
}

/// Keeps this controller's session.
#[derive(Clone)]
pub struct Session {
    state: State,
    ttl: Duration,
    /// When the last renewal that was answered was sent.
    renewed: Arc<Mutex<Option<Moment>>>,
}

impl Session {
    /// Begins a session and keeps it until the world's scope ends.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn begin(state: &State, ttl: Duration, address: &str) -> Result<Session> {
        let session = Session { state: state.clone(), ttl, renewed: Arc::default() };
        let record = SessionRecord {
            incarnation: state.incarnation().to_owned(),
            since: state.world().wall(),
            address: address.to_owned(),
        };
        let lease = session.announce(&record).await?;
        let keeper = session.clone();
        state.world().spawn("session", async move { keeper.keep(record, lease).await });
        Ok(session)
    }

    /// Whether the session certainly lives: its last renewal is younger than its length.
    pub fn lives(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.is_some_and(|at| self.state.world().now().since(at) < self.ttl)
    }

    async fn announce(&self, record: &SessionRecord) -> Result<LeaseId> {
        let sent = self.state.world().now();
        let lease = self.state.store().grant(self.ttl).await?;
        let key = record::record_key(Scope::Global, SessionRecord::TABLE, self.state.name());
        let value = serde_json::to_vec(record)
            .map_err(|error| base::Error::internal("encoding").with_source(error))?;
        // The key is this controller's alone: writing it again is harmless, whatever the outcome was.
        let put = Write::Put { key, value: value.into(), lease: Some(lease) };
        let transaction =
            Transaction { label: "session::announce", conditions: vec![], writes: vec![put] };
        match self.state.store().commit(&transaction).await? {
            Outcome::Done(_) => {
                self.note(sent);
                Ok(lease)
            }
            // Not announced, as far as is known: without its key this controller is dead to the others.
            outcome => Err(base::Error::unavailable(format!(
                "The session could not be announced: {outcome:?}"
            ))),
        }
    }

    fn note(&self, sent: Moment) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    async fn keep(self, record: SessionRecord, mut lease: LeaseId) {
        let world = self.state.world().clone();
        loop {
            world.sleep(self.ttl / 3).await;
            let sent = world.now();
            match self.state.store().renew(lease).await {
                Ok(true) => self.note(sent),
                Ok(false) => {
                    tracing::warn!("this controller's session ended early and is begun again");
                    match self.announce(&record).await {
                        Ok(new) => lease = new,
                        Err(error) => tracing::warn!("no new session: {error:?}"),
                    }
                }
                Err(error) => tracing::warn!("the session could not be renewed: {error:?}"),
            }
        }
    }
}
