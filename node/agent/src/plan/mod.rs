//! What to do next with one machine: a pure function of the order that is held, of what is seen, and of
//! what was tried before. No clock but the moment passed in, no I/O, no randomness.
//!
//! ```text
//!             Prepare          Start                        guest, reset
//!   nothing ───────────► off ─────────► (loaded) ► running ◄────────────┐
//!      ▲                 ▲ ▲                        │ │ │ └──────────────┘
//!      │ Remove (Gone)   │ └── Powerdown, CutOff ────┘ │ └─ lost ─► off, started again within a limit
//!      └─────────────────┴──── guest powers off ───────┘            (then Failed); by guest: stays off
//! ```

mod history;
#[cfg(test)]
mod tests;

use std::time::Duration;

use base::Moment;
use orders::{VmState, Wanted};

pub use history::History;

use crate::{
    drivers::hypervisor::{Exit, Power, SeenVm},
    orders_store::{Held, Outcome},
};

/// How patient the agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    /// How long a guest may take to switch itself off before it is cut off.
    pub stop_grace: Duration,
    /// How long a guest may take to go down for a soft reboot before it is reset.
    pub reboot_grace: Duration,
    /// The power button is pressed again after this: a guest that boots misses the first time.
    pub press_again: Duration,
    /// So many troubles (losses, failed starts) within [`Manners::window`] are mended by starting again.
    pub restarts: usize,
    /// See [`Manners::restarts`].
    pub window: Duration,
    /// The wait before the first new start, the second, …; the last stands for all that follow.
    pub waits: Vec<Duration>,
    /// A machine without an order is left running this long.
    pub stranger_grace: Duration,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            stop_grace: Duration::from_secs(60),
            reboot_grace: Duration::from_secs(120),
            press_again: Duration::from_secs(10),
            restarts: 3,
            window: Duration::from_secs(600),
            waits: vec![Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)],
            stranger_grace: Duration::from_secs(600),
        }
    }
}

/// All that a choice rests on.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The order; none: a stranger.
    pub held: Option<&'a Held>,
    /// What is there.
    pub seen: Option<&'a SeenVm>,
    /// Whether the machine may be started ([`Held::may_start`]).
    pub permit: bool,
    /// What was tried.
    pub history: &'a History,
    /// How patient to be.
    pub manners: &'a Manners,
    /// Now.
    pub now: Moment,
}

/// One step: a call of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make its disks.
    Prepare,
    /// Start it.
    Start,
    /// Reset it, for the reboot of this number.
    Reset(u64),
    /// Press its power button.
    Powerdown,
    /// End its process.
    CutOff,
    /// Give it to the order's epoch as it is.
    Adopt,
    /// End it and delete its disks.
    Remove,
}

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this.
    Do(Step),
    /// Nothing before then, unless something changes.
    Wait(Moment),
    /// Remember this with the order: the errand ends here.
    Conclude(Outcome),
    /// What a predecessor left is gone: remember that.
    Cleared,
    /// It is as wanted, or nothing can be done until something changes.
    Rest,
}

/// Chooses.
pub fn plan(sight: &Sight<'_>) -> Next {
    let Some(held) = sight.held.filter(|held| !held.stranger) else {
        return stranger(sight);
    };
    match held.order.wanted {
        Wanted::Gone if sight.seen.is_none() => Next::Rest,
        Wanted::Gone => sight.patiently(Step::Remove),
        Wanted::Stopped => match sight.seen {
            Some(seen) if !seen.power.is_off() => {
                if held.runs_under(seen.epoch) || held.was == Some(seen.epoch) {
                    stop(sight, seen)
                } else {
                    sight.patiently(Step::CutOff)
                }
            }
            _ => Next::Rest,
        },
        Wanted::Running => running(sight, held),
    }
}

/// A machine without an order: left alone for a while, then stopped. Its disk is never deleted.
fn stranger(sight: &Sight<'_>) -> Next {
    match (sight.seen, sight.history.stranger_since) {
        (Some(seen), Some(since)) if !seen.power.is_off() => {
            let end = since + sight.manners.stranger_grace;
            if sight.now < end { Next::Wait(end) } else { stop(sight, seen) }
        }
        _ => Next::Rest,
    }
}

/// Asks the guest first, then cuts it off.
fn stop(sight: &Sight<'_>, seen: &SeenVm) -> Next {
    if seen.power != Power::Running {
        // Its processors are held: it cannot hear the button.
        return sight.patiently(Step::CutOff);
    }
    match press(sight, sight.manners.stop_grace) {
        Some(next) => next,
        None => sight.patiently(Step::CutOff),
    }
}

/// Presses the power button, again from time to time; nothing once the grace is over.
fn press(sight: &Sight<'_>, grace: Duration) -> Option<Next> {
    let Some(asked) = sight.history.asked else {
        return Some(Next::Do(Step::Powerdown));
    };
    let end = asked.since + grace;
    let again = asked.last + sight.manners.press_again;
    if sight.now >= end {
        None
    } else if sight.now >= again {
        Some(Next::Do(Step::Powerdown))
    } else {
        Some(Next::Wait(end.min(again)))
    }
}

fn running(sight: &Sight<'_>, held: &Held) -> Next {
    if held.clear_first {
        return match sight.seen {
            Some(_) => sight.patiently(Step::Remove),
            None => Next::Cleared,
        };
    }
    let Some(seen) = sight.seen else {
        return sight.attempt(held, Step::Prepare);
    };
    if !held.runs_under(seen.epoch) {
        return if held.was == Some(seen.epoch) {
            sight.patiently(Step::Adopt)
        } else if seen.power.is_off() {
            sight.attempt(held, Step::Prepare)
        } else {
            // It was started under an older epoch: others may have run the machine since, and what
            // this process has in memory may be of before that.
            sight.patiently(Step::CutOff)
        };
    }
    let reboot = held.order.reboot;
    let reboot_due = reboot.number > seen.rebooted;
    match &seen.power {
        Power::Off(Exit::ByGuest)
            if seen.starts > held.forgiven && !reboot_due && held.outcome.is_none() =>
        {
            Next::Conclude(Outcome::OffByGuest)
        }
        Power::Off(_) if seen.prepared => sight.attempt(held, Step::Start),
        Power::Off(_) => sight.attempt(held, Step::Prepare),
        // Given up: what is left of the last attempt is not kept.
        Power::Loaded if held.outcome.is_some() => sight.patiently(Step::CutOff),
        Power::Loaded => sight.attempt(held, Step::Start),
        Power::Running | Power::Paused if !reboot_due => Next::Rest,
        Power::Running | Power::Paused => {
            if sight.history.reset_failed {
                return sight.patiently(Step::CutOff);
            }
            if !reboot.hard
                && seen.power == Power::Running
                && let Some(next) = press(sight, sight.manners.reboot_grace)
            {
                return next;
            }
            sight.patiently(Step::Reset(reboot.number))
        }
    }
}

impl Sight<'_> {
    /// A step towards running: needs a permit, and is tried a limited number of times.
    fn attempt(&self, held: &Held, step: Step) -> Next {
        if !self.permit || held.outcome.is_some() {
            return Next::Rest;
        }
        let history = self.history;
        if history.hopeless {
            return Next::Conclude(Outcome::Failed(history.reason.clone()));
        }
        let window = self.manners.window;
        let recent = || history.troubles.iter().filter(|at| self.now.since(**at) < window);
        let count = recent().count();
        if count > self.manners.restarts {
            return Next::Conclude(Outcome::Failed(history.reason.clone()));
        }
        let Some(last) = recent().max() else { return Next::Do(step) };
        let wait = self.manners.waits.get(count - 1).or(self.manners.waits.last());
        let ready = *last + wait.copied().unwrap_or_default();
        if self.now < ready { Next::Wait(ready) } else { Next::Do(step) }
    }

    /// A step that is tried for as long as it takes.
    fn patiently(&self, step: Step) -> Next {
        match self.history.stumbled {
            Some((times, last)) => {
                let ready = last + Duration::from_secs(1 << times.min(5));
                if self.now < ready { Next::Wait(ready) } else { Next::Do(step) }
            }
            None => Next::Do(step),
        }
    }
}

/// What the node says of a machine.
pub fn show(held: Option<&Held>, seen: Option<&SeenVm>) -> VmState {
    let Some(held) = held.filter(|held| !held.stranger) else {
        return VmState::Stranger;
    };
    let off = |by_guest| VmState::Stopped { by_guest };
    let Some(seen) = seen else {
        return match (held.order.wanted, &held.outcome) {
            (Wanted::Gone, _) => VmState::Gone,
            (Wanted::Stopped, _) => off(false),
            (Wanted::Running, Some(Outcome::Failed(reason))) => {
                VmState::Failed { reason: reason.clone() }
            }
            (Wanted::Running, _) => VmState::Preparing,
        };
    };
    let ours = held.runs_under(seen.epoch) || held.was == Some(seen.epoch);
    match (&seen.power, held.order.wanted) {
        (Power::Running, _) if ours => VmState::Running,
        (Power::Paused, _) if ours => VmState::Paused,
        (Power::Off(_), Wanted::Stopped | Wanted::Gone) => off(false),
        (Power::Off(_), Wanted::Running) => match &held.outcome {
            Some(Outcome::OffByGuest) => off(true),
            Some(Outcome::Failed(reason)) => VmState::Failed { reason: reason.clone() },
            None => VmState::Preparing,
        },
        _ => VmState::Preparing,
    }
}
