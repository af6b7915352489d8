//! What nodes see. A report counts only while the server's record names the node and the epoch; what
//! follows from it is a pure function, written down in a lane that nodes share.

use base::{Era, Result};
use futures_util::future::join_all;
use orders::{Report, VmId, VmReport, VmState};
use state::{Snapshot, State, Txn};

use super::{
    actions,
    gone::GoneRecord,
    reconcile::cleared,
    record::{Fault, Phase, Power, ServerRecord, Wish},
};
use crate::instance_actions::{self, Outcome};

/// What a report means for a server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// This is how it is now; whether its actions ended, and how.
    Changed(Box<ServerRecord>, Option<Ended>),
    /// It was to be gone, and is.
    Gone,
}

/// How what was under way ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly(String),
}

/// What a report that counts means. Pure: `now` is the transaction's.
pub(super) fn sighted(
    server: &ServerRecord,
    report: &VmReport,
    era: &Era,
    now: base::Timestamp,
) -> Seen {
    if server.is_deleted() {
        return match report.state {
            VmState::Gone => Seen::Gone,
            _ => Seen::Nothing,
        };
    }
    // Whether the node knows of the last wish.
    let knows = report.version.era == *era && report.version.revision >= server.intent.version;
    let mut next = server.clone();
    let mut ended = None;
    match &report.state {
        VmState::Running | VmState::Paused => {
            next.on = true;
            let granted = match server.pending() {
                Some(Wish::Start) => knows,
                Some(Wish::SoftReboot | Wish::HardReboot) => {
                    knows && report.rebooted >= server.intent.reboots
                }
                Some(Wish::Stop) | None => false,
            };
            // An error that the node itself reported ends when it runs after all; one that an
            // administrator set does not.
            let healed = server.phase == Phase::Failed && server.fault.is_some() && knows;
            if granted || server.phase == Phase::New || (healed && server.pending().is_none()) {
                next.phase = Phase::Running;
                next.fault = None;
                next.launched_at = server.launched_at.or(Some(now));
                ended = Some(Ended::Well);
            }
            if granted {
                next.answered = server.intent.wishes;
            }
        }
        VmState::Stopped { by_guest } => {
            next.on = false;
            let stop = server.pending() == Some(Wish::Stop) && knows;
            // Whatever else was wished: the guest switched itself off after it was carried out.
            let by_itself = *by_guest && knows && server.intent.power == Power::On;
            let rests = server.pending().is_none()
                && server.intent.power == Power::Off
                && server.phase == Phase::Running;
            if stop || by_itself || rests {
                if server.phase != Phase::Failed || server.fault.is_some() || stop {
                    next.phase = Phase::Off;
                    next.fault = None;
                }
                next.intent.power = Power::Off;
                next.answered = server.intent.wishes;
                next.launched_at = server.launched_at.or(Some(now));
                ended = Some(Ended::Well);
            }
        }
        VmState::Failed { reason } if knows => {
            next.on = false;
            next.answered = server.intent.wishes;
            let same = server.phase == Phase::Failed
                && server.fault.as_ref().is_some_and(|fault| fault.message == *reason);
            if !same {
                next.phase = Phase::Failed;
                next.fault = Some(Fault {
                    code: 500,
                    message: reason.clone(),
                    details: String::new(),
                    created: now,
                });
            }
            ended = Some(Ended::Badly(reason.clone()));
        }
        VmState::Failed { .. } | VmState::Preparing | VmState::Gone | VmState::Stranger => {}
    }
    if next == *server {
        return Seen::Nothing;
    }
    next.updated_at = now;
    Seen::Changed(Box::new(next), ended)
}

/// Takes in what a node saw; answers what it may forget.
pub(super) async fn take(state: &State, node: &str, reports: Vec<Report>) -> Result<Vec<VmId>> {
    let snapshot = state.fresh().await?;
    let now = state.world().wall();
    let mut forget = Vec::new();
    let mut written = Vec::new();
    for report in reports {
        let Report::Vm(report) = report;
        match look(&snapshot, node, &report, state.era(), now) {
            Look::Nothing => {}
            Look::Forget => forget.push(report.id),
            Look::Write => {
                let (id, gone) = (report.id.clone(), report.state == VmState::Gone);
                let (node, era) = (node.to_owned(), state.era().clone());
                let transaction = move |txn: &mut Txn| write(txn, &node, &report, &era);
                let commit = state.transact_in_lane("reports", "servers::report", transaction);
                written.push(async move { commit.await.map(|()| gone.then_some(id)) });
            }
        }
    }
    for done in join_all(written).await {
        forget.extend(done?);
    }
    Ok(forget)
}

enum Look {
    Nothing,
    Forget,
    Write,
}

fn look(
    snapshot: &Snapshot,
    node: &str,
    report: &VmReport,
    era: &Era,
    now: base::Timestamp,
) -> Look {
    let id = report.id.as_str();
    let ours = snapshot.get::<ServerRecord>(id).filter(|server| {
        server.place.as_ref().is_some_and(|p| p.node == node && p.epoch == report.epoch)
    });
    if let Some(server) = ours {
        return match sighted(&server, report, era, now) {
            Seen::Nothing => Look::Nothing,
            Seen::Changed(..) | Seen::Gone => Look::Write,
        };
    }
    if report.state != VmState::Gone {
        return Look::Nothing;
    }
    match snapshot.get::<GoneRecord>(&GoneRecord::id(node, id)) {
        Some(gone) if report.epoch >= gone.epoch => Look::Write,
        // A later life of it is here.
        Some(_) => Look::Nothing,
        None => match snapshot.get::<ServerRecord>(id) {
            Some(server) if server.node() == Some(node) => Look::Nothing,
            _ => Look::Forget,
        },
    }
}

fn write(txn: &mut Txn, node: &str, report: &VmReport, era: &Era) -> Result<()> {
    let id = report.id.as_str();
    if let Some(server) = txn.get::<ServerRecord>(id)?
        && server.place.as_ref().is_some_and(|p| p.node == node && p.epoch == report.epoch)
    {
        return match sighted(&server, report, era, txn.now()) {
            Seen::Nothing => Ok(()),
            Seen::Gone => actions::remove(txn, id, &server),
            Seen::Changed(next, ended) => {
                let host = next.node().map(str::to_owned);
                txn.put(id, *next)?;
                match ended {
                    None => Ok(()),
                    Some(Ended::Well) => {
                        instance_actions::end(txn, id, &Outcome::Success, host.as_deref())
                    }
                    Some(Ended::Badly(why)) => {
                        instance_actions::end(txn, id, &Outcome::Error(why), host.as_deref())
                    }
                }
            }
        };
    }
    match txn.get::<GoneRecord>(&GoneRecord::id(node, id))? {
        Some(gone) if report.state == VmState::Gone && report.epoch >= gone.epoch => {
            cleared(txn, &gone)
        }
        _ => Ok(()),
    }
}
