//! What was tried with a machine since the agent started. It is not kept over a restart of the agent:
//! what must outlive that is in the order's [`crate::orders_store::Held`] or with the driver.

use base::{Error, Kind, Moment};
use orders::{VmOrder, Wanted};

use super::Step;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// When the machine was lost or could not be started, under this order.
    pub troubles: Vec<Moment>,
    /// What the last trouble was.
    pub reason: String,
    /// Trying again cannot help.
    pub hopeless: bool,
    /// Its power button was pressed.
    pub asked: Option<Asked>,
    /// A step that must succeed some day failed so many times, the last time then.
    pub stumbled: Option<(u32, Moment)>,
    /// It was found to be a stranger then.
    pub stranger_since: Option<Moment>,
    /// It could not be reset: its process does not answer.
    pub reset_failed: bool,
}

/// The power button was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The first time.
    pub since: Moment,
    /// The last time.
    pub last: Moment,
}

impl History {
    /// The machine was lost, or could not be made to run.
    pub fn trouble(&mut self, now: Moment, reason: String) {
        // More than any limit that anybody sets is not worth remembering.
        if self.troubles.len() >= 64 {
            self.troubles.remove(0);
        }
        self.troubles.push(now);
        self.reason = reason;
    }

    /// How a step ended.
    pub fn done(&mut self, now: Moment, step: Step, error: Option<&Error>) {
        if step == Step::Powerdown {
            let since = self.asked.map_or(now, |asked| asked.since);
            self.asked = Some(Asked { since, last: now });
        }
        let Some(error) = error else {
            self.stumbled = None;
            if matches!(step, Step::Reset(_) | Step::CutOff) {
                self.asked = None;
                self.reset_failed = false;
            }
            return;
        };
        match step {
            Step::Prepare | Step::Start => {
                self.trouble(now, error.message().to_owned());
                self.hopeless = error.kind() == Kind::BadRequest;
            }
            Step::Reset(_) => self.reset_failed = true,
            Step::Powerdown | Step::CutOff | Step::Adopt | Step::Remove => {
                let times = self.stumbled.map_or(0, |(times, _)| times.saturating_add(1));
                self.stumbled = Some((times, now));
            }
        }
    }

    /// The machine is off.
    pub fn off(&mut self) {
        self.asked = None;
        self.reset_failed = false;
    }

    /// A newer order was taken.
    pub fn renewed(&mut self, old: Option<&VmOrder>, new: &VmOrder) {
        self.troubles.clear();
        self.reason.clear();
        self.hopeless = false;
        self.stumbled = None;
        self.stranger_since = None;
        // The grace runs on while what was asked for is still wanted.
        let same_errand = old.is_some_and(|old| {
            old.wanted == new.wanted
                && (new.wanted != Wanted::Running || old.reboot.number == new.reboot.number)
        });
        if !same_errand {
            self.asked = None;
            self.reset_failed = false;
        }
    }
}
