//! Stories: a machine lives through random orders, losses and failures; the plan is followed to its end
//! after each. What must never be done is never done, and what is wanted is reached or given up with a
//! reason, within a bounded number of steps.

use std::{sync::Arc, time::Duration};

use base::{Epoch, Era, Error, Moment, Revision, Timestamp, Version};
use orders::{Reboot, VmId, VmOrder, VmSpec, VmState, Wanted};
use proptest::prelude::*;

use super::{History, Manners, Next, Sight, Step, plan, show};
use crate::{
    drivers::hypervisor::{Exit, Power, SeenVm, conformance},
    orders_store::{Eras, Held, Outcome, Verdict, judge},
};

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    Order { wanted: Wanted, reboot: bool, hard: bool, epoch: u64, stale: bool },
    Restore,
    Crash,
    GuestOff,
    Pause,
    FailSteps(u8),
    Hopeless,
    Deaf(bool),
    AgentDies,
    HostReboots,
    Stranger,
    Later(u32),
}

/// A node with one machine, all of it in memory.
struct Node {
    now: Moment,
    eras: Eras,
    boot: Arc<str>,
    boots: u32,
    revision: u64,
    epoch: u64,
    reboots: u64,
    held: Option<Held>,
    seen: Option<SeenVm>,
    asked_off: bool,
    history: History,
    manners: Manners,
    failing: u8,
    hopeless: bool,
    deaf: bool,
    /// Starts since the last order or quarter of an hour.
    starts: usize,
    losses: usize,
}

fn order(only_here: bool) -> VmOrder {
    let order = conformance::order("9c6d".into());
    VmOrder { spec: VmSpec { only_here, ..order.spec }, ..order }
}

impl Node {
    fn new() -> Node {
        Node {
            now: Moment::default() + Duration::from_secs(1000),
            eras: Eras { current: Some(Era("e0".into())), left: vec![] },
            boot: "boot-0".into(),
            boots: 0,
            revision: 10,
            epoch: 1,
            reboots: 0,
            held: None,
            seen: None,
            asked_off: false,
            history: History::default(),
            manners: Manners::default(),
            failing: 0,
            hopeless: false,
            deaf: false,
            starts: 0,
            losses: 0,
        }
    }

    fn sight(&self) -> Sight<'_> {
        Sight {
            held: self.held.as_ref(),
            seen: self.seen.as_ref(),
            permit: self.held.as_ref().is_some_and(|held| held.may_start(&self.boot)),
            history: &self.history,
            manners: &self.manners,
            now: self.now,
        }
    }

    fn happens(&mut self, event: &Event, only_here: bool) {
        match event {
            Event::Order { wanted, reboot, hard, epoch, stale } => {
                self.revision += 2;
                self.epoch += epoch;
                self.reboots += u64::from(*reboot);
                let era = self.eras.current.clone().expect("an era");
                let revision = Revision(self.revision - if *stale { 3 } else { 0 });
                self.take(VmOrder {
                    epoch: Epoch(self.epoch),
                    version: Version { era, revision },
                    wanted: *wanted,
                    reboot: Reboot { number: self.reboots, hard: *hard },
                    ..order(only_here)
                });
            }
            Event::Restore => {
                // The store comes back from a backup: other numbers, another life.
                let era = Era(format!("e{}", self.eras.left.len() + 1).into());
                self.eras.welcome(&era).expect("a new era");
                self.epoch = self.epoch.saturating_sub(1).max(1);
                self.revision = self.revision / 4 * 2 + 10;
                if let Some(held) = self.held.clone() {
                    let version = Version { era, revision: Revision(self.revision) };
                    let again =
                        VmOrder { epoch: Epoch(self.epoch), version, ..(*held.order).clone() };
                    self.take(again);
                }
            }
            Event::Crash => self.end(Exit::Lost("killed".into())),
            Event::GuestOff => self.guest_off(),
            Event::Pause => {
                if let Some(seen) = self.seen.as_mut().filter(|s| s.power == Power::Running) {
                    seen.power = Power::Paused;
                }
            }
            Event::FailSteps(times) => self.failing = *times,
            Event::Hopeless => self.hopeless = true,
            Event::Deaf(deaf) => self.deaf = *deaf,
            Event::AgentDies => self.restart_agent(),
            Event::HostReboots => {
                self.end(Exit::Lost("the host was rebooted".into()));
                self.boots += 1;
                self.boot = format!("boot-{}", self.boots).into();
                self.restart_agent();
            }
            Event::Stranger => {
                if let Some(held) = &mut self.held {
                    held.stranger = true;
                    self.history.stranger_since.get_or_insert(self.now);
                }
            }
            Event::Later(seconds) => {
                self.now = self.now + Duration::from_secs(u64::from(*seconds));
                if *seconds > 900 {
                    self.starts = 0;
                    self.losses = 0;
                }
            }
        }
    }

    fn restart_agent(&mut self) {
        self.history = History::default();
        if self.held.as_ref().is_some_and(|held| held.stranger) {
            self.history.stranger_since = Some(self.now);
        }
        self.starts = 0;
        self.losses = 0;
        if let Some(SeenVm { power: Power::Off(Exit::Lost(reason)), .. }) = &self.seen {
            let reason = reason.clone();
            self.history.trouble(self.now, reason);
        }
    }

    fn take(&mut self, order: VmOrder) {
        let old = self.held.as_ref().map(|held| held.order.clone());
        match judge(&self.eras, self.held.as_ref(), self.seen.as_ref(), order.clone(), &self.boot) {
            Verdict::Take(held) => {
                if let Some(old) = &old
                    && old.version.era == order.version.era
                {
                    assert!(held.order.epoch >= old.epoch, "epochs never go back in an era");
                    assert!(held.order.version.revision >= old.version.revision);
                }
                self.history.renewed(old.as_deref(), &held.order);
                self.held = Some(held);
                self.starts = 0;
                self.losses = 0;
            }
            Verdict::Same => panic!("every order of a story is another"),
            Verdict::Refuse(_) => {
                let old = old.expect("there is a newer one");
                assert!(
                    order.epoch < old.epoch || order.version.revision < old.version.revision,
                    "only older orders are refused"
                );
            }
        }
    }

    fn guest_off(&mut self) {
        let asked = self.asked_off;
        self.end(if asked { Exit::Ordered } else { Exit::ByGuest });
    }

    fn end(&mut self, exit: Exit) {
        let Some(seen) = self.seen.as_mut().filter(|seen| !seen.power.is_off()) else { return };
        if let Exit::Lost(reason) = &exit {
            self.history.trouble(self.now, reason.clone());
            self.losses += 1;
        }
        seen.power = Power::Off(exit);
        self.history.off();
    }

    /// What must hold whenever a step is begun.
    fn check(&self, step: Step) {
        let held = self.held.as_ref().filter(|held| !held.stranger);
        let wanted = held.map(|held| held.order.wanted);
        let off = self.seen.as_ref().is_none_or(|seen| seen.power.is_off());
        match step {
            Step::Prepare | Step::Start => {
                assert_eq!(wanted, Some(Wanted::Running), "{step:?} without being wanted");
                let held = held.expect("held");
                assert!(held.may_start(&self.boot), "{step:?} without a permit");
                assert_eq!(held.outcome, None, "{step:?} after it was given up");
                if step == Step::Prepare {
                    assert!(off, "prepared while it runs");
                } else {
                    let seen = self.seen.as_ref().expect("prepared");
                    assert!(seen.prepared);
                    assert_eq!(seen.epoch, held.order.epoch, "started under another's epoch");
                    assert!(seen.power.is_off() || seen.power == Power::Loaded, "started twice");
                    if seen.power == Power::Off(Exit::ByGuest) {
                        let again = held.order.reboot.number > seen.rebooted;
                        assert!(seen.starts <= held.forgiven || again, "against its guest's wish");
                    }
                }
            }
            Step::Reset(number) => {
                assert_eq!(wanted, Some(Wanted::Running));
                let seen = self.seen.as_ref().expect("here");
                assert!(!off && number > seen.rebooted, "reset twice");
            }
            Step::Powerdown | Step::CutOff => assert!(!off, "{step:?} of what is off"),
            Step::Remove => {
                let clear = held.is_some_and(|held| held.clear_first);
                assert!(wanted == Some(Wanted::Gone) || clear, "a disk deleted without an order");
            }
            Step::Adopt => {
                let held = held.expect("held");
                assert_eq!(held.was, self.seen.as_ref().map(|seen| seen.epoch));
            }
        }
    }

    fn carry_out(&mut self, step: Step) {
        self.check(step);
        let attempt = matches!(step, Step::Prepare | Step::Start);
        if self.failing > 0 || (self.hopeless && attempt) {
            self.failing = self.failing.saturating_sub(1);
            let error = if self.hopeless && attempt {
                Error::bad_request("it never will")
            } else {
                Error::unavailable("not now")
            };
            // A start that fails may leave a process behind.
            if step == Step::Start
                && self.failing % 2 == 1
                && let Some(seen) = self.seen.as_mut().filter(|seen| seen.power.is_off())
            {
                seen.power = Power::Loaded;
                seen.starts += 1;
            }
            self.history.done(self.now, step, Some(&error));
            return;
        }
        self.history.done(self.now, step, None);
        let order = self.held.as_ref().map(|held| held.order.clone());
        match step {
            Step::Prepare => {
                let order = order.expect("held");
                let fresh = SeenVm {
                    id: VmId::from("9c6d"),
                    epoch: order.epoch,
                    prepared: true,
                    power: Power::Off(Exit::NotYet),
                    starts: 0,
                    rebooted: 0,
                };
                if self.seen.as_ref().is_none_or(|seen| seen.epoch != order.epoch) {
                    self.seen = Some(fresh);
                }
            }
            Step::Start => {
                let order = order.expect("held");
                self.starts += 1;
                self.asked_off = false;
                let seen = self.seen.as_mut().expect("prepared");
                if seen.power != Power::Loaded {
                    seen.starts += 1;
                }
                seen.rebooted = seen.rebooted.max(order.reboot.number);
                seen.power = Power::Running;
            }
            Step::Reset(number) => {
                let seen = self.seen.as_mut().expect("here");
                seen.rebooted = number;
                seen.power = Power::Running;
            }
            Step::Powerdown => {
                self.asked_off = true;
                if !self.deaf {
                    self.guest_off();
                }
            }
            Step::CutOff => self.end(Exit::Ordered),
            Step::Adopt => {
                let order = order.expect("held");
                self.seen.as_mut().expect("here").epoch = order.epoch;
            }
            Step::Remove => self.seen = None,
        }
    }

    /// Follows the plan until nothing is left to do.
    fn settle(&mut self) {
        let began = self.now;
        for _ in 0..2000 {
            match plan(&self.sight()) {
                Next::Rest => return,
                Next::Do(step) => self.carry_out(step),
                Next::Wait(at) => {
                    assert!(at > self.now, "waits for what has passed");
                    self.now = at;
                }
                Next::Conclude(outcome) => {
                    let held = self.held.as_mut().expect("held");
                    assert_eq!(held.outcome, None, "concluded twice");
                    held.outcome = Some(outcome);
                }
                Next::Cleared => {
                    assert_eq!(self.seen, None);
                    self.held.as_mut().expect("held").clear_first = false;
                }
            }
            let took = self.now.since(began);
            assert!(took < Duration::from_secs(3600), "not within an hour");
            let most = self.manners.restarts + 1 + self.losses;
            assert!(self.starts <= most, "started {} times", self.starts);
        }
        panic!("no rest: {:?} {:?}", self.held, self.seen);
    }

    /// What must hold when nothing is left to do.
    fn check_settled(&self) {
        let state = show(self.held.as_ref(), self.seen.as_ref());
        let off = self.seen.as_ref().is_none_or(|seen| seen.power.is_off());
        let Some(held) = self.held.as_ref().filter(|held| !held.stranger) else {
            assert_eq!(state, VmState::Stranger);
            assert!(off || self.held.is_none(), "strangers are stopped");
            return;
        };
        match held.order.wanted {
            Wanted::Gone => assert_eq!((&self.seen, state), (&None, VmState::Gone)),
            Wanted::Stopped => {
                assert_eq!((off, state), (true, VmState::Stopped { by_guest: false }));
            }
            Wanted::Running if !off => {
                let seen = self.seen.as_ref().expect("here");
                assert_eq!(seen.epoch, held.order.epoch);
                let rebooted = seen.rebooted >= held.order.reboot.number;
                assert!(rebooted, "a reboot is left undone");
                assert!(matches!(state, VmState::Running | VmState::Paused), "{state:?}");
            }
            Wanted::Running => match &held.outcome {
                Some(Outcome::OffByGuest) => {
                    assert_eq!(state, VmState::Stopped { by_guest: true });
                }
                Some(Outcome::Failed(reason)) => {
                    assert!(!reason.is_empty(), "a reason is given");
                    assert!(matches!(state, VmState::Failed { .. }));
                }
                None => {
                    assert!(!held.may_start(&self.boot), "only a permit is missing");
                    assert_eq!(state, VmState::Preparing);
                }
            },
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let wanted = prop_oneof![
        5 => Just(Wanted::Running),
        2 => Just(Wanted::Stopped),
        1 => Just(Wanted::Gone),
    ];
    let order = (wanted, any::<bool>(), any::<bool>(), 0..20_u64, 0..8_u8);
    prop_oneof![
        8 => order.prop_map(|(wanted, reboot, hard, epoch, stale)| Event::Order {
            wanted,
            reboot,
            hard,
            epoch: u64::from(epoch >= 17),
            stale: stale == 0,
        }),
        1 => Just(Event::Restore),
        4 => Just(Event::Crash),
        3 => Just(Event::GuestOff),
        1 => Just(Event::Pause),
        3 => (1..7_u8).prop_map(Event::FailSteps),
        1 => Just(Event::Hopeless),
        2 => any::<bool>().prop_map(Event::Deaf),
        2 => Just(Event::AgentDies),
        2 => Just(Event::HostReboots),
        1 => Just(Event::Stranger),
        2 => (1..2000_u32).prop_map(Event::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn every_story_ends_well(
        events in proptest::collection::vec((event(), any::<bool>()), 1..40),
        only_here in any::<bool>(),
    ) {
        let mut node = Node::new();
        for (event, settled) in events {
            node.happens(&event, only_here);
            // Things also happen while nothing is settled yet.
            if settled {
                node.settle();
                node.check_settled();
            }
        }
        node.settle();
        node.check_settled();
    }
}

fn wanted(wanted: Wanted) -> Event {
    Event::Order { wanted, reboot: false, hard: false, epoch: 0, stale: false }
}

fn story(events: &[Event]) -> Node {
    let mut node = Node::new();
    for event in events {
        node.happens(event, false);
        node.settle();
    }
    node.check_settled();
    node
}

fn state(node: &Node) -> VmState {
    show(node.held.as_ref(), node.seen.as_ref())
}

#[test]
fn lost_too_often() {
    let node = story(&[wanted(Wanted::Running), Event::Crash, Event::Crash, Event::Crash]);
    assert_eq!(state(&node), VmState::Running);
    let mut node = node;
    node.happens(&Event::Crash, false);
    node.settle();
    assert_eq!(state(&node), VmState::Failed { reason: "killed".to_owned() });
    node.happens(&wanted(Wanted::Running), false);
    node.settle();
    assert_eq!(state(&node), VmState::Running, "a newer order tries again");
}

#[test]
fn lost_now_and_then() {
    let mut events = vec![wanted(Wanted::Running)];
    for _ in 0..10 {
        events.extend([Event::Crash, Event::Later(700)]);
    }
    assert_eq!(state(&story(&events)), VmState::Running);
}

#[test]
fn off_by_its_guest() {
    let node = story(&[wanted(Wanted::Running), Event::GuestOff]);
    assert_eq!(state(&node), VmState::Stopped { by_guest: true });
    let node = story(&[wanted(Wanted::Running), Event::GuestOff, Event::AgentDies]);
    assert_eq!(state(&node), VmState::Stopped { by_guest: true }, "also for a new agent");
    let node = story(&[wanted(Wanted::Running), Event::GuestOff, wanted(Wanted::Running)]);
    assert_eq!(state(&node), VmState::Running, "started by a newer order");
    let again =
        [wanted(Wanted::Running), Event::GuestOff, wanted(Wanted::Running), Event::GuestOff];
    assert_eq!(state(&story(&again)), VmState::Stopped { by_guest: true });
}

#[test]
fn after_a_boot_only_by_permit() {
    let node = story(&[wanted(Wanted::Running), Event::HostReboots]);
    assert_eq!(state(&node), VmState::Preparing, "it may run elsewhere by now");
    let node = story(&[wanted(Wanted::Running), Event::HostReboots, wanted(Wanted::Running)]);
    assert_eq!(state(&node), VmState::Running);
    let mut node = Node::new();
    for event in [wanted(Wanted::Running), Event::HostReboots] {
        node.happens(&event, true);
        node.settle();
    }
    assert_eq!(state(&node), VmState::Running, "it cannot run elsewhere");
}

#[test]
fn a_restored_store_restarts_nothing() {
    let node = story(&[
        wanted(Wanted::Running),
        Event::Order {
            wanted: Wanted::Running,
            reboot: false,
            hard: false,
            epoch: 1,
            stale: false,
        },
        Event::Restore,
    ]);
    assert_eq!(node.seen.as_ref().map(|seen| (seen.epoch, seen.starts)), Some((Epoch(1), 1)));
    assert_eq!(state(&node), VmState::Running);
}

#[test]
fn an_older_claims_process_is_ended() {
    let mut node = story(&[wanted(Wanted::Running)]);
    let newer = Event::Order {
        wanted: Wanted::Running,
        reboot: false,
        hard: false,
        epoch: 1,
        stale: false,
    };
    node.happens(&newer, false);
    assert_eq!(plan(&node.sight()), Next::Do(Step::CutOff));
    node.settle();
    node.check_settled();
}

#[test]
fn a_deletion_that_was_overtaken() {
    let mut node = story(&[wanted(Wanted::Running)]);
    node.happens(&wanted(Wanted::Gone), false);
    // Before it is carried out the machine comes back under a new claim: with a new disk.
    let newer = Event::Order {
        wanted: Wanted::Running,
        reboot: false,
        hard: false,
        epoch: 1,
        stale: false,
    };
    node.happens(&newer, false);
    assert_eq!(plan(&node.sight()), Next::Do(Step::Remove));
    node.settle();
    assert_eq!(state(&node), VmState::Running);
    assert!(!node.held.as_ref().expect("held").clear_first);
}

#[test]
fn tombstones_refuse_what_is_older() {
    let node = story(&[wanted(Wanted::Running), wanted(Wanted::Gone)]);
    let held = node.held.as_ref().expect("held");
    let tombstone = held.tombstone(Timestamp::from_micros(0));
    let again = |revision: u64| {
        let version = Version { revision: Revision(revision), ..held.order.version.clone() };
        let order = VmOrder { version, wanted: Wanted::Running, ..(*held.order).clone() };
        judge(&node.eras, Some(&tombstone), None, order, &node.boot)
    };
    let newest = held.order.version.revision.0;
    assert!(matches!(again(newest - 1), Verdict::Refuse(_)));
    assert!(matches!(again(newest), Verdict::Refuse(_)));
    assert!(matches!(again(newest + 1), Verdict::Take(_)));
}

#[test]
fn eras_do_not_come_back() {
    let mut eras = Eras::default();
    let (one, two) = (Era("1".into()), Era("2".into()));
    assert_eq!(eras.welcome(&one), Ok(true));
    assert_eq!(eras.welcome(&one), Ok(false));
    assert_eq!(eras.welcome(&two), Ok(true));
    assert!(eras.welcome(&one).is_err(), "a controller that was left behind");
    let order = VmOrder { version: Version { era: one, revision: Revision(99) }, ..order(false) };
    let verdict = judge(&eras, None, None, order, &"boot".into());
    assert!(matches!(verdict, Verdict::Refuse(_)), "an era that was not welcomed");
}

#[test]
fn a_deaf_guest_is_cut_off() {
    let mut node = story(&[Event::Deaf(true), wanted(Wanted::Running)]);
    node.happens(&wanted(Wanted::Stopped), false);
    let began = node.now;
    node.settle();
    assert_eq!(state(&node), VmState::Stopped { by_guest: false });
    assert_eq!(node.now.since(began), node.manners.stop_grace);
}
