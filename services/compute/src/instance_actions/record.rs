//! What was done to a server, as its owner sees it. One record for each server, bounded; written in the
//! transaction that does it. It outlives its server as long as the tombstone does.

use base::{Result, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, Txn};

/// The actions of one server. Its id in the table is the server's UUID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionsRecord {
    /// Oldest first.
    pub actions: Vec<Action>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `create`, `stop`, …
    pub action: String,
    /// The request that asked for it.
    pub request_id: String,
    /// Who asked.
    pub user_id: String,
    /// In which project.
    pub project_id: String,
    /// When.
    pub start_time: Timestamp,
    /// When it last got on.
    pub updated_at: Timestamp,
    /// `Error` when it failed.
    pub message: Option<String>,
    /// What happened for it.
    pub events: Vec<Event>,
}

/// A part of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `compute__do_build_and_run_instance`, …
    pub event: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub finish_time: Option<Timestamp>,
    /// `Success` or `Error`, once it ended.
    pub result: Option<String>,
    /// The node that it happened on.
    pub host: Option<String>,
    /// Why it failed.
    pub details: Option<String>,
}

impl Record for ActionsRecord {
    const TABLE: &'static str = "compute.instance_actions";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[];
}

/// At most so many actions are kept of a server: the first (its creation) and the newest.
const KEPT: usize = 50;

/// Who does something, for the record.
#[derive(Clone, Debug)]
pub struct Doer {
    /// The request's id.
    pub request_id: String,
    /// Who asks.
    pub user_id: String,
    /// In which project.
    pub project_id: String,
}

impl Doer {
    /// Of a request.
    pub fn of(call: &web::Request) -> Doer {
        Doer {
            request_id: call.request_id.to_string(),
            user_id: call.actor.user_id.clone(),
            project_id: call.actor.project_id().to_owned(),
        }
    }
}

/// How an action ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not, and why.
    Error(String),
}

impl ActionsRecord {
    /// Notes that something begins. `event`: its part that a node carries out.
    pub fn begin(
        &mut self,
        doer: &Doer,
        action: &str,
        event: &str,
        host: Option<&str>,
        now: Timestamp,
    ) {
        if self.actions.len() >= KEPT {
            self.actions.remove(1);
        }
        self.actions.push(Action {
            action: action.to_owned(),
            request_id: doer.request_id.clone(),
            user_id: doer.user_id.clone(),
            project_id: doer.project_id.clone(),
            start_time: now,
            updated_at: now,
            message: None,
            events: vec![Event {
                event: event.to_owned(),
                start_time: now,
                finish_time: None,
                result: None,
                host: host.map(str::to_owned),
                details: None,
            }],
        });
    }

    /// Notes how everything that is under way ended: the newest wish stands for those before it.
    pub fn end(&mut self, outcome: &Outcome, host: Option<&str>, now: Timestamp) {
        for action in &mut self.actions {
            for event in action.events.iter_mut().filter(|event| event.finish_time.is_none()) {
                event.finish_time = Some(now);
                action.updated_at = now;
                if let Some(host) = host {
                    event.host = Some(host.to_owned());
                }
                match outcome {
                    Outcome::Success => event.result = Some("Success".to_owned()),
                    Outcome::Error(why) => {
                        event.result = Some("Error".to_owned());
                        event.details = Some(why.clone());
                        action.message = Some("Error".to_owned());
                    }
                }
            }
        }
    }
}

/// Notes that something begins, in the transaction that asks for it.
pub fn begin(
    txn: &mut Txn,
    server: &str,
    doer: &Doer,
    action: &str,
    event: &str,
    host: Option<&str>,
) -> Result<()> {
    let mut record = read(txn, server)?;
    record.begin(doer, action, event, host, txn.now());
    txn.put(server, record)
}

/// Notes something that is done with the transaction itself.
pub fn done(
    txn: &mut Txn,
    server: &str,
    doer: &Doer,
    action: &str,
    event: &str,
    host: Option<&str>,
) -> Result<()> {
    let mut record = read(txn, server)?;
    let open = record.actions.len();
    let now = txn.now();
    record.begin(doer, action, event, host, now);
    if let Some(last) = record.actions.last_mut().filter(|_| open < KEPT + 1) {
        for event in &mut last.events {
            event.finish_time = Some(now);
            event.result = Some("Success".to_owned());
        }
    }
    txn.put(server, record)
}

/// Notes how what is under way ended.
pub fn end(txn: &mut Txn, server: &str, outcome: &Outcome, host: Option<&str>) -> Result<()> {
    let mut record = read(txn, server)?;
    let before = record.clone();
    record.end(outcome, host, txn.now());
    if record == before { Ok(()) } else { txn.put(server, record) }
}

fn read(txn: &mut Txn, server: &str) -> Result<ActionsRecord> {
    Ok(txn
        .get::<ActionsRecord>(server)?
        .map(|record| ActionsRecord::clone(&record))
        .unwrap_or_default())
}
