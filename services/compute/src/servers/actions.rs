//! What an owner can do to a server; each is one transaction. What it takes to make it true is up to
//! its node and the reconcilers.

use base::{Error, Result};
use nodes::NodeRecord;
use placement::allocations;
use state::Txn;

use super::{
    blobs,
    find::{change, held},
    gone::GoneRecord,
    record::{Lock, Phase, Power, ServerRecord, Wish},
    refuse::{self, Needs, Tasks},
    states::VmState,
    tombstone::DeletedServer,
};
use crate::{
    around,
    instance_actions::{self, Doer, Outcome},
    quotas,
};

/// Who acts, and whether locks stand against it.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// For the record.
    pub(crate) doer: Doer,
    /// Is an administrator.
    pub(crate) is_admin: bool,
}

impl By {
    /// Of a request.
    pub(crate) fn of(call: &web::Request) -> By {
        By { doer: Doer::of(call), is_admin: call.actor.is_admin }
    }
}

const START: Needs = Needs::of("start", &[VmState::Stopped]).on_host();
const STOP: Needs = Needs::of("stop", &[VmState::Active, VmState::Error]).on_host();
const SOFT_REBOOT: Needs = Needs::of("reboot", &[VmState::Active]);
const HARD_REBOOT: Needs = Needs {
    tasks: Tasks::Reboots,
    ..Needs::of("reboot", &[VmState::Active, VmState::Stopped, VmState::Error])
};

/// Something is asked for that its node carries out.
fn wish(txn: &mut Txn, id: &str, by: &By, needs: &Needs, last: Wish) -> Result<()> {
    let server = held(txn, id)?;
    needs.check(id, &server, by.is_admin)?;
    // A hard reboot is how an administrator gets a server out of an error that no node knows of.
    refuse::on_a_node(id, &server)?;
    let version = txn.snapshot().revision();
    let changed = change(txn, id, |server| {
        let intent = &mut server.intent;
        intent.wishes += 1;
        intent.last = last;
        intent.version = version;
        intent.power = if last == Wish::Stop { Power::Off } else { Power::On };
        if matches!(last, Wish::SoftReboot | Wish::HardReboot) {
            intent.reboots += 1;
            intent.hard = last == Wish::HardReboot;
        }
        Ok(())
    })?;
    let (action, event) = match last {
        Wish::Start => ("start", "compute_start_instance"),
        Wish::Stop => ("stop", "compute_stop_instance"),
        Wish::SoftReboot | Wish::HardReboot => ("reboot", "compute_reboot_instance"),
    };
    instance_actions::begin(txn, id, &by.doer, action, event, changed.node())
}

/// Switches it on.
pub(crate) fn start(txn: &mut Txn, id: &str, by: &By) -> Result<()> {
    wish(txn, id, by, &START, Wish::Start)
}

/// Switches it off.
pub(crate) fn stop(txn: &mut Txn, id: &str, by: &By) -> Result<()> {
    wish(txn, id, by, &STOP, Wish::Stop)
}

/// Reboots it: by its guest, or at once.
pub(crate) fn reboot(txn: &mut Txn, id: &str, by: &By, hard: bool) -> Result<()> {
    match hard {
        true => wish(txn, id, by, &HARD_REBOOT, Wish::HardReboot),
        false => wish(txn, id, by, &SOFT_REBOOT, Wish::SoftReboot),
    }
}

/// Deletes it. One that is on a node that can be reached is gone when the node says so; of any other
/// only the order to clear away stays.
pub(crate) fn delete(txn: &mut Txn, id: &str, by: &By) -> Result<()> {
    let server = held(txn, id)?;
    refuse::unlocked(id, &server, by.is_admin)?;
    if server.is_deleted() {
        return Ok(());
    }
    let event = "compute_terminate_instance";
    let Some(place) = server.place.clone() else {
        instance_actions::done(txn, id, &by.doer, "delete", event, None)?;
        return remove(txn, id, &server);
    };
    if !txn.get::<NodeRecord>(&place.node)?.is_some_and(|node| node.is_up()) {
        instance_actions::done(txn, id, &by.doer, "delete", event, Some(&place.node))?;
        return let_go(txn, id, &server);
    }
    let (now, version) = (txn.now(), txn.snapshot().revision());
    change(txn, id, |server| {
        server.intent.deleted_at = Some(now);
        server.intent.version = version;
        Ok(())
    })?;
    instance_actions::begin(txn, id, &by.doer, "delete", event, Some(&place.node))
}

/// The server ends without its node having said that nothing is left there: an order to clear away stays,
/// and with it the claim on what the machine may still hold.
pub(super) fn let_go(txn: &mut Txn, id: &str, server: &ServerRecord) -> Result<()> {
    let Some(place) = &server.place else { return remove(txn, id, server) };
    if txn.get::<NodeRecord>(&place.node)?.is_none() {
        // Nothing is left of a node that was removed.
        return remove(txn, id, server);
    }
    let gone = GoneRecord {
        server: id.to_owned(),
        node: place.node.clone(),
        epoch: place.epoch,
        since: txn.now(),
        holds: true,
    };
    txn.put(&GoneRecord::id(&place.node, id), gone)?;
    bury(txn, id, server)
}

/// The server ends, and with it everything that it held.
pub(super) fn remove(txn: &mut Txn, id: &str, server: &ServerRecord) -> Result<()> {
    allocations::actions::release(txn, id)?;
    bury(txn, id, server)
}

fn bury(txn: &mut Txn, id: &str, server: &ServerRecord) -> Result<()> {
    let now = txn.now();
    quotas::actions::give_back(txn, &server.project_id, &server.user_id, &server.use_of_quota())?;
    if let Some(group) = &server.group {
        around::leave_group(txn, group, &server.user_id, id)?;
    }
    blobs::let_go(txn, server.user_data.as_ref())?;
    blobs::let_go(txn, server.personality.as_ref())?;
    instance_actions::end(txn, id, &Outcome::Success, server.node())?;
    let last = ServerRecord {
        user_data: None,
        personality: None,
        group: None,
        locked: None,
        updated_at: now,
        terminated_at: Some(now),
        ..server.clone()
    };
    txn.put(id, DeletedServer(last))?;
    txn.delete::<ServerRecord>(id)?;
    Ok(())
}

/// What an owner may change of a server; none: stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) hostname: Option<String>,
    pub(crate) access_ip_v4: Option<String>,
    pub(crate) access_ip_v6: Option<String>,
    pub(crate) auto_disk_config: Option<bool>,
}

/// Changes what is for people.
pub(crate) fn update(txn: &mut Txn, id: &str, update: &Update) -> Result<ServerRecord> {
    change(txn, id, |server| {
        let update = update.clone();
        if let Some(name) = update.name {
            server.name = name;
        }
        if let Some(description) = update.description {
            server.description = description;
        }
        if let Some(hostname) = update.hostname {
            server.hostname = hostname;
        }
        if let Some(address) = update.access_ip_v4 {
            server.access_ip_v4 = Some(address);
        }
        if let Some(address) = update.access_ip_v6 {
            server.access_ip_v6 = Some(address);
        }
        if let Some(auto) = update.auto_disk_config {
            server.auto_disk_config = auto;
        }
        Ok(())
    })
}

/// Locks it. A lock that an administrator set stays the administrator's.
pub(crate) fn lock(
    txn: &mut Txn,
    id: &str,
    by: &By,
    by_owner: bool,
    reason: Option<String>,
) -> Result<()> {
    if held(txn, id)?.locked.is_some() && by_owner {
        return Ok(());
    }
    change(txn, id, |server| {
        let old = server.locked.take().and_then(|lock| lock.reason);
        server.locked = Some(Lock { by_owner, reason: reason.clone().or(old) });
        Ok(())
    })?;
    instance_actions::done(txn, id, &by.doer, "lock", "api_lock", None)
}

/// Unlocks it.
pub(crate) fn unlock(txn: &mut Txn, id: &str, by: &By) -> Result<()> {
    change(txn, id, |server| {
        server.locked = None;
        Ok(())
    })?;
    instance_actions::done(txn, id, &by.doer, "unlock", "api_unlock", None)
}

/// An administrator says that it is in error, or that it is not. What is true of its machine is then
/// shown again; one that never had a node is tried again.
pub(crate) fn reset_state(txn: &mut Txn, id: &str, by: &By, error: bool) -> Result<()> {
    let version = txn.snapshot().revision();
    change(txn, id, |server| {
        server.answered = server.intent.wishes;
        server.intent.version = version;
        if error {
            server.phase = Phase::Failed;
            server.fault = None;
            return Ok(());
        }
        server.phase = match (server.launched_at.is_some(), server.on) {
            (false, _) => Phase::New,
            (true, true) => Phase::Running,
            (true, false) => Phase::Off,
        };
        server.fault = None;
        Ok(())
    })?;
    instance_actions::done(txn, id, &by.doer, "os-resetState", "api_reset_state", None)
}

/// How long a server waits for its node: one that is there to clear a deleted server away, one that is away
/// to come back while it makes a server ready.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// 400 for a body that names no action, or more than one.
pub(crate) fn no_such_action(body: &serde_json::Value) -> Error {
    let names: Vec<&String> = body.as_object().into_iter().flat_map(|o| o.keys()).collect();
    match names.as_slice() {
        [one] => Error::bad_request(format!("There is no such action: {one}")),
        _ => Error::bad_request("Malformed request body"),
    }
}
