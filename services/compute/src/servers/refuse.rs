//! When an action is refused, in Nova's words: locked, not on a node yet, in the wrong state.

use base::{Error, Result};

use super::{
    record::ServerRecord,
    states::{Task, VmState},
};

/// What a server must be for an action.
pub(crate) struct Needs {
    /// The action's name in the refusal.
    pub(crate) action: &'static str,
    /// One of these states; none: any.
    pub(crate) states: &'static [VmState],
    /// What may be under way meanwhile.
    pub(crate) tasks: Tasks,
    /// It has run at least once.
    pub(crate) launched: bool,
    /// It is on a node.
    pub(crate) host: bool,
    /// A lock stands against it, but for administrators.
    pub(crate) unlocked: bool,
}

/// What may be under way.
#[derive(Clone, Copy)]
pub(crate) enum Tasks {
    /// Anything.
    Any,
    /// Nothing.
    None,
    /// Nothing, or a reboot.
    Reboots,
}

impl Needs {
    /// The usual: launched, unlocked, nothing under way, in one of these states.
    pub(crate) const fn of(action: &'static str, states: &'static [VmState]) -> Needs {
        Needs { action, states, tasks: Tasks::None, launched: true, host: false, unlocked: true }
    }

    /// It is on a node.
    pub(crate) const fn on_host(self) -> Needs {
        Needs { host: true, ..self }
    }

    /// Whatever is under way.
    pub(crate) const fn any_task(self) -> Needs {
        Needs { tasks: Tasks::Any, ..self }
    }

    /// Refuses.
    pub(crate) fn check(&self, id: &str, server: &ServerRecord, is_admin: bool) -> Result<()> {
        if self.unlocked {
            unlocked(id, server, is_admin)?;
        }
        if self.host {
            on_a_node(id, server)?;
        }
        let state = server.vm_state();
        if !self.states.is_empty() && !self.states.contains(&state) {
            return Err(wrong(self.action, id, "vm_state", state.name()));
        }
        if let Some(task) = server.task() {
            let allowed = match self.tasks {
                Tasks::Any => true,
                Tasks::None => false,
                Tasks::Reboots => matches!(task, Task::Rebooting | Task::RebootingHard),
            };
            if !allowed {
                return Err(wrong(self.action, id, "task_state", task.name()));
            }
        }
        if self.launched && server.launched_at.is_none() {
            return Err(Error::conflict(format!(
                "Instance {id} is in an invalid state for '{}'",
                self.action
            )));
        }
        Ok(())
    }
}

/// 409 for a state in which an action cannot be.
pub(crate) fn wrong(action: &str, id: &str, attribute: &str, state: &str) -> Error {
    Error::conflict(format!("Cannot '{action}' instance {id} while it is in {attribute} {state}"))
}

/// 409 when a lock stands against it.
pub(crate) fn unlocked(id: &str, server: &ServerRecord, is_admin: bool) -> Result<()> {
    if server.locked.is_some() && !is_admin {
        return Err(Error::conflict(format!("Instance {id} is locked")));
    }
    Ok(())
}

/// The node that it is on; 409 when it has none yet.
pub(crate) fn on_a_node<'s>(id: &str, server: &'s ServerRecord) -> Result<&'s str> {
    server.node().ok_or_else(|| Error::conflict(format!("Instance {id} is not ready")))
}
