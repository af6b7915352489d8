//! The link: what is told when, and what happens when it breaks.

use std::{sync::Arc, time::Duration};

use orders::{Answer, Question, Report, ToController, ToNode, VmState, Wanted};

use super::{id, next, order, pair, simulate, version};
use crate::{Pace, drivers::hypervisor::fake::FakeTimes, fake::FakeSettings};

#[test]
fn a_passing_state_is_not_told() {
    simulate(2, async |world| {
        let (_node, controller) = pair(&world, FakeSettings::default());
        controller.until("a link", |state| !state.hellos.is_empty()).await;
        world.sleep(Duration::from_secs(1)).await;
        controller.order(&order("a"));
        controller.running("a").await;
        world.sleep(Duration::from_secs(5)).await;
        let reports = controller.with(|state| reports(&state.messages));
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert_eq!(reports[0][0].1, VmState::Running);
    });
}

#[test]
fn a_lasting_state_is_told() {
    simulate(3, async |world| {
        let times = FakeTimes { start: Duration::from_secs(5), ..FakeTimes::default() };
        let (_node, controller) = pair(&world, FakeSettings { times, ..FakeSettings::default() });
        controller.order(&order("a"));
        controller.running("a").await;
        let states = controller.with(|state| reports(&state.messages)).concat();
        let states = states.iter().map(|(_, state)| state.clone()).collect::<Vec<_>>();
        assert_eq!(states, [VmState::Preparing, VmState::Running]);
    });
}

fn reports(messages: &[ToController]) -> Vec<Vec<(String, VmState)>> {
    messages
        .iter()
        .filter_map(|message| match message {
            ToController::Reports(reports) => Some(reports),
            _ => None,
        })
        .map(|all| all.iter().map(|Report::Vm(r)| (r.id.to_string(), r.state.clone())).collect())
        .collect()
}

#[test]
fn many_orders_few_messages() {
    simulate(4, async |world| {
        let (_node, controller) = pair(&world, FakeSettings::default());
        controller.until("a link", |state| !state.hellos.is_empty()).await;
        let all = (0..300).map(|n| order(&format!("vm-{n:03}"))).collect::<Vec<_>>();
        controller.orders(&all);
        for one in &all {
            controller.running(&one.id).await;
        }
        let messages = controller.with(|state| reports(&state.messages));
        let told = messages.concat().len();
        assert!(told >= 300 && messages.len() < 150, "{told} in {} messages", messages.len());
    });
}

#[test]
fn all_is_told_again_on_a_new_link() {
    simulate(5, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        for name in ["a", "b", "c"] {
            controller.order(&order(name));
            controller.running(name).await;
        }
        controller.cut();
        controller.with(|state| state.reports.clear());
        for name in ["a", "b", "c"] {
            assert_eq!(controller.running(name).await.starts, 1);
        }
        assert_eq!(controller.with(|state| state.hellos.len()), 2);
        assert_eq!(node.host().launches(), 3);
        assert!(node.status().expect("it runs").controller.is_some());
    });
}

#[test]
fn machines_are_kept_while_every_controller_is_down() {
    simulate(6, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        controller.order(&order("a"));
        controller.running("a").await;
        controller.with(|state| state.away = true);
        controller.cut();
        world.sleep(Duration::from_secs(3600)).await;
        node.host().crash(&id("a"));
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().on().len(), 1, "kept running without any controller");
        node.start();
        world.sleep(Duration::from_secs(60)).await;
        node.host().crash(&id("a"));
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().on().len(), 1, "by a new agent too: it was permitted in this boot");
        node.reboot();
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().on().len(), 1, "and after a boot, for it can only run here");
    });
}

#[test]
fn a_silent_controller_is_left() {
    simulate(7, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        controller.until("a beat", |s| s.messages.contains(&ToController::Beat(3))).await;
        let renewed = node.status().expect("it runs").renewed.expect("renewed");
        assert!(world.now().since(renewed) <= Duration::from_secs(21));
        controller.with(|state| state.silent = true);
        controller.until("another dial", |state| state.hellos.len() > 1).await;
        let silence = Pace::default().silence;
        let again = controller.with(|state| state.hellos[1].0);
        assert!(again.since(renewed) <= silence * 2, "{:?}", again.since(renewed));
    });
}

#[test]
fn dialled_again_with_patience() {
    simulate(8, async |world| {
        let (_node, controller) = pair(&world, FakeSettings::default());
        controller.with(|state| state.refuses = Some("not yet".to_owned()));
        world.sleep(Duration::from_secs(600)).await;
        let times = controller.with(|state| state.hellos.len());
        assert!((60..250).contains(&times), "{times} times in ten minutes");
        controller.with(|state| state.refuses = None);
        controller.order(&order("a"));
        controller.running("a").await;
    });
}

#[test]
fn questions_are_answered() {
    simulate(9, async |world| {
        let (_node, controller) = pair(&world, FakeSettings::default());
        controller.order(&order("a"));
        controller.running("a").await;
        let console = |lines| Question::ConsoleText { vm: id("a"), lines };
        match controller.ask(console(None)).await {
            Answer::Text(text) => assert!(text.ends_with("login: "), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            controller.ask(console(Some(1))).await,
            Answer::Text("conformance login: ".to_owned())
        );
        let elsewhere = Question::ConsoleText { vm: id("b"), lines: None };
        assert_eq!(controller.ask(elsewhere).await, Answer::NotHere);
        match controller.ask(Question::Diagnostics { vm: id("a") }).await {
            Answer::Json(figures) => assert_eq!(figures["state"], "running"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_controller_of_an_era_that_was_left_is_not_listened_to() {
    simulate(10, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&first);
        controller.running("a").await;
        // The store is restored: another era, older numbers.
        let restored = next(&first, |order| order.version = version("restored", 1));
        controller.with(|state| {
            state.era = base::Era("restored".into());
            state.orders.insert(id("a"), restored.clone());
        });
        controller.cut();
        let report = controller.running("a").await;
        assert_eq!((report.version, report.starts), (restored.version.clone(), 1));
        // A controller that slept through it comes back.
        let stale = next(&first, |order| order.wanted = Wanted::Gone);
        controller.with(|state| {
            state.era = base::Era("era".into());
            state.orders.insert(id("a"), stale);
        });
        controller.cut();
        let dials = controller.with(|state| state.hellos.len());
        controller.until("more dials", |state| state.hellos.len() > dials + 2).await;
        assert_eq!(node.host().on().len(), 1, "its orders are not carried out");
        node.start();
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(node.host().on().len(), 1, "nor by a new agent");
    });
}

#[test]
fn older_orders_are_refused_and_the_sender_told() {
    simulate(11, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        let newest = next(&first, |order| order.spec.name = "renamed".to_owned());
        controller.order(&newest);
        controller.running("a").await;
        let seen = controller.with(|state| reports(&state.messages).len());
        let stale = VmStale::gone(&first);
        controller.push(stale.0);
        controller.until("it to be told", |s| reports(&s.messages).len() > seen).await;
        assert_eq!(controller.with(|s| s.reports[&id("a")].version.clone()), newest.version);
        assert_eq!(node.host().on().len(), 1);
        // And after it is gone and forgotten, for a while.
        controller.order(&next(&newest, |order| order.wanted = Wanted::Gone));
        controller.gone("a").await;
        world.sleep(Duration::from_secs(1)).await;
        for restart in [false, true] {
            if restart {
                node.start();
                world.sleep(Duration::from_secs(5)).await;
            }
            controller.push(ToNode::Orders(vec![orders::Order::Vm(newest.clone())]));
            world.sleep(Duration::from_secs(5)).await;
            assert_eq!(node.host().on(), [], "a controller that lags cannot bring it back");
        }
    });
}

struct VmStale(ToNode);

impl VmStale {
    fn gone(order: &orders::VmOrder) -> VmStale {
        let gone = orders::VmOrder { wanted: Wanted::Gone, ..order.clone() };
        VmStale(ToNode::Orders(vec![orders::Order::Vm(gone)]))
    }
}

#[test]
fn tombstones_are_cleared_away() {
    simulate(12, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&first);
        controller.running("a").await;
        controller.order(&next(&first, |order| order.wanted = Wanted::Gone));
        controller.gone("a").await;
        world.sleep(Duration::from_secs(30)).await;
        let kept = |node: &crate::fake::FakeNode| {
            let disk = Arc::clone(node.disk());
            async move { crate::orders_store::Disk::load(&*disk).await.expect("loaded").held.len() }
        };
        assert_eq!(kept(&node).await, 1);
        world.sleep(Duration::from_secs(600)).await;
        assert_eq!(kept(&node).await, 0);
    });
}
