//! The agent's loop: takes orders from a link, keeps them on disk, does what [`crate::plan`] chooses,
//! one step at a time for each machine and several machines at once, and reports what changes.
//! It makes no choices itself.
//!
//! ```text
//!  link ─► orders ─► judged ─► on disk ─► in force ─┐              (newest wins; older refused)
//!  driver's changes, ended steps, timers ───────────┴─► plan ─► step ─► driver
//!                                                        └─► report, when it differs ─► link
//! ```

mod config;
mod core;
mod link;
mod park;
#[cfg(test)]
mod tests;
mod work;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use base::{Error, Map, Moment, Result, World};
use futures_util::{StreamExt, stream::FuturesUnordered};
use orders::{
    Answer, Connector, NodeHello, Order, Question, Report, ToController, ToNode, VmId, VmOrder,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::{
    core::{Core, Ended, Go},
    work::{carry_out, reply, tell},
};
use crate::{
    drivers::hypervisor::{Hypervisor, SeenVm, lock},
    orders_store::Disk,
    plan::Step,
};

pub use self::{
    config::{AgentConfig, Pace},
    park::park,
};
pub use crate::plan::Manners;

/// What others in this process may want to know of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// The controller that it is linked to.
    pub controller: Option<String>,
    /// Up to when its controller answered: when the last answered beat was sent.
    pub renewed: Option<Moment>,
}

/// The agent of one node.
pub struct Agent {
    world: World,
    config: AgentConfig,
    hypervisor: Arc<dyn Hypervisor>,
    connector: Arc<dyn Connector>,
    disk: Arc<dyn Disk>,
    status: Arc<Mutex<AgentStatus>>,
}

type StepEnd = (VmId, Step, Ended, Option<SeenVm>);
type Steps = FuturesUnordered<Pin<Box<dyn Future<Output = StepEnd> + Send>>>;

impl Agent {
    /// An agent that does nothing yet. Its tasks run in `world`'s scope and end with it.
    pub fn new(
        world: World,
        config: AgentConfig,
        hypervisor: Arc<dyn Hypervisor>,
        connector: Arc<dyn Connector>,
        disk: Arc<dyn Disk>,
    ) -> Agent {
        Agent { world, config, hypervisor, connector, disk, status: Arc::default() }
    }

    /// What the agent is about, while it runs.
    pub fn status(&self) -> Arc<Mutex<AgentStatus>> {
        self.status.clone()
    }

    /// Re-attaches to what runs here, then serves until its world's scope is killed. Returns only when
    /// it cannot begin: its disk or its hypervisor fails.
    pub async fn run(self) -> Result<()> {
        self.hypervisor.attach().await?;
        let kept = self.disk.load().await?;
        let config = &self.config;
        let mut core = Core::new(config.boot.clone(), config.manners.clone(), config.pace.clone());
        let (now, wall) = (self.world.now(), self.world.wall());
        let all = core.load(kept, self.hypervisor.list(), now, wall);
        let mut shell = Shell {
            quick: Arc::new(Semaphore::new(config.pace.steps)),
            slow: Arc::new(Semaphore::new(config.pace.preparations)),
            questions: Arc::new(Semaphore::new(config.pace.questions)),
            agent: self,
            core,
            steps: Steps::new(),
            giving_up: Map::new(),
        };
        shell.look_after(all).await;
        shell.serve().await
    }

    fn hello(&self) -> NodeHello {
        let config = &self.config;
        NodeHello {
            name: config.name.clone(),
            address: config.address.clone(),
            boot: config.boot.to_string(),
            version: config.version.clone(),
            level: config.level,
            inventory: config.inventory.clone(),
        }
    }
}

struct Shell {
    agent: Agent,
    core: Core,
    steps: Steps,
    /// Ends a step that is no longer wanted.
    giving_up: Map<VmId, oneshot::Sender<()>>,
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

/// An order could not be kept: the link is given up, and the next one sends it again.
struct Unkept;

enum Event {
    Step(Option<StepEnd>),
    Changed(base::Set<VmId>),
    Message(Option<ToNode>),
    Linked(Box<link::Linked>),
    MaySend(Option<mpsc::OwnedPermit<ToController>>),
    Time,
}

impl Shell {
    async fn serve(&mut self) -> ! {
        let mut link: Option<link::Linked> = None;
        let mut dial = Some(self.dial(Duration::ZERO));
        loop {
            let world = self.agent.world.clone();
            let now = world.now();
            let due = self.core.next_due();
            let link_due = link.as_ref().map(|link| link.beats.next(now));
            let until = due.into_iter().chain(link_due).min();
            let wants_send =
                link.as_ref().is_some_and(|link| link.beats.due(now) || self.core.has_reports());
            let event = {
                let (sender, receiver) = match &mut link {
                    Some(link) => (Some(&link.sender), Some(&mut link.receiver)),
                    None => (None, None),
                };
                let hypervisor = self.agent.hypervisor.clone();
                let idle = self.steps.is_empty();
                tokio::select! {
                    biased;
                    end = self.steps.next(), if !idle => Event::Step(end),
                    ids = hypervisor.changes().next() => Event::Changed(ids),
                    message = receive(receiver) => Event::Message(message),
                    linked = dialled(&mut dial) => Event::Linked(linked),
                    room = room(sender), if wants_send => Event::MaySend(room),
                    () = sleep_until(&world, now, until) => Event::Time,
                }
            };
            match event {
                Event::Step(end) => {
                    if let Some((id, step, ended, seen)) = end {
                        self.step_ended(id, step, ended, seen).await;
                    }
                }
                Event::Changed(ids) => {
                    let now = world.now();
                    for id in &ids {
                        let seen = self.agent.hypervisor.look(id);
                        self.core.see(id, seen, now);
                    }
                    self.look_after(ids).await;
                }
                Event::Message(message) => {
                    let messages = message.into_iter().chain(drain(&mut link)).collect::<Vec<_>>();
                    let ended = messages.is_empty();
                    if ended || self.hear(&mut link, messages).await.is_err() {
                        self.unlink(&mut link, &mut dial, "the link ended");
                    }
                }
                Event::Linked(linked) => {
                    dial = None;
                    if self.greeted(&linked).await {
                        lock(&self.agent.status).controller = Some(linked.controller.clone());
                        link = Some(*linked);
                        let all = self.core.linked();
                        self.look_after(all).await;
                    } else {
                        dial = Some(self.dial(self.agent.config.pace.redial_most));
                    }
                }
                Event::MaySend(Some(room)) => self.send(&mut link, room),
                Event::MaySend(None) => self.unlink(&mut link, &mut dial, "the link ended"),
                Event::Time => {
                    let now = world.now();
                    if link.as_ref().is_some_and(|link| link.beats.dead(now)) {
                        self.unlink(&mut link, &mut dial, "the controller fell silent");
                    }
                    let ids = self.core.due(now);
                    self.look_after(ids).await;
                    self.sweep().await;
                }
            }
        }
    }

    fn dial(&self, wait: Duration) -> Pin<Box<dyn Future<Output = Box<link::Linked>> + Send>> {
        let agent = &self.agent;
        Box::pin(link::dial(
            agent.world.clone(),
            agent.config.pace.clone(),
            agent.connector.clone(),
            agent.hello(),
            wait,
        ))
    }

    fn unlink(
        &self,
        link: &mut Option<link::Linked>,
        dial: &mut Option<Pin<Box<dyn Future<Output = Box<link::Linked>> + Send>>>,
        why: &str,
    ) {
        if let Some(link) = link.take() {
            tracing::info!(
                node = self.agent.config.name,
                controller = link.controller,
                "{why}; looking for a controller"
            );
        }
        lock(&self.agent.status).controller = None;
        *dial = Some(self.dial(self.agent.config.pace.redial));
    }

    /// A controller named its era. False if it must not be listened to.
    async fn greeted(&mut self, linked: &link::Linked) -> bool {
        let node = &self.agent.config.name;
        match self.core.welcome(&linked.era) {
            Ok(None) => true,
            Ok(Some(eras)) => match self.agent.disk.keep_eras(&eras).await {
                Ok(()) => {
                    self.core.take_eras(eras);
                    true
                }
                Err(error) => {
                    tracing::error!(node, "the store's new era cannot be kept: {error:?}");
                    false
                }
            },
            Err(reason) => {
                tracing::error!(node, controller = linked.controller, "not listened to: {reason}");
                false
            }
        }
    }

    /// Takes in what came over the link. Orders that came together are written together.
    async fn hear(
        &mut self,
        link: &mut Option<link::Linked>,
        messages: Vec<ToNode>,
    ) -> Result<(), Unkept> {
        let now = self.agent.world.now();
        if let Some(link) = link {
            link.beats.heard(now);
        }
        let mut orders = Vec::new();
        for message in messages {
            if let ToNode::Orders(more) = message {
                orders.extend(more.into_iter().map(|Order::Vm(order)| order));
                continue;
            }
            self.take_orders(std::mem::take(&mut orders)).await?;
            match message {
                ToNode::Orders(_) | ToNode::Welcome { .. } => {}
                ToNode::Refused(reason) => {
                    tracing::error!(node = self.agent.config.name, "refused: {reason}");
                    return Err(Unkept);
                }
                ToNode::Complete => {
                    let (keep, discard, strangers) = self.core.complete(self.agent.world.now());
                    for id in &strangers {
                        self.agent.world.trace(|| format!("{id} is a stranger"));
                    }
                    self.keep_and_take(keep).await?;
                    self.discard(discard).await?;
                    self.look_after(strangers).await;
                }
                ToNode::Beat(number) => {
                    if let Some(sent) = link.as_mut().and_then(|link| link.beats.answered(number)) {
                        lock(&self.agent.status).renewed = Some(sent);
                    }
                }
                ToNode::Forget(ids) => {
                    let tombstones = self.core.forget(&ids, self.agent.world.wall());
                    self.keep_and_take(tombstones).await?;
                    self.look_after(ids).await;
                }
                ToNode::Question(number, question) => {
                    if let Some(link) = link {
                        self.answer(link.sender.clone(), number, question);
                    }
                }
            }
        }
        self.take_orders(orders).await
    }

    async fn take_orders(&mut self, orders: Vec<VmOrder>) -> Result<(), Unkept> {
        if orders.is_empty() {
            return Ok(());
        }
        let (keep, named, refused) = self.core.offer(orders, self.agent.world.wall());
        for (id, reason) in refused {
            self.agent.world.trace(|| format!("{id} refused: {reason}"));
            tracing::warn!(
                node = self.agent.config.name, server.id = %id, "an order is refused: {reason}"
            );
        }
        self.keep_and_take(keep).await?;
        self.look_after(named).await;
        Ok(())
    }

    async fn keep_and_take(&mut self, held: Vec<crate::orders_store::Held>) -> Result<(), Unkept> {
        if held.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.agent.disk.keep(&held).await {
            tracing::error!(node = self.agent.config.name, "orders cannot be kept: {error:?}");
            return Err(Unkept);
        }
        for id in self.core.take(held, self.agent.world.wall()) {
            if let Some(give_up) = self.giving_up.remove(&id) {
                let _ = give_up.send(());
            }
        }
        Ok(())
    }

    async fn discard(&mut self, ids: Vec<VmId>) -> Result<(), Unkept> {
        if ids.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.agent.disk.discard(&ids).await {
            tracing::error!(node = self.agent.config.name, "orders cannot be deleted: {error:?}");
            return Err(Unkept);
        }
        self.core.discarded(&ids);
        Ok(())
    }

    /// Deletes the tombstones that have served.
    async fn sweep(&mut self) {
        let stale = self.core.stale(self.agent.world.wall());
        let _ = self.discard(stale).await;
    }

    /// Chooses and begins what is next for these machines.
    async fn look_after(&mut self, ids: impl IntoIterator<Item = VmId>) {
        for id in ids {
            loop {
                let (now, wall) = (self.agent.world.now(), self.agent.world.wall());
                match self.core.advance(&id, now, wall) {
                    Go::Nothing => break,
                    Go::Begin(step, order) => {
                        self.begin(step, order);
                        break;
                    }
                    Go::Keep(held) => {
                        self.agent.world.trace(|| format!("{id} concludes {:?}", held.outcome));
                        if self.keep_and_take(vec![*held]).await.is_err() {
                            self.core.later(&id, now + Duration::from_secs(5));
                            break;
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, step: Step, order: Arc<VmOrder>) {
        let world = self.agent.world.clone();
        let hypervisor = self.agent.hypervisor.clone();
        let room = match step {
            Step::Prepare => self.slow.clone(),
            _ => self.quick.clone(),
        };
        let id = order.id.clone();
        let (give_up, given_up) = oneshot::channel();
        self.giving_up.insert(id.clone(), give_up);
        let inner = world.clone();
        let work = async move {
            let _room = room.acquire_owned().await;
            inner.breathe().await;
            inner.trace(|| format!("{} {step:?}", order.id));
            let began = inner.now();
            let done = tokio::select! {
                biased;
                Ok(()) = given_up => Ended::Dropped,
                done = carry_out(&*hypervisor, step, &order) => match done {
                    Ok(()) => Ended::Well,
                    Err(error) => Ended::Badly(error),
                },
            };
            tell(&order.id, step, &done, inner.now().since(began));
            inner.breathe().await;
            let seen = hypervisor.look(&order.id);
            inner.trace(|| {
                format!("{} {step:?} ended, {:?}", order.id, seen.as_ref().map(|s| &s.power))
            });
            (done, seen)
        };
        let task = world.spawn("step", work);
        let hypervisor = self.agent.hypervisor.clone();
        self.steps.push(Box::pin(async move {
            let (ended, seen) = match task.await {
                Some(end) => end,
                None => {
                    let error = Error::internal("the driver failed unexpectedly, see the log");
                    (Ended::Badly(error), hypervisor.look(&id))
                }
            };
            (id, step, ended, seen)
        }));
    }

    async fn step_ended(&mut self, id: VmId, step: Step, ended: Ended, seen: Option<SeenVm>) {
        self.giving_up.remove(&id);
        self.core.ended(&id, step, &ended, seen, self.agent.world.now());
        self.look_after([id]).await;
    }

    fn answer(&self, sender: mpsc::Sender<ToController>, number: u64, question: Question) {
        let world = self.agent.world.clone();
        let hypervisor = self.agent.hypervisor.clone();
        let room = self.questions.clone();
        let deadline = self.agent.config.pace.question;
        self.agent.world.spawn("question", async move {
            let work = async {
                let _room = room.acquire_owned().await;
                reply(&*hypervisor, question).await
            };
            let answer = match world.timeout(deadline, work).await {
                Ok(answer) => answer,
                Err(_) => Answer::Failed(format!(
                    "the node found no answer within {} s",
                    deadline.as_secs()
                )),
            };
            let _ = sender.send(ToController::Answer(number, answer)).await;
        });
    }

    /// Sends what is due.
    fn send(&mut self, link: &mut Option<link::Linked>, room: mpsc::OwnedPermit<ToController>) {
        let Some(link) = link else { return };
        if let Some(number) = link.beats.beat(self.agent.world.now()) {
            room.send(ToController::Beat(number));
            return;
        }
        let reports = self.core.reports(self.agent.config.pace.batch);
        for report in &reports {
            self.agent.world.trace(|| format!("{} is {:?}", report.id, report.state));
        }
        if !reports.is_empty() {
            room.send(ToController::Reports(reports.into_iter().map(Report::Vm).collect()));
        }
    }
}

async fn receive(receiver: Option<&mut mpsc::Receiver<ToNode>>) -> Option<ToNode> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// What else has come in already, so that it is written to disk in one go.
fn drain(link: &mut Option<link::Linked>) -> impl Iterator<Item = ToNode> {
    let receiver = link.as_mut().map(|link| &mut link.receiver);
    receiver.into_iter().flat_map(|r| std::iter::from_fn(|| r.try_recv().ok())).take(64)
}

/// Waits for room in the channel; none when it is closed.
async fn room(
    sender: Option<&mpsc::Sender<ToController>>,
) -> Option<mpsc::OwnedPermit<ToController>> {
    match sender {
        Some(sender) => sender.clone().reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

async fn dialled(
    dial: &mut Option<Pin<Box<dyn Future<Output = Box<link::Linked>> + Send>>>,
) -> Box<link::Linked> {
    match dial {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(world: &World, now: Moment, until: Option<Moment>) {
    match until {
        Some(until) => world.sleep(until.since(now)).await,
        None => std::future::pending().await,
    }
}
