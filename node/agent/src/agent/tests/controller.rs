//! A controller that behaves: it welcomes, sends its orders, answers beats, notes reports, and forgets
//! what is gone. It can be cut off, fall silent, and come back with another era.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base::{Era, Error, Map, Moment, Result, World};
use orders::{
    Answer, Connector, ControllerEnd, NodeEnd, NodeHello, Order, Question, Report, ToController,
    ToNode, VmId, VmOrder, VmReport, VmState, Wanted, link,
};
use tokio::sync::mpsc;

use crate::drivers::hypervisor::lock;

pub struct Controller {
    world: World,
    state: Mutex<State>,
}

pub struct State {
    pub era: Era,
    pub orders: Map<VmId, VmOrder>,
    pub reports: Map<VmId, VmReport>,
    /// All that came, in order.
    pub messages: Vec<ToController>,
    pub answers: Map<u64, Answer>,
    pub hellos: Vec<(Moment, NodeHello)>,
    /// Whether it can be reached, and answers.
    pub away: bool,
    pub silent: bool,
    pub refuses: Option<String>,
    sender: Option<mpsc::Sender<ToNode>>,
    links: Option<World>,
    asked: u64,
}

impl Controller {
    pub fn new(world: &World) -> Arc<Controller> {
        let state = State {
            era: Era("era".into()),
            orders: Map::new(),
            reports: Map::new(),
            messages: Vec::new(),
            answers: Map::new(),
            hellos: Vec::new(),
            away: false,
            silent: false,
            refuses: None,
            sender: None,
            links: None,
            asked: 0,
        };
        Arc::new(Controller { world: world.clone(), state: Mutex::new(state) })
    }

    /// Looks at or changes what it is.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut lock(&self.state))
    }

    /// Orders, now and at each reconnection.
    pub fn order(&self, order: &VmOrder) {
        self.orders(std::slice::from_ref(order));
    }

    /// Orders several machines in one message.
    pub fn orders(&self, orders: &[VmOrder]) {
        self.with(|state| {
            for order in orders {
                state.orders.insert(order.id.clone(), order.clone());
            }
        });
        self.push(ToNode::Orders(orders.iter().cloned().map(Order::Vm).collect()));
    }

    /// Sends a message as it is.
    pub fn push(&self, message: ToNode) {
        let sender = self.with(|state| state.sender.clone());
        if let Some(sender) = sender {
            self.world.spawn("push", async move {
                let _ = sender.send(message).await;
            });
        }
    }

    /// Cuts the link.
    pub fn cut(&self) {
        let links = self.with(|state| {
            state.sender = None;
            state.links.take()
        });
        if let Some(links) = links {
            links.kill();
        }
    }

    /// Waits until something is so, for at most an hour of the simulated clock.
    pub async fn until(&self, what: &str, reached: impl Fn(&State) -> bool) {
        let end = self.world.now() + Duration::from_secs(3600);
        while !self.with(|state| reached(state)) {
            assert!(
                self.world.now() < end,
                "seed {:?}: waited for {what}, saw {:?}",
                self.world.seed(),
                self.with(|state| state.reports.clone())
            );
            self.world.sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn report(&self, id: &str, reached: impl Fn(&VmReport) -> bool) -> VmReport {
        let key = VmId::from(id);
        self.until(id, |state| state.reports.get(&key).is_some_and(&reached)).await;
        self.with(|state| state.reports[&key].clone())
    }

    /// Waits until the machine is in this state under its newest order.
    pub async fn reaches(&self, id: &str, wanted: &VmState) -> VmReport {
        let newest = self.with(|state| state.orders[&VmId::from(id)].version.clone());
        self.report(id, |report| report.version == newest && report.state == *wanted).await
    }

    pub async fn running(&self, id: &str) -> VmReport {
        self.reaches(id, &VmState::Running).await
    }

    /// Waits until the machine is gone and forgotten.
    pub async fn gone(&self, id: &str) {
        let key = VmId::from(id);
        self.until("it to be gone", |state| !state.orders.contains_key(&key)).await;
    }

    pub async fn ask(&self, question: Question) -> Answer {
        let number = self.with(|state| {
            state.asked += 1;
            state.asked
        });
        self.push(ToNode::Question(number, question));
        self.until("an answer", |state| state.answers.contains_key(&number)).await;
        self.with(|state| state.answers.remove(&number)).expect("an answer")
    }

    async fn serve(self: Arc<Controller>, mut end: ControllerEnd) {
        let Some(ToController::Hello(hello)) = end.receiver.recv().await else { return };
        let now = self.world.now();
        let refuses = self.with(|state| {
            state.hellos.push((now, hello));
            state.refuses.clone()
        });
        if let Some(reason) = refuses {
            let _ = end.sender.send(ToNode::Refused(reason)).await;
            return;
        }
        let (era, orders) = self.with(|state| {
            state.sender = Some(end.sender.clone());
            (state.era.clone(), state.orders.values().cloned().collect::<Vec<_>>())
        });
        let _ = end.sender.send(ToNode::Welcome { controller: "c".to_owned(), era }).await;
        for some in orders.chunks(3) {
            let some = some.iter().cloned().map(Order::Vm).collect();
            let _ = end.sender.send(ToNode::Orders(some)).await;
        }
        let _ = end.sender.send(ToNode::Complete).await;
        while let Some(message) = end.receiver.recv().await {
            let answer = self.with(|state| state.take(message));
            if let Some(answer) = answer {
                let _ = end.sender.send(answer).await;
            }
        }
    }
}

impl State {
    fn take(&mut self, message: ToController) -> Option<ToNode> {
        if self.silent {
            return None;
        }
        self.messages.push(message.clone());
        match message {
            ToController::Hello(_) => panic!("a second hello"),
            ToController::Beat(number) => Some(ToNode::Beat(number)),
            ToController::Answer(number, answer) => {
                self.answers.insert(number, answer);
                None
            }
            ToController::Reports(reports) => {
                let mut gone = Vec::new();
                for Report::Vm(report) in reports {
                    let newest = self.orders.get(&report.id);
                    if report.state == VmState::Gone
                        && newest.is_none_or(|order| {
                            order.wanted == Wanted::Gone && order.version == report.version
                        })
                    {
                        self.orders.remove(&report.id);
                        gone.push(report.id.clone());
                    }
                    self.reports.insert(report.id.clone(), report);
                }
                (!gone.is_empty()).then_some(ToNode::Forget(gone))
            }
        }
    }
}

/// The way to it.
pub struct Dial(pub Arc<Controller>);

#[async_trait]
impl Connector for Dial {
    async fn connect(&self) -> Result<NodeEnd> {
        let Dial(controller) = self;
        if controller.with(|state| state.away) {
            return Err(Error::unavailable("nobody is there"));
        }
        controller.world.breathe().await;
        let (node, end) = link();
        let scope = controller.world.scope("controller");
        scope.spawn("serve", controller.clone().serve(end));
        controller.with(|state| state.links = Some(scope));
        Ok(node)
    }
}
