//! The hub with honest little nodes, on the memory store, in a simulated world.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base::{Epoch, Result, Revision, Version, World};
use control::Runtime;
use orders::{
    Answer, Inventory, NodeEnd, NodeHello, Order, Question, Reboot, Report, ToController, ToNode,
    VmId, VmOrder, VmReport, VmSpec, VmState, Wanted,
};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Schema, Scope, Session, Snapshot, State, backend::MemoryStore};

use crate::{Hub, HubConfig, NodeRecord, Object, OrderSource};

#[derive(Clone, Serialize, Deserialize)]
struct Placed {
    node: String,
    running: bool,
}

impl Record for Placed {
    const TABLE: &'static str = "test.placed";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] =
        &[Index { name: "node", keys: |placed, _| vec![placed.node.clone()] }];
}

struct Source {
    state: State,
    failures: Mutex<u32>,
    unreadable: Mutex<u32>,
}

#[async_trait]
impl OrderSource for Source {
    fn objects(&self, snapshot: &Snapshot, node: &str) -> Vec<Arc<str>> {
        snapshot.index_ids::<Placed>("node", node)
    }
    fn touched(&self, snapshot: &Snapshot, table: &str, id: &str) -> Vec<Object> {
        match snapshot.get::<Placed>(id) {
            Some(placed) if table == Placed::TABLE => {
                vec![Object { node: placed.node.as_str().into(), id: placed.id.clone() }]
            }
            _ => vec![],
        }
    }
    async fn order(&self, snapshot: &Snapshot, object: &Object) -> Result<Option<Order>> {
        let Some(placed) = snapshot.get::<Placed>(&object.id) else { return Ok(None) };
        {
            let mut unreadable = self.unreadable.lock().unwrap();
            if *unreadable > 0 {
                *unreadable -= 1;
                return Err(base::Error::unavailable("a blob cannot be read just now"));
            }
        }
        Ok(Some(Order::Vm(VmOrder {
            id: VmId::from(&*object.id),
            epoch: Epoch(1),
            version: Version { era: self.state.era().clone(), revision: placed.modified },
            wanted: if placed.running { Wanted::Running } else { Wanted::Gone },
            reboot: Reboot::default(),
            spec: VmSpec {
                name: object.id.to_string(),
                vcpus: 1,
                ram_mib: 64,
                root_gib: 0,
                ephemeral_gib: 0,
                swap_mib: 0,
                image: None,
                config_drive: None,
                only_here: true,
            },
        })))
    }
    async fn report(&self, _node: &str, reports: Vec<Report>) -> Result<Vec<VmId>> {
        {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(base::Error::unavailable("just now"));
            }
        }
        let Report::Vm(report) = &reports[0];
        let id = report.id.clone();
        if report.state == VmState::Gone {
            self.state.transact("test::gone", |txn| txn.delete::<Placed>(&id)).await?;
            return Ok(vec![report.id.clone()]);
        }
        Ok(vec![])
    }
}

struct Cloud {
    world: World,
    state: State,
    hub: Hub,
    source: Arc<Source>,
}

async fn cloud(world: &World, store: &MemoryStore, name: &str) -> Cloud {
    let world = world.scope(name);
    let schema = crate::schema(placement::schema(Schema::new().table::<Placed>()));
    let state = State::open(world.clone(), Arc::new(store.clone()), schema, name).await.unwrap();
    let session = Session::begin(&state, Duration::from_secs(6), "").await.unwrap();
    let runtime = Runtime::new(&state);
    let hub = Hub::new(&state, HubConfig::default());
    let source = Arc::new(Source {
        state: state.clone(),
        failures: Mutex::new(0),
        unreadable: Mutex::new(0),
    });
    hub.serve(source.clone());
    hub.start(&runtime, Some(session));
    Cloud { world, state, hub, source }
}

impl Cloud {
    fn dial(&self, name: &str, certified: Option<&str>) -> NodeEnd {
        let (node, mut controller) = orders::link();
        controller.certified_name = certified.map(str::to_owned);
        let hub = self.hub.clone();
        self.world.spawn("accept", async move { hub.accept(controller).await });
        let hello = ToController::Hello(NodeHello {
            name: name.into(),
            address: "127.0.0.1".into(),
            boot: "b".into(),
            version: "0".into(),
            level: 1,
            inventory: Inventory {
                vcpus: 4,
                ram_mib: 4096,
                disk_gib: 100,
                hypervisor_type: "fake".into(),
                hypervisor_version: 1,
                acceleration: "none".into(),
                architecture: "x86_64".into(),
                cpu_model: "c".into(),
                disk_formats: vec!["raw".into()],
            },
        });
        node.sender.try_send(hello).unwrap();
        node
    }

    async fn place(&self, id: &str, running: bool) {
        let placed = Placed { node: "n1".into(), running };
        self.state.transact("test::place", |txn| txn.put(id, placed.clone())).await.unwrap();
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Snapshot) -> bool) {
        for _ in 0..100_000 {
            if holds(&self.state.known()) {
                return;
            }
            self.world.sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {what}");
    }
}

fn run(test: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { test(World::simulated(1)).await });
}

async fn next(node: &mut NodeEnd) -> ToNode {
    node.receiver.recv().await.expect("the link lives")
}

fn wanted(message: &ToNode) -> Vec<(&str, Wanted)> {
    let ToNode::Orders(orders) = message else { panic!("orders, not {message:?}") };
    orders.iter().map(|Order::Vm(order)| (&*order.id, order.wanted)).collect()
}

fn report(id: &str, state: VmState, world: &World) -> ToController {
    ToController::Reports(vec![Report::Vm(VmReport {
        id: id.into(),
        epoch: Epoch(1),
        version: Version { era: base::Era("e".into()), revision: Revision(1) },
        state,
        rebooted: 0,
        starts: 1,
        since: world.wall(),
    })])
}

#[test]
fn orders_go_out_and_reports_come_in() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let cloud = cloud(&world, &store, "c1").await;
        cloud.place("v1", true).await;
        let mut node = cloud.dial("n1", None);
        assert!(matches!(next(&mut node).await, ToNode::Welcome { .. }));
        assert_eq!(wanted(&next(&mut node).await), [("v1", Wanted::Running)]);
        assert_eq!(next(&mut node).await, ToNode::Complete);
        cloud.place("v2", true).await;
        assert_eq!(wanted(&next(&mut node).await), [("v2", Wanted::Running)]);
        cloud.place("v1", false).await;
        assert_eq!(wanted(&next(&mut node).await), [("v1", Wanted::Gone)]);
        // The store cannot take the report at first: it is not lost.
        *cloud.source.failures.lock().unwrap() = 3;
        node.sender.send(report("v1", VmState::Gone, &world)).await.unwrap();
        assert_eq!(next(&mut node).await, ToNode::Forget(vec!["v1".into()]));
        node.sender.send(ToController::Beat(7)).await.unwrap();
        assert_eq!(next(&mut node).await, ToNode::Beat(7));
    });
}

/// A node that was told *complete* without an order would take its machine for a stranger.
#[test]
fn complete_is_said_only_when_every_order_was_read() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let cloud = cloud(&world, &store, "c1").await;
        cloud.place("v1", true).await;
        cloud.place("v2", true).await;
        *cloud.source.unreadable.lock().unwrap() = 3;
        let mut node = cloud.dial("n1", None);
        assert!(matches!(next(&mut node).await, ToNode::Welcome { .. }));
        let mut ordered = base::Set::new();
        loop {
            match next(&mut node).await {
                ToNode::Complete => break,
                message => ordered.extend(wanted(&message).iter().map(|(id, _)| (*id).to_owned())),
            }
        }
        assert_eq!(ordered, ["v1", "v2"].map(str::to_owned).into());
    });
}

#[test]
fn presence_follows_the_link() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let cloud = cloud(&world, &store, "c1").await;
        let up = |s: &Snapshot| s.get::<NodeRecord>("n1").is_some_and(|node| node.is_up());
        let first = cloud.dial("n1", Some("n1"));
        cloud.until("up", up).await;
        // A second link of the same node takes over; the first one's end changes nothing.
        let second = cloud.dial("n1", Some("n1"));
        world.sleep(Duration::from_secs(1)).await;
        drop(first);
        world.sleep(Duration::from_secs(1)).await;
        assert!(up(&cloud.state.known()));
        drop(second);
        cloud.until("down", |s| !up(s)).await;
        // Silence ends a link too.
        let _third = cloud.dial("n1", Some("n1"));
        cloud.until("up", up).await;
        cloud.until("down", |s| !up(s)).await;
    });
}

#[test]
fn nodes_of_a_dead_controller_have_a_grace() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let (a, b) = (cloud(&world, &store, "c1").await, cloud(&world, &store, "c2").await);
        let up = |s: &Snapshot, n: &str| s.get::<NodeRecord>(n).is_some_and(|node| node.is_up());
        let _stays_away = a.dial("n1", None);
        let _moves = a.dial("n2", None);
        b.until("both up", |s| up(s, "n1") && up(s, "n2")).await;
        a.world.kill();
        world.sleep(Duration::from_secs(10)).await;
        let moved = b.dial("n2", None);
        b.until("the one that found no other is away", |s| !up(s, "n1")).await;
        assert!(up(&b.state.known(), "n2"));
        drop(moved);
    });
}

#[test]
fn a_node_cannot_claim_anothers_name() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let cloud = cloud(&world, &store, "c1").await;
        let mut node = cloud.dial("n1", Some("n2"));
        assert!(matches!(next(&mut node).await, ToNode::Refused(why) if why.contains("n2")));
        assert_eq!(node.receiver.recv().await, None);
        assert!(cloud.state.known().get::<NodeRecord>("n1").is_none());
    });
}

#[test]
fn questions_are_answered_or_end() {
    run(async |world| {
        let store = MemoryStore::new(world.clone());
        let cloud = cloud(&world, &store, "c1").await;
        let question = Question::Diagnostics { vm: "v".into() };
        assert!(cloud.hub.ask("n1", question.clone()).await.is_err());
        let mut node = cloud.dial("n1", None);
        cloud.until("linked", |_| !cloud.hub.linked().is_empty()).await;
        let asked = cloud.hub.ask("n1", question.clone());
        let answered = async {
            loop {
                if let ToNode::Question(number, _) = next(&mut node).await {
                    let answer = ToController::Answer(number, Answer::NotHere);
                    node.sender.send(answer).await.unwrap();
                    return;
                }
            }
        };
        let (answer, ()) = tokio::join!(asked, answered);
        assert_eq!(answer.unwrap(), Answer::NotHere);
        // One that never answers.
        assert!(cloud.hub.ask("n1", question).await.is_err());
    });
}
