//! What every hypervisor driver must do, told once: the fake runs it in ordinary tests, QEMU in
//! `tests/real_qemu/`. It waits for states, never for times.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Epoch, Era, Kind, Revision, Version, World};
use orders::{Reboot, VmId, VmOrder, VmSpec, Wanted};

use super::{Exit, Hypervisor, Power, SeenVm};

/// What the suite needs beside the driver.
#[async_trait]
pub trait Lab: Send + Sync {
    /// The world.
    fn world(&self) -> &World;
    /// The driver.
    fn hypervisor(&self) -> Arc<dyn Hypervisor>;
    /// Gives the order an image that boots to `login:`.
    fn equip(&self, order: &mut VmOrder);
    /// The agent ends and another begins: the driver forgets what it has in memory. Machines run on.
    async fn restart(&mut self);
    /// Kills the machine's process.
    async fn kill(&self, id: &VmId);
    /// Has the guest switch itself off.
    async fn power_off_inside(&self, id: &VmId);
    /// Whether anything of the machine is left on disk.
    async fn anything_left(&self, id: &VmId) -> bool;
    /// How long anything may take.
    fn patience(&self) -> Duration;
}

/// An order for a small machine without an image.
pub fn order(id: VmId) -> VmOrder {
    VmOrder {
        id,
        epoch: Epoch(1),
        version: Version { era: Era("era".into()), revision: Revision(1) },
        wanted: Wanted::Running,
        reboot: Reboot { number: 1, hard: true },
        spec: VmSpec {
            name: "conformance".to_owned(),
            vcpus: 1,
            ram_mib: 128,
            root_gib: 1,
            ephemeral_gib: 0,
            swap_mib: 0,
            image: None,
            config_drive: None,
            only_here: true,
        },
    }
}

/// Runs the suite.
pub async fn run(lab: &mut dyn Lab) {
    lab.hypervisor().attach().await.expect("attached");
    assert_eq!(lab.hypervisor().list(), [], "nothing is here at first");
    let mut order = order(VmId::new(lab.world()));
    lab.equip(&mut order);
    let order = Arc::new(order);
    made_and_started(lab, &order).await;
    reset_once_for_each_number(lab, &order).await;
    lost(lab, &order).await;
    off_by_guest(lab, &order).await;
    off_by_order(lab, &order).await;
    epochs(lab, &order).await;
    gone(lab, &order).await;
    refused(lab).await;
}

fn seen(lab: &dyn Lab, id: &VmId) -> SeenVm {
    lab.hypervisor().look(id).expect("the machine is here")
}

async fn wait(lab: &dyn Lab, id: &VmId, what: &str, reached: impl Fn(&SeenVm) -> bool) -> SeenVm {
    let world = lab.world();
    let end = world.now() + lab.patience();
    loop {
        let seen = seen(lab, id);
        if reached(&seen) {
            return seen;
        }
        assert!(world.now() < end, "waited for {what}, saw {seen:?}");
        world.sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the console shows so many prompts.
async fn prompts(lab: &dyn Lab, id: &VmId, count: usize) {
    let world = lab.world();
    let end = world.now() + lab.patience();
    loop {
        let text = lab.hypervisor().console_text(id).await.expect("a console").expect("it is here");
        if text.matches("login:").count() >= count {
            return;
        }
        assert!(world.now() < end, "waited for prompt {count}, saw {text}");
        world.sleep(Duration::from_millis(50)).await;
    }
}

async fn changed(lab: &dyn Lab, id: &VmId) {
    let hypervisor = lab.hypervisor();
    let told = async { while !hypervisor.changes().next().await.contains(id) {} };
    lab.world().timeout(lab.patience(), told).await.expect("the driver tells of a change");
}

async fn made_and_started(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    let hypervisor = lab.hypervisor();
    assert_eq!(hypervisor.look(id), None);
    assert!(hypervisor.start(order).await.is_err(), "nothing was prepared");
    for _ in 0..2 {
        hypervisor.prepare(order).await.expect("prepared");
        let now = seen(lab, id);
        assert_eq!((now.epoch, now.prepared, now.starts), (Epoch(1), true, 0));
        assert_eq!(now.power, Power::Off(Exit::NotYet));
    }
    assert!(lab.anything_left(id).await);
    for _ in 0..2 {
        hypervisor.start(order).await.expect("started");
        let now = seen(lab, id);
        assert_eq!((&now.power, now.starts, now.rebooted), (&Power::Running, 1, 1));
    }
    assert_eq!(hypervisor.prepare(order).await.expect_err("it runs").kind(), Kind::Conflict);
    prompts(lab, id, 1).await;
    let figures = hypervisor.diagnostics(id).await.expect("figures").expect("it runs");
    assert_eq!(figures["state"], "running");
    assert_eq!(figures["num_cpus"], 1);
}

async fn reset_once_for_each_number(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    for _ in 0..2 {
        lab.hypervisor().reset(id, 2).await.expect("reset");
        assert_eq!(seen(lab, id).rebooted, 2);
    }
    prompts(lab, id, 2).await;
    lab.restart().await;
    let now = wait(lab, id, "the running machine", |seen| seen.power == Power::Running).await;
    assert_eq!((now.epoch, now.starts, now.rebooted), (Epoch(1), 1, 2), "found as it was");
    lab.hypervisor().reset(id, 2).await.expect("nothing to do");
    let text = lab.hypervisor().console_text(id).await.expect("a console").expect("it is here");
    assert_eq!(text.matches("login:").count(), 2, "not reset again after the restart");
}

async fn lost(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    lab.kill(id).await;
    changed(lab, id).await;
    let is_lost = |seen: &SeenVm| matches!(seen.power, Power::Off(Exit::Lost(_)));
    wait(lab, id, "the loss", is_lost).await;
    lab.restart().await;
    assert!(is_lost(&seen(lab, id)), "{:?}", seen(lab, id));
    assert_eq!(lab.hypervisor().diagnostics(id).await.expect("an answer"), None);
    lab.hypervisor().start(order).await.expect("started again");
    assert_eq!(seen(lab, id).starts, 2);
    prompts(lab, id, 3).await;
}

async fn off_by_guest(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    lab.power_off_inside(id).await;
    changed(lab, id).await;
    let by_guest = |seen: &SeenVm| seen.power == Power::Off(Exit::ByGuest);
    wait(lab, id, "the guest to go down", by_guest).await;
    lab.restart().await;
    assert!(by_guest(&seen(lab, id)), "{:?}", seen(lab, id));
}

async fn off_by_order(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    lab.hypervisor().start(order).await.expect("started");
    prompts(lab, id, 4).await;
    let world = lab.world().clone();
    let end = world.now() + lab.patience();
    while seen(lab, id).power != Power::Off(Exit::Ordered) {
        assert!(world.now() < end, "the button is not heard, saw {:?}", seen(lab, id));
        lab.hypervisor().powerdown(id).await.expect("pressed");
        for _ in 0..100 {
            if seen(lab, id).power.is_off() {
                break;
            }
            world.sleep(Duration::from_millis(50)).await;
        }
    }
    lab.hypervisor().start(order).await.expect("started");
    for _ in 0..2 {
        lab.hypervisor().cut_off(id).await.expect("cut off");
        assert_eq!(seen(lab, id).power, Power::Off(Exit::Ordered), "at once");
    }
    lab.restart().await;
    assert_eq!(seen(lab, id).power, Power::Off(Exit::Ordered));
    assert!(lab.hypervisor().reset(id, 9).await.is_err(), "it does not run");
}

async fn epochs(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    let hypervisor = lab.hypervisor();
    let before = seen(lab, id);
    hypervisor.adopt(id, Epoch(7)).await.expect("adopted");
    assert_eq!(seen(lab, id), SeenVm { epoch: Epoch(7), ..before });
    let error = hypervisor.start(order).await.expect_err("another's epoch");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    let next = Arc::new(VmOrder { epoch: Epoch(8), ..VmOrder::clone(order) });
    hypervisor.prepare(&next).await.expect("prepared");
    let now = seen(lab, id);
    assert_eq!((now.epoch, now.starts, now.rebooted), (Epoch(8), 0, 0), "counted anew");
    assert_eq!(now.power, Power::Off(Exit::NotYet));
    lab.restart().await;
    assert_eq!(seen(lab, id), now);
    lab.hypervisor().start(&next).await.expect("started");
    assert_eq!(seen(lab, id).starts, 1);
}

async fn gone(lab: &mut dyn Lab, order: &Arc<VmOrder>) {
    let id = &order.id;
    let hypervisor = lab.hypervisor();
    for _ in 0..2 {
        hypervisor.remove(id).await.expect("removed though it ran");
        assert_eq!(hypervisor.look(id), None);
        assert!(!lab.anything_left(id).await);
    }
    assert_eq!(hypervisor.list(), []);
    assert_eq!(hypervisor.console_text(id).await.expect("an answer"), None);
    assert_eq!(hypervisor.diagnostics(id).await.expect("an answer"), None);
    for error in [
        hypervisor.cut_off(id).await,
        hypervisor.powerdown(id).await,
        hypervisor.reset(id, 9).await,
        hypervisor.start(order).await,
    ] {
        assert_eq!(error.expect_err("it is not here").kind(), Kind::NotFound);
    }
    lab.restart().await;
    assert_eq!(lab.hypervisor().list(), []);
}

async fn refused(lab: &mut dyn Lab) {
    let mut bad = order(VmId::new(lab.world()));
    lab.equip(&mut bad);
    bad.spec.vcpus = 0;
    let bad = Arc::new(bad);
    let error = lab.hypervisor().prepare(&bad).await.expect_err("no processors");
    assert_eq!(error.kind(), Kind::BadRequest, "trying again cannot help");
    assert!(!lab.anything_left(&bad.id).await);
    assert_eq!(lab.hypervisor().list(), []);
}
