//! What one node knows of its machines, and the step functions that change it: no I/O, no clock, no
//! waiting. The loop in the parent module calls them and does what they ask for.

use std::sync::Arc;

use base::{Error, Map, Moment, Revision, Set, Timestamp, Version};
use orders::{VmId, VmOrder, VmReport, VmState, Wanted};

use super::{Manners, Pace};
use crate::{
    drivers::hypervisor::{Exit, Power, SeenVm},
    orders_store::{Eras, Held, Kept, Verdict, judge},
    plan::{History, Next, Sight, Step, plan, show},
};

/// One machine, as far as this node knows it.
struct Machine {
    held: Option<Held>,
    seen: Option<SeenVm>,
    history: History,
    /// The step under way: one at a time.
    busy: Option<Step>,
    /// Nothing is left to do until something changes.
    rests: bool,
    /// When to look again though nothing changed.
    wake: Option<Moment>,
    state: VmState,
    since: Timestamp,
    /// The last report that went out on this link.
    sent: Option<VmReport>,
    /// When its present report is due though it may be a passing one.
    due: Option<Moment>,
    /// This link's controller sent an order for it.
    named: bool,
}

/// How a step ended.
pub(super) enum Ended {
    /// Done.
    Well,
    /// Not done.
    Badly(Error),
    /// Given up for a newer order.
    Dropped,
}

/// What the loop has to do for a machine.
pub(super) enum Go {
    /// Keep this on disk, then give it to [`Core::take`], then ask again.
    Keep(Box<Held>),
    /// Begin this step.
    Begin(Step, Arc<VmOrder>),
    /// Nothing now.
    Nothing,
}

/// See the module.
pub(super) struct Core {
    boot: Arc<str>,
    manners: Arc<Manners>,
    pace: Arc<Pace>,
    eras: Eras,
    machines: Map<VmId, Machine>,
    wakes: Set<(Moment, VmId)>,
    dues: Set<(Moment, VmId)>,
    ready: Set<VmId>,
}

impl Core {
    pub fn new(boot: Arc<str>, manners: Arc<Manners>, pace: Arc<Pace>) -> Core {
        Core {
            boot,
            manners,
            pace,
            eras: Eras::default(),
            machines: Map::new(),
            wakes: Set::new(),
            dues: Set::new(),
            ready: Set::new(),
        }
    }

    /// What was found at the start. Returns the machines to look after.
    pub fn load(
        &mut self,
        kept: Kept,
        seen: Vec<SeenVm>,
        now: Moment,
        wall: Timestamp,
    ) -> Vec<VmId> {
        self.eras = kept.eras;
        for held in kept.held {
            let id = held.id().clone();
            let machine = self.machine(&id, wall);
            if held.stranger {
                machine.history.stranger_since = Some(now);
            }
            machine.held = Some(held);
        }
        for seen in seen {
            let id = seen.id.clone();
            self.machine(&id, wall);
            self.see(&id, Some(seen), now);
        }
        self.machines.keys().cloned().collect()
    }

    fn machine(&mut self, id: &VmId, wall: Timestamp) -> &mut Machine {
        self.machines.entry(id.clone()).or_insert_with(|| Machine {
            held: None,
            seen: None,
            history: History::default(),
            busy: None,
            rests: false,
            wake: None,
            state: VmState::Preparing,
            since: wall,
            sent: None,
            due: None,
            named: false,
        })
    }

    /// A controller that the link vouches for named the store's era. The eras to keep, if they changed.
    pub fn welcome(&self, era: &base::Era) -> Result<Option<Eras>, String> {
        let mut eras = self.eras.clone();
        Ok(eras.welcome(era)?.then_some(eras))
    }

    /// The eras were kept.
    pub fn take_eras(&mut self, eras: Eras) {
        self.eras = eras;
    }

    /// A link is up: everything is told anew. Returns all machines.
    pub fn linked(&mut self) -> Vec<VmId> {
        for machine in self.machines.values_mut() {
            machine.sent = None;
            machine.named = false;
        }
        self.machines.keys().cloned().collect()
    }

    /// Orders came in: those to keep on disk and then to [`Core::take`]; all that were named, to look
    /// after; and those refused, with the reason.
    pub fn offer(
        &mut self,
        orders: Vec<VmOrder>,
        wall: Timestamp,
    ) -> (Vec<Held>, Vec<VmId>, Vec<(VmId, String)>) {
        let mut keep: Map<VmId, Held> = Map::new();
        let mut named = Vec::with_capacity(orders.len());
        let mut refused = Vec::new();
        for order in orders {
            let id = order.id.clone();
            let machine = self.machines.get(&id);
            let held = keep.get(&id).or(machine.and_then(|m| m.held.as_ref()));
            let seen = machine.and_then(|m| m.seen.as_ref());
            match judge(&self.eras, held, seen, order, &self.boot) {
                Verdict::Take(held) => {
                    keep.insert(id.clone(), held);
                }
                Verdict::Same => {}
                Verdict::Refuse(reason) => {
                    // The controller learns from a report what is known here.
                    if let Some(machine) = self.machines.get_mut(&id) {
                        machine.sent = None;
                        named.push(id.clone());
                    }
                    refused.push((id, reason));
                    continue;
                }
            }
            self.machine(&id, wall).named = true;
            named.push(id);
        }
        (keep.into_values().collect(), named, refused)
    }

    /// These are on disk now and in force. Gives up steps that are no longer wanted: their ids.
    pub fn take(&mut self, held: Vec<Held>, wall: Timestamp) -> Vec<VmId> {
        let mut dropped = Vec::new();
        for held in held {
            let id = held.id().clone();
            let machine = self.machine(&id, wall);
            let old = machine.held.as_ref().map(|held| held.order.clone());
            let same_wish = |old: &Arc<VmOrder>| {
                (old.epoch, &old.version, old.wanted)
                    == (held.order.epoch, &held.order.version, held.order.wanted)
            };
            if !old.as_ref().is_some_and(same_wish) {
                machine.history.renewed(old.as_deref(), &held.order);
            }
            let other = held.order.wanted != Wanted::Running
                || old.is_some_and(|old| old.epoch != held.order.epoch);
            if other && matches!(machine.busy, Some(Step::Prepare | Step::Start)) {
                dropped.push(id);
            }
            if !held.stranger {
                machine.history.stranger_since = None;
            }
            machine.held = Some(held);
        }
        dropped
    }

    /// All orders were sent once: what was not named is a stranger. Those to keep and take; those to
    /// discard on disk; those to look after.
    pub fn complete(&mut self, now: Moment) -> (Vec<Held>, Vec<VmId>, Vec<VmId>) {
        let (mut keep, mut discard, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
        for (id, machine) in &mut self.machines {
            if machine.named {
                continue;
            }
            match &machine.held {
                Some(held) if held.forgotten.is_some() => continue,
                // A deletion that was ordered is carried out, whoever still asks.
                Some(held) if held.order.wanted == Wanted::Gone && machine.seen.is_some() => {
                    continue;
                }
                Some(held) if machine.seen.is_none() && machine.busy.is_none() => {
                    discard.push(held.id().clone());
                    continue;
                }
                Some(held) if !held.stranger => {
                    keep.push(Held { stranger: true, ..held.clone() });
                }
                _ => {}
            }
            machine.history.stranger_since.get_or_insert(now);
            strangers.push(id.clone());
        }
        (keep, discard, strangers)
    }

    /// Nothing of these is kept on disk any more.
    pub fn discarded(&mut self, ids: &[VmId]) {
        for id in ids {
            self.drop_machine(id);
        }
    }

    /// The controllers wrote down that these are gone: the tombstones to keep and take.
    pub fn forget(&self, ids: &[VmId], wall: Timestamp) -> Vec<Held> {
        ids.iter()
            .filter_map(|id| self.machines.get(id))
            .filter(|machine| machine.busy.is_none() && machine.state == VmState::Gone)
            .filter_map(|machine| machine.held.as_ref())
            .filter(|held| held.forgotten.is_none())
            .map(|held| held.tombstone(wall))
            .collect()
    }

    /// Tombstones that nobody needs any more: to discard.
    pub fn stale(&self, wall: Timestamp) -> Vec<VmId> {
        let old = |held: &Held| {
            held.forgotten.is_some_and(|at| wall.since(at) >= self.pace.remember_forgotten)
        };
        self.machines
            .iter()
            .filter(|(_, machine)| machine.held.as_ref().is_some_and(old))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The driver sees this of a machine.
    pub fn see(&mut self, id: &VmId, seen: Option<SeenVm>, now: Moment) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        if let Some(seen) = &seen
            && let Power::Off(exit) = &seen.power
        {
            machine.history.off();
            let news = machine.seen.as_ref().is_none_or(|old| {
                !old.power.is_off() || (old.epoch, old.starts) != (seen.epoch, seen.starts)
            });
            if let Exit::Lost(reason) = exit
                && news
            {
                machine.history.trouble(now, reason.clone());
            }
        }
        machine.seen = seen;
    }

    /// A step ended.
    pub fn ended(
        &mut self,
        id: &VmId,
        step: Step,
        ended: &Ended,
        seen: Option<SeenVm>,
        now: Moment,
    ) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        machine.busy = None;
        match ended {
            Ended::Well => machine.history.done(now, step, None),
            Ended::Badly(error) => machine.history.done(now, step, Some(error)),
            Ended::Dropped => {}
        }
        self.see(id, seen, now);
    }

    /// What to do for this machine now.
    pub fn advance(&mut self, id: &VmId, now: Moment, wall: Timestamp) -> Go {
        let Some(machine) = self.machines.get_mut(id) else { return Go::Nothing };
        let go = if machine.busy.is_some() {
            Go::Nothing
        } else {
            if let Some(at) = machine.wake.take() {
                self.wakes.remove(&(at, id.clone()));
            }
            let sight = Sight {
                held: machine.held.as_ref(),
                seen: machine.seen.as_ref(),
                permit: machine.held.as_ref().is_some_and(|held| held.may_start(&self.boot)),
                history: &machine.history,
                manners: &self.manners,
                now,
            };
            let next = plan(&sight);
            machine.rests = next == Next::Rest;
            match (next, &machine.held) {
                (Next::Do(step), held) => {
                    machine.busy = Some(step);
                    match held {
                        Some(held) => Go::Begin(step, held.order.clone()),
                        None => Go::Begin(step, Arc::new(no_order(id))),
                    }
                }
                (Next::Wait(at), _) => {
                    machine.wake = Some(at);
                    self.wakes.insert((at, id.clone()));
                    Go::Nothing
                }
                (Next::Conclude(outcome), Some(held)) => {
                    Go::Keep(Box::new(Held { outcome: Some(outcome), ..held.clone() }))
                }
                (Next::Cleared, Some(held)) => {
                    Go::Keep(Box::new(Held { clear_first: false, ..held.clone() }))
                }
                (Next::Conclude(_) | Next::Cleared | Next::Rest, _) => Go::Nothing,
            }
        };
        self.note(id, now, wall);
        go
    }

    /// A machine could not be looked after, because its disk refused: again later.
    pub fn later(&mut self, id: &VmId, at: Moment) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.wake = Some(at);
            self.wakes.insert((at, id.clone()));
        }
    }

    /// Finds out whether there is something to report.
    fn note(&mut self, id: &VmId, now: Moment, wall: Timestamp) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        let nothing_here = machine.seen.is_none() && machine.busy.is_none();
        if machine.held.is_none() && nothing_here {
            self.drop_machine(id);
            return;
        }
        let state = show(machine.held.as_ref(), machine.seen.as_ref());
        if state != machine.state {
            machine.state = state;
            machine.since = wall;
        }
        let silent = match &machine.held {
            Some(held) => held.forgotten.is_some() || (held.stranger && nothing_here),
            // Strangers are told of once it is sure that they are.
            None => machine.history.stranger_since.is_none(),
        };
        let changed = !silent && machine.report(id, &self.eras) != machine.sent;
        let due = machine.due.take();
        if let Some(at) = due {
            self.dues.remove(&(at, id.clone()));
        }
        if !changed {
            self.ready.remove(id);
        } else if machine.rests && machine.busy.is_none() {
            self.ready.insert(id.clone());
        } else if !self.ready.contains(id) {
            // It may be passing: told when it lasts.
            let at = due.unwrap_or(now + self.pace.hold);
            machine.due = Some(at);
            self.dues.insert((at, id.clone()));
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Moment> {
        let wake = self.wakes.first().map(|(at, _)| *at);
        let due = self.dues.first().map(|(at, _)| *at);
        wake.into_iter().chain(due).min()
    }

    /// The machines to look after because their time has come.
    pub fn due(&mut self, now: Moment) -> Vec<VmId> {
        while let Some((at, id)) = self.dues.first().cloned()
            && at <= now
        {
            self.dues.remove(&(at, id.clone()));
            if let Some(machine) = self.machines.get_mut(&id) {
                machine.due = None;
            }
            self.ready.insert(id);
        }
        let mut ids = Vec::new();
        while let Some((at, id)) = self.wakes.first().cloned()
            && at <= now
        {
            self.wakes.remove(&(at, id.clone()));
            if let Some(machine) = self.machines.get_mut(&id) {
                machine.wake = None;
            }
            ids.push(id);
        }
        ids
    }

    /// Whether there is something to report.
    pub fn has_reports(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What to report now, at most so much; taken as sent.
    pub fn reports(&mut self, most: usize) -> Vec<VmReport> {
        let mut reports = Vec::new();
        while reports.len() < most
            && let Some(id) = self.ready.pop_first()
        {
            let Some(machine) = self.machines.get_mut(&id) else { continue };
            let report = machine.report(&id, &self.eras);
            machine.sent = report.clone();
            reports.extend(report);
        }
        reports
    }

    fn drop_machine(&mut self, id: &VmId) {
        if let Some(machine) = self.machines.remove(id) {
            if let Some(at) = machine.wake {
                self.wakes.remove(&(at, id.clone()));
            }
            if let Some(at) = machine.due {
                self.dues.remove(&(at, id.clone()));
            }
        }
        self.ready.remove(id);
    }
}

impl Machine {
    fn report(&self, id: &VmId, eras: &Eras) -> Option<VmReport> {
        let (epoch, version) = match (&self.held, &self.seen) {
            (Some(held), _) => (held.order.epoch, held.order.version.clone()),
            // Without an order there is no version to name: the first of this era.
            (None, Some(seen)) => {
                (seen.epoch, Version { era: eras.current.clone()?, revision: Revision(0) })
            }
            (None, None) => return None,
        };
        let counts = self.seen.as_ref().filter(|seen| seen.epoch == epoch);
        Some(VmReport {
            id: id.clone(),
            epoch,
            version,
            state: self.state.clone(),
            rebooted: counts.map_or(0, |seen| seen.rebooted),
            starts: counts.map_or(0, |seen| seen.starts),
            since: self.since,
        })
    }
}

/// The steps that a stranger may meet need its id alone.
fn no_order(id: &VmId) -> VmOrder {
    VmOrder {
        id: id.clone(),
        epoch: base::Epoch(0),
        version: Version { era: base::Era("".into()), revision: Revision(0) },
        wanted: Wanted::Stopped,
        reboot: orders::Reboot::default(),
        spec: orders::VmSpec {
            name: String::new(),
            vcpus: 0,
            ram_mib: 0,
            root_gib: 0,
            ephemeral_gib: 0,
            swap_mib: 0,
            image: None,
            config_drive: None,
            only_here: false,
        },
    }
}
