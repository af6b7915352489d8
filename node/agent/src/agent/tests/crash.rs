//! The agent is killed before and after every single thing that it does to its host or its disk. The end
//! is the same, and no machine is ever started once too often.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Epoch, Error, Result, World};
use orders::{Reboot, VmId, VmOrder, VmState, Wanted};

use super::{
    controller::{Controller, Dial},
    id, next, order, pair, simulate,
};
use crate::{
    Agent, AgentConfig,
    drivers::hypervisor::{
        Changes, Hypervisor, SeenVm,
        fake::{FakeHost, FakeTimes},
        lock,
    },
    fake::{FakeSettings, fake_inventory},
    orders_store::{Disk, Eras, Held, Kept, MemoryDisk},
};

/// Kills its process at the given step.
struct Trip {
    steps: AtomicUsize,
    at: usize,
    process: Mutex<Option<World>>,
}

impl Trip {
    async fn step(&self) {
        if self.steps.fetch_add(1, Ordering::SeqCst) == self.at {
            if let Some(process) = lock(&self.process).take() {
                process.kill();
            }
            std::future::pending::<()>().await;
        }
    }
}

struct TrippedHost(FakeHost, Arc<Trip>);
struct TrippedDisk(Arc<MemoryDisk>, Arc<Trip>);

macro_rules! tripped {
    ($self:ident, $call:expr) => {{
        $self.1.step().await;
        let done = $call.await;
        $self.1.step().await;
        done
    }};
}

#[async_trait]
impl Hypervisor for TrippedHost {
    async fn attach(&self) -> Result<()> {
        tripped!(self, self.0.attach())
    }
    fn list(&self) -> Vec<SeenVm> {
        self.0.list()
    }
    fn look(&self, id: &VmId) -> Option<SeenVm> {
        self.0.look(id)
    }
    fn changes(&self) -> &Changes {
        self.0.changes()
    }
    async fn prepare(&self, order: &Arc<VmOrder>) -> Result<()> {
        tripped!(self, self.0.prepare(order))
    }
    async fn start(&self, order: &Arc<VmOrder>) -> Result<()> {
        tripped!(self, self.0.start(order))
    }
    async fn reset(&self, id: &VmId, number: u64) -> Result<()> {
        tripped!(self, self.0.reset(id, number))
    }
    async fn powerdown(&self, id: &VmId) -> Result<()> {
        tripped!(self, self.0.powerdown(id))
    }
    async fn cut_off(&self, id: &VmId) -> Result<()> {
        tripped!(self, self.0.cut_off(id))
    }
    async fn adopt(&self, id: &VmId, epoch: Epoch) -> Result<()> {
        tripped!(self, self.0.adopt(id, epoch))
    }
    async fn remove(&self, id: &VmId) -> Result<()> {
        tripped!(self, self.0.remove(id))
    }
    async fn console_text(&self, id: &VmId) -> Result<Option<String>> {
        self.0.console_text(id).await
    }
    async fn diagnostics(&self, id: &VmId) -> Result<Option<serde_json::Value>> {
        self.0.diagnostics(id).await
    }
}

#[async_trait]
impl Disk for TrippedDisk {
    async fn load(&self) -> Result<Kept> {
        tripped!(self, self.0.load())
    }
    async fn keep(&self, held: &[Held]) -> Result<()> {
        tripped!(self, self.0.keep(held))
    }
    async fn discard(&self, ids: &[VmId]) -> Result<()> {
        tripped!(self, self.0.discard(ids))
    }
    async fn keep_eras(&self, eras: &Eras) -> Result<()> {
        tripped!(self, self.0.keep_eras(eras))
    }
}

/// A node whose agent dies at one step, and is started again by whoever watches over it.
struct Node {
    world: World,
    host: FakeHost,
    disk: Arc<MemoryDisk>,
    controller: Arc<Controller>,
}

impl Node {
    fn start(&self, trip: &Arc<Trip>) -> World {
        let process = self.world.scope("agent");
        *lock(&trip.process) = Some(process.clone());
        let config = AgentConfig {
            name: "node".to_owned(),
            address: String::new(),
            boot: self.host.boot(),
            version: String::new(),
            level: 1,
            inventory: fake_inventory(1, 1, 1),
            manners: Arc::default(),
            pace: Arc::default(),
        };
        let agent = Agent::new(
            process.clone(),
            config,
            Arc::new(TrippedHost(self.host.clone(), trip.clone())),
            Arc::new(Dial(self.controller.clone())),
            Arc::new(TrippedDisk(self.disk.clone(), trip.clone())),
        );
        process.spawn("agent", agent.run());
        process
    }
}

fn times() -> FakeTimes {
    FakeTimes {
        prepare: Duration::from_secs(1),
        start: Duration::from_secs(1),
        boot: Duration::from_secs(5),
        shutdown: Duration::from_secs(2),
    }
}

/// Lives through everything once; the agent is killed at step `at`. Says whether it came to that.
fn whole_life(seed: u64, at: usize) -> bool {
    simulate(seed, async |world| {
        let controller = Controller::new(&world);
        let node = Node {
            world: world.clone(),
            host: FakeHost::new(&world, times()),
            disk: Arc::default(),
            controller: controller.clone(),
        };
        let trip = Arc::new(Trip { steps: AtomicUsize::new(0), at, process: Mutex::new(None) });
        let first = node.start(&trip);
        let watcher = {
            let (world, first, trip) = (world.clone(), first.clone(), trip.clone());
            let node = Node {
                world: node.world.clone(),
                host: node.host.clone(),
                disk: node.disk.clone(),
                controller: node.controller.clone(),
            };
            world.clone().spawn("watcher", async move {
                while !first.killed() {
                    world.sleep(Duration::from_millis(100)).await;
                }
                node.start(&trip);
            })
        };
        let story = async {
            let mut now = order("a");
            controller.order(&now);
            controller.running("a").await;
            now = next(&now, |order| order.reboot = Reboot { number: 1, hard: true });
            controller.order(&now);
            controller.report("a", |r| r.rebooted == 1 && r.state == VmState::Running).await;
            now = next(&now, |order| order.wanted = Wanted::Stopped);
            controller.order(&now);
            controller.reaches("a", &VmState::Stopped { by_guest: false }).await;
            now = next(&now, |order| order.wanted = Wanted::Running);
            controller.order(&now);
            controller.running("a").await;
            // A new claim on the same node: the old process must not go on.
            now = next(&now, |order| order.epoch = Epoch(2));
            controller.order(&now);
            let report = controller.running("a").await;
            assert_eq!((report.epoch, report.starts), (Epoch(2), 1));
            node.host.crash(&id("a"));
            controller.report("a", |r| r.starts == 2 && r.state == VmState::Running).await;
            node.host.guest_power_off(&id("a"));
            controller.reaches("a", &VmState::Stopped { by_guest: true }).await;
            assert_eq!(node.host.launches(), 4, "started once too often");
            now = next(&now, |order| order.wanted = Wanted::Gone);
            controller.order(&now);
            controller.gone("a").await;
            assert_eq!(node.host.list(), []);
        };
        story.await;
        watcher.abort();
        trip.steps.load(Ordering::SeqCst) > at
    })
}

#[test]
fn killed_at_every_step() {
    let mut at = 0;
    while whole_life(at as u64, at) {
        at += 1;
    }
    assert!(at > 40, "only {at} steps");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..10 {
        assert_eq!(storm(seed), storm(seed), "seed {seed}");
    }
    assert_ne!(storm(1), storm(2));
}

/// Many machines, many orders; agents, links, guests and the host fail at random. Returns the trace.
fn storm(seed: u64) -> (u64, u64) {
    simulate(seed, async |world| {
        let settings = FakeSettings { times: times(), ..FakeSettings::default() };
        let (node, controller) = pair(&world, settings);
        let mut orders = (0..8).map(|n| order(&format!("vm-{n}"))).collect::<Vec<_>>();
        for _ in 0..60 {
            let n = usize::try_from(world.below(8)).expect("small");
            match world.below(12) {
                0..5 => {
                    let (what, number) = (world.below(5), orders[n].reboot.number + 1);
                    orders[n] = next(&orders[n], |order| match what {
                        0 | 1 => order.wanted = Wanted::Running,
                        2 => order.wanted = Wanted::Stopped,
                        3 => order.reboot = Reboot { number, hard: true },
                        _ => order.reboot = Reboot { number, hard: false },
                    });
                    controller.order(&orders[n]);
                }
                5 | 6 => node.start(),
                7 => node.reboot(),
                8 => controller.cut(),
                9 => node.host().crash(&orders[n].id),
                10 => node.host().guest_power_off(&orders[n].id),
                _ => node.host().fail_next(1, 1, false),
            }
            world.sleep(world.jitter(Duration::from_secs(4))).await;
        }
        // Peace: everything ends as it is ordered last.
        node.host().fail_next(0, 0, false);
        for one in &mut orders {
            *one = next(one, |_| ());
            controller.order(one);
        }
        for one in &orders {
            let wanted = match one.wanted {
                Wanted::Running => VmState::Running,
                Wanted::Stopped => VmState::Stopped { by_guest: false },
                Wanted::Gone => unreachable!("nobody ordered that"),
            };
            controller.reaches(&one.id, &wanted).await;
        }
        for one in &mut orders {
            *one = next(one, |order| order.wanted = Wanted::Gone);
            controller.order(one);
        }
        for one in &orders {
            controller.gone(&one.id).await;
        }
        assert_eq!(node.host().list(), []);
        world.trace_hash()
    })
}

#[test]
fn storms() {
    for seed in 100..160 {
        storm(seed);
    }
}

/// A disk that refuses to write for a while.
struct FullDisk(MemoryDisk, AtomicUsize);

#[async_trait]
impl Disk for FullDisk {
    async fn load(&self) -> Result<Kept> {
        self.0.load().await
    }
    async fn keep(&self, held: &[Held]) -> Result<()> {
        let less = |left: usize| left.checked_sub(1);
        if self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Error::internal("the disk is full"));
        }
        self.0.keep(held).await
    }
    async fn discard(&self, ids: &[VmId]) -> Result<()> {
        self.0.discard(ids).await
    }
    async fn keep_eras(&self, eras: &Eras) -> Result<()> {
        self.0.keep_eras(eras).await
    }
}

#[test]
fn an_order_that_cannot_be_kept_is_not_carried_out_yet() {
    simulate(40, async |world| {
        let controller = Controller::new(&world);
        let host = FakeHost::new(&world, FakeTimes::default());
        let disk = Arc::new(FullDisk(MemoryDisk::default(), AtomicUsize::new(6)));
        let config = AgentConfig {
            name: "node".to_owned(),
            address: String::new(),
            boot: host.boot(),
            version: String::new(),
            level: 1,
            inventory: fake_inventory(1, 1, 1),
            manners: Arc::default(),
            pace: Arc::default(),
        };
        let agent = Agent::new(
            world.clone(),
            config,
            Arc::new(host.clone()),
            Arc::new(Dial(controller.clone())),
            disk.clone(),
        );
        world.spawn("agent", agent.run());
        controller.order(&order("a"));
        controller.until("some attempts", |state| state.hellos.len() > 3).await;
        if disk.1.load(Ordering::SeqCst) > 0 {
            assert_eq!(host.launches(), 0);
        }
        controller.running("a").await;
        assert_eq!(host.launches(), 1);
    });
}
