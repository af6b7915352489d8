//! What becomes of machines: lost, off, strange, slow.

use std::{sync::Arc, time::Duration};

use base::Epoch;
use orders::{Reboot, VmState, Wanted};

use super::{id, next, order, pair, simulate};
use crate::{
    Manners,
    drivers::hypervisor::{Hypervisor, fake::FakeTimes},
    fake::FakeSettings,
    orders_store::Disk,
};

fn slow() -> FakeSettings {
    let times = FakeTimes {
        prepare: Duration::from_secs(30),
        start: Duration::from_secs(2),
        boot: Duration::from_secs(8),
        shutdown: Duration::from_secs(3),
    };
    FakeSettings { times, ..FakeSettings::default() }
}

#[test]
fn lost_machines_come_back_within_a_limit() {
    simulate(20, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        controller.order(&order("a"));
        controller.running("a").await;
        for starts in 2..5 {
            node.host().crash(&id("a"));
            controller.report("a", |r| r.state == VmState::Running && r.starts == starts).await;
        }
        node.host().crash(&id("a"));
        let failed = |r: &orders::VmReport| matches!(r.state, VmState::Failed { .. });
        let report = controller.report("a", failed).await;
        assert_eq!(report.state, VmState::Failed { reason: "its process was killed".to_owned() });
        node.start();
        controller.with(|state| state.reports.clear());
        controller.report("a", failed).await;
        assert_eq!(node.host().launches(), 4, "a new agent does not try again");
    });
}

#[test]
fn failures_to_start() {
    simulate(21, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        node.host().fail_next(1, 2, false);
        controller.order(&order("a"));
        controller.running("a").await;
        node.host().fail_next(0, 1, true);
        controller.order(&order("b"));
        let report = controller.report("b", |r| matches!(r.state, VmState::Failed { .. })).await;
        let VmState::Failed { reason } = report.state else { panic!() };
        assert_eq!(reason, "the fake host was told to fail starting");
        assert_eq!(node.host().launches(), 1, "not tried again: it could not help");
    });
}

#[test]
fn a_new_name_is_no_new_wish() {
    simulate(31, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        node.host().fail_next(0, 1, true);
        let first = order("a");
        controller.order(&first);
        let failed = |r: &orders::VmReport| matches!(r.state, VmState::Failed { .. });
        controller.report("a", failed).await;
        let mut renamed = first.clone();
        renamed.spec.name = "renamed".to_owned();
        controller.order(&renamed);
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().launches(), 0, "it failed, and nobody asked to try again");
        node.host().fail_next(0, 0, false);
        controller.order(&next(&renamed, |_| ()));
        controller.running("a").await;
    });
}

#[test]
fn a_guest_that_goes_down_stays_down() {
    simulate(22, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&first);
        controller.running("a").await;
        node.host().guest_power_off(&id("a"));
        let off = VmState::Stopped { by_guest: true };
        controller.reaches("a", &off).await;
        node.start();
        controller.with(|state| state.reports.clear());
        controller.reaches("a", &off).await;
        world.sleep(Duration::from_secs(600)).await;
        assert_eq!(node.host().launches(), 1);
        controller.order(&next(&first, |_| ()));
        controller.running("a").await;
        assert_eq!(node.host().launches(), 2);
    });
}

#[test]
fn stopped_and_started() {
    simulate(23, async |world| {
        let (node, controller) = pair(&world, slow());
        let first = order("a");
        controller.order(&first);
        controller.running("a").await;
        let stopped = next(&first, |order| order.wanted = Wanted::Stopped);
        controller.order(&stopped);
        let began = world.now();
        controller.reaches("a", &VmState::Stopped { by_guest: false }).await;
        let took = world.now().since(began);
        assert!(took < Duration::from_secs(20), "the guest heard the second press: {took:?}");
        let started = next(&stopped, |order| order.wanted = Wanted::Running);
        controller.order(&started);
        assert_eq!(controller.running("a").await.starts, 2);
        node.host().deafen();
        controller.order(&next(&started, |order| order.wanted = Wanted::Stopped));
        let began = world.now();
        controller.reaches("a", &VmState::Stopped { by_guest: false }).await;
        let took = world.now().since(began);
        let grace = Manners::default().stop_grace;
        assert!(took >= grace && took < grace * 2, "cut off after the grace: {took:?}");
    });
}

#[test]
fn reboots_are_done_once() {
    simulate(24, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&first);
        controller.running("a").await;
        let hard = next(&first, |order| order.reboot = Reboot { number: 1, hard: true });
        controller.order(&hard);
        let report = controller.report("a", |r| r.rebooted == 1).await;
        assert_eq!((report.state, report.starts), (VmState::Running, 1));
        node.start();
        controller.with(|state| state.reports.clear());
        controller.running("a").await;
        let soft = next(&hard, |order| order.reboot = Reboot { number: 2, hard: false });
        controller.order(&soft);
        let done = |r: &orders::VmReport| r.rebooted == 2 && r.state == VmState::Running;
        assert_eq!(controller.report("a", done).await.starts, 2, "down and up again");
        node.host().deafen();
        let began = world.now();
        let deaf = next(&soft, |order| order.reboot = Reboot { number: 3, hard: false });
        controller.order(&deaf);
        let report = controller.report("a", |r| r.rebooted == 3).await;
        assert_eq!(report.starts, 2, "reset when it did not listen");
        assert!(world.now().since(began) >= Manners::default().reboot_grace);
    });
}

#[test]
fn a_deletion_does_not_wait_for_a_slow_preparation() {
    simulate(25, async |world| {
        let (node, controller) = pair(&world, slow());
        let first = order("a");
        controller.order(&first);
        world.sleep(Duration::from_secs(5)).await;
        controller.order(&next(&first, |order| order.wanted = Wanted::Gone));
        let began = world.now();
        controller.gone("a").await;
        assert!(world.now().since(began) < Duration::from_secs(2));
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().list(), [], "and nothing comes after it");
        assert_eq!(node.host().launches(), 0);
    });
}

#[test]
fn slow_preparations_hold_up_nothing_else() {
    simulate(26, async |world| {
        // Four preparations at once, as on a real node.
        let settings = FakeSettings { pace: Arc::default(), ..slow() };
        let (node, controller) = pair(&world, settings);
        let quick = order("quick");
        controller.order(&quick);
        controller.running("quick").await;
        for n in 0..20 {
            controller.order(&order(&format!("slow-{n}")));
        }
        world.sleep(Duration::from_secs(1)).await;
        node.host().crash(&id("quick"));
        let began = world.now();
        controller.report("quick", |r| r.starts == 2 && r.state == VmState::Running).await;
        assert!(world.now().since(began) < Duration::from_secs(10));
        for n in 0..20 {
            controller.running(&format!("slow-{n}")).await;
        }
    });
}

#[test]
fn strangers_are_told_of_then_stopped_and_their_disk_is_kept() {
    simulate(27, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        for name in ["a", "b"] {
            controller.order(&order(name));
            controller.running(name).await;
        }
        // The controllers know nothing of one machine, and the node's disk nothing of the other.
        controller.with(|state| state.orders.clear());
        node.kill();
        node.disk().discard(&[id("b")]).await.expect("discarded");
        node.start();
        controller.with(|state| state.reports.clear());
        for name in ["a", "b"] {
            let report = controller.report(name, |r| r.state == VmState::Stranger).await;
            assert_eq!((report.epoch, report.starts), (Epoch(1), 1));
        }
        world.sleep(Duration::from_secs(300)).await;
        assert_eq!(node.host().on().len(), 2, "left running for a while");
        world.sleep(Duration::from_secs(400)).await;
        assert_eq!(node.host().on(), [], "then stopped");
        assert_eq!(node.host().list().len(), 2, "never deleted");
        node.start();
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().on(), [], "not started again by a new agent");
        let again = next(&order("a"), |_| ());
        controller.order(&again);
        assert_eq!(controller.running("a").await.starts, 2, "an order makes it one of ours again");
    });
}

#[test]
fn what_is_nowhere_and_unknown_is_forgotten() {
    simulate(28, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&next(&first, |order| order.wanted = Wanted::Stopped));
        controller.reaches("a", &VmState::Stopped { by_guest: false }).await;
        controller.with(|state| {
            state.orders.clear();
            state.reports.clear();
        });
        controller.cut();
        controller.until("a new link", |state| state.hellos.len() == 2).await;
        world.sleep(Duration::from_secs(5)).await;
        assert_eq!(node.disk().load().await.expect("loaded").held, []);
        assert!(controller.with(|state| state.reports.is_empty()), "nobody is told of nothing");
    });
}

#[test]
fn a_paused_machine_is_told_of() {
    simulate(29, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        controller.order(&order("a"));
        controller.running("a").await;
        node.host().pause(&id("a"));
        controller.reaches("a", &VmState::Paused).await;
    });
}

#[test]
fn parked_machines_come_back_with_their_orders() {
    simulate(30, async |world| {
        let (node, controller) = pair(&world, slow());
        for name in ["a", "b"] {
            controller.order(&order(name));
            controller.running(name).await;
        }
        world.sleep(Duration::from_secs(20)).await;
        node.kill();
        let hypervisor: Arc<dyn Hypervisor> = Arc::new(node.host().clone());
        let parked = crate::park(&world, &hypervisor, Duration::from_secs(30)).await;
        assert_eq!(parked.expect("parked"), 2);
        assert_eq!(node.host().on(), []);
        node.start();
        controller.with(|state| state.reports.clear());
        for name in ["a", "b"] {
            assert_eq!(controller.running(name).await.starts, 2);
        }
    });
}
