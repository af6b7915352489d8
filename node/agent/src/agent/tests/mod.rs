//! The whole agent in a simulated world: against a controller that behaves, on a host and a disk that
//! outlive it, killed at every step.

mod controller;
mod crash;
mod link;
mod machines;

use std::{future::Future, sync::Arc};

use base::{Epoch, Era, Revision, Version, World};
use orders::{Reboot, VmId, VmOrder, Wanted};

use self::controller::{Controller, Dial};
use crate::{
    drivers::hypervisor::conformance,
    fake::{FakeNode, FakeSettings},
};

/// Runs a test in a simulated world.
fn simulate<T, F: Future<Output = T>>(seed: u64, test: impl FnOnce(World) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { test(World::simulated(seed)).await })
}

/// A node with its controller; the agent runs.
fn pair(world: &World, settings: FakeSettings) -> (FakeNode, Arc<Controller>) {
    let controller = Controller::new(world);
    let node = FakeNode::new(world, "node", settings, Arc::new(Dial(controller.clone())));
    node.start();
    (node, controller)
}

fn order(id: &str) -> VmOrder {
    VmOrder { reboot: Reboot::default(), ..conformance::order(id.into()) }
}

/// The order after that one.
fn next(order: &VmOrder, change: impl FnOnce(&mut VmOrder)) -> VmOrder {
    let mut next = order.clone();
    next.version.revision = Revision(order.version.revision.0 + 1);
    change(&mut next);
    next
}

fn version(era: &str, revision: u64) -> Version {
    Version { era: Era(era.into()), revision: Revision(revision) }
}

fn id(text: &str) -> VmId {
    VmId::from(text)
}

#[test]
fn from_order_to_running_and_gone() {
    simulate(1, async |world| {
        let (node, controller) = pair(&world, FakeSettings::default());
        let first = order("a");
        controller.order(&first);
        let report = controller.running("a").await;
        assert_eq!((report.epoch, report.starts, report.rebooted), (Epoch(1), 1, 0));
        assert_eq!(report.version, first.version);
        assert_eq!(node.host().on(), [(id("a"), Epoch(1))]);
        let gone = next(&first, |order| order.wanted = Wanted::Gone);
        controller.order(&gone);
        controller.gone("a").await;
        assert_eq!(node.host().on(), []);
    });
}
