//! OpenStack's three states and its status, rendered from one phase and what is asked for. The only place
//! that knows their words, besides the errors that quote them.

use super::record::{Phase, ServerRecord, Wish};

/// What is under way: `task_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Scheduling,
    Spawning,
    PoweringOff,
    PoweringOn,
    Rebooting,
    RebootingHard,
    Deleting,
}

impl Task {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Task::Scheduling => "scheduling",
            Task::Spawning => "spawning",
            Task::PoweringOff => "powering-off",
            Task::PoweringOn => "powering-on",
            Task::Rebooting => "rebooting",
            Task::RebootingHard => "rebooting_hard",
            Task::Deleting => "deleting",
        }
    }
}

/// `vm_state`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum VmState {
    Building,
    Active,
    Stopped,
    Error,
    Deleted,
}

impl VmState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            VmState::Building => "building",
            VmState::Active => "active",
            VmState::Stopped => "stopped",
            VmState::Error => "error",
            VmState::Deleted => "deleted",
        }
    }
}

impl ServerRecord {
    /// What is under way.
    pub(crate) fn task(&self) -> Option<Task> {
        if self.terminated_at.is_some() {
            return None;
        }
        if self.is_deleted() {
            return Some(Task::Deleting);
        }
        if self.phase == Phase::New {
            return Some(if self.place.is_some() { Task::Spawning } else { Task::Scheduling });
        }
        self.pending().map(|wish| match wish {
            Wish::Start => Task::PoweringOn,
            Wish::Stop => Task::PoweringOff,
            Wish::SoftReboot => Task::Rebooting,
            Wish::HardReboot => Task::RebootingHard,
        })
    }

    /// What it is.
    pub(crate) fn vm_state(&self) -> VmState {
        if self.terminated_at.is_some() {
            return VmState::Deleted;
        }
        match self.phase {
            Phase::New => VmState::Building,
            Phase::Running => VmState::Active,
            Phase::Off => VmState::Stopped,
            Phase::Failed => VmState::Error,
        }
    }

    /// What its machine does: 0 unknown, 1 running, 4 off.
    pub(crate) fn power_state(&self) -> u8 {
        match (self.place.is_some(), self.launched_at.is_some(), self.on) {
            _ if self.terminated_at.is_some() => 0,
            (false, ..) | (_, false, false) => 0,
            (_, _, true) => 1,
            (_, true, false) => 4,
        }
    }

    /// `ACTIVE`, …
    pub(crate) fn status(&self) -> &'static str {
        status(self.vm_state(), self.task())
    }
}

fn status(state: VmState, task: Option<Task>) -> &'static str {
    match (state, task) {
        (VmState::Active, Some(Task::Rebooting)) => "REBOOT",
        (VmState::Active, Some(Task::RebootingHard)) => "HARD_REBOOT",
        (VmState::Active, _) => "ACTIVE",
        (VmState::Building, _) => "BUILD",
        (VmState::Stopped, _) => "SHUTOFF",
        (VmState::Error, _) => "ERROR",
        (VmState::Deleted, _) => "DELETED",
    }
}

/// Every status that Nova knows, in lower case: a filter by another one is a mistake from 2.38 on.
const KNOWN: &[&str] = &[
    "active",
    "build",
    "deleted",
    "error",
    "hard_reboot",
    "migrating",
    "password",
    "paused",
    "reboot",
    "rebuild",
    "rescue",
    "resize",
    "revert_resize",
    "shelved",
    "shelved_offloaded",
    "shutoff",
    "soft_deleted",
    "suspended",
    "verify_resize",
];

/// Whether there is such a status, in whatever case.
pub(crate) fn is_status(text: &str) -> bool {
    KNOWN.contains(&text.to_lowercase().as_str())
}

/// Statuses whose servers show a progress.
pub(crate) fn has_progress(status: &str) -> bool {
    matches!(status, "ACTIVE" | "BUILD" | "REBUILD" | "RESIZE" | "VERIFY_RESIZE" | "MIGRATING")
}
