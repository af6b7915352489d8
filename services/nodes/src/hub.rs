//! The hub: this controller's links to nodes. Orders go out when the state says so, reports come in,
//! questions are put. It keeps nothing that a new link would not make good.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Map, Result, Set};
use control::Runtime;
use orders::{Answer, ControllerEnd, NodeHello, Question, Report, ToController, ToNode};
use state::{Notice, Session, State};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    NodeRecord, Object, OrderSource,
    actions::{self, Holder},
    presence::PresenceKeeper,
};

/// How the hub behaves.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// A node that sends nothing for so long is cut off.
    pub silence: Duration,
    /// Nodes of a controller that is gone have so long to find another.
    pub grace: Duration,
    /// A question is answered within this time or not at all.
    pub answer_within: Duration,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig {
            silence: Duration::from_secs(40),
            grace: Duration::from_secs(20),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// How questions reach the controller that holds a node.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Puts the question through another controller.
    async fn ask(&self, controller: &str, node: &str, question: Question) -> Result<Answer>;
}

/// This controller's links. Clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    state: State,
    config: HubConfig,
    sources: Mutex<Vec<Arc<dyn OrderSource>>>,
    links: Mutex<Map<Arc<str>, Arc<LinkToNode>>>,
    peers: Mutex<Option<Arc<dyn Peers>>>,
    session: Mutex<Option<Session>>,
    numbers: AtomicU64,
}

struct LinkToNode {
    number: u64,
    sender: mpsc::Sender<ToNode>,
    dirty: Mutex<Dirty>,
    wake: Notify,
    questions: Mutex<Map<u64, oneshot::Sender<Answer>>>,
    /// Set when a newer link of the node, or silence, ended this one.
    over: Notify,
}

#[derive(Default)]
struct Dirty {
    all: bool,
    objects: Set<Arc<str>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders in one message.
const BATCH: usize = 64;

impl Hub {
    /// A hub without links.
    pub fn new(state: &State, config: HubConfig) -> Hub {
        Hub(Arc::new(Inner {
            state: state.clone(),
            config,
            sources: Mutex::default(),
            links: Mutex::default(),
            peers: Mutex::default(),
            session: Mutex::default(),
            numbers: AtomicU64::new(1),
        }))
    }

    /// Adds a service's orders. Before [`Hub::start`].
    pub fn serve(&self, source: Arc<dyn OrderSource>) {
        lock(&self.0.sources).push(source);
    }

    /// How to reach the other controllers.
    pub fn peers(&self, peers: Arc<dyn Peers>) {
        *lock(&self.0.peers) = Some(peers);
    }

    /// Starts to follow the state. While `session` does not certainly live, no node is told that its
    /// lease is renewed.
    pub fn start(&self, runtime: &Runtime, session: Option<Session>) {
        *lock(&self.0.session) = session;
        runtime.start(Arc::new(PresenceKeeper {
            state: self.0.state.clone(),
            grace: self.0.config.grace,
            first_seen: Mutex::default(),
        }));
        let hub = self.clone();
        self.0.state.world().spawn("hub-dispatch", async move { hub.dispatch().await });
    }

    /// The nodes that are linked to this controller.
    pub fn linked(&self) -> Vec<Arc<str>> {
        lock(&self.0.links).keys().cloned().collect()
    }

    /// Cuts a node's link; it dials again if it may.
    pub fn cut(&self, node: &str) {
        if let Some(link) = lock(&self.0.links).get(node) {
            link.over.notify_one();
        }
    }

    /// Puts a question to a node, through whichever controller holds it.
    ///
    /// # Errors
    /// `Unavailable` when the node is away or does not answer in time.
    pub async fn ask(&self, node: &str, question: Question) -> Result<Answer> {
        if let Some(answer) = self.ask_here(node, &question).await? {
            return Ok(answer);
        }
        let snapshot = self.0.state.fresh().await?;
        let held_by = snapshot.get::<NodeRecord>(node).and_then(|n| n.presence.controller.clone());
        let peers = lock(&self.0.peers).clone();
        match (held_by, peers) {
            (Some(controller), Some(peers)) if controller != self.0.state.name() => {
                peers.ask(&controller, node, question).await
            }
            _ => Err(away(node)),
        }
    }

    /// As [`Hub::ask`], for nodes linked here; `None` when it is not. For peers.
    ///
    /// # Errors
    /// `Unavailable` when the node does not answer in time.
    pub async fn ask_here(&self, node: &str, question: &Question) -> Result<Option<Answer>> {
        let Some(link) = lock(&self.0.links).get(node).cloned() else { return Ok(None) };
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&link.questions).insert(number, answer);
        let asked = async {
            link.sender
                .send(ToNode::Question(number, question.clone()))
                .await
                .map_err(|_| away(node))?;
            answered.await.map_err(|_| away(node))
        };
        let result = self.0.state.world().timeout(self.0.config.answer_within, asked).await;
        lock(&link.questions).remove(&number);
        match result {
            Ok(answer) => answer.map(Some),
            Err(_) => Err(Error::unavailable(format!("The node {node} did not answer in time."))),
        }
    }

    /// Takes a node's link in and serves it until it ends.
    pub async fn accept(&self, mut end: ControllerEnd) {
        let Some((hello, link)) = self.welcome(&mut end).await else { return };
        let name: Arc<str> = hello.name.as_str().into();
        let world = self.0.state.world().clone();
        let out = {
            let (hub, link, name) = (self.clone(), link.clone(), name.clone());
            world.spawn("hub-orders", async move { hub.send_orders(&name, &link).await })
        };
        let (reports, to_take) = mpsc::unbounded_channel();
        let taker = {
            let (hub, link, name) = (self.clone(), link.clone(), name.clone());
            world.spawn("hub-reports", async move { hub.take_reports(&name, &link, to_take).await })
        };
        self.read(&name, &link, &mut end.receiver, &reports).await;
        out.abort();
        drop(reports);
        // What was reported before the end still counts.
        taker.await;
        self.farewell(&name, &link).await;
    }

    async fn welcome(&self, end: &mut ControllerEnd) -> Option<(NodeHello, Arc<LinkToNode>)> {
        let world = self.0.state.world();
        let first = world.timeout(self.0.config.answer_within, end.receiver.recv()).await;
        let Ok(Some(ToController::Hello(hello))) = first else { return None };
        let refused = match &end.certified_name {
            Some(certified) if *certified != hello.name => Some(format!(
                "the certificate is of {certified}, not of {}; give the node its own certificate",
                hello.name
            )),
            _ => self.join(&hello).await.err().map(|error| error.to_string()),
        };
        if let Some(why) = refused {
            tracing::warn!(node = hello.name, "a node was refused: {why}");
            // A node that went away needs no answer.
            let _gone = end.sender.send(ToNode::Refused(why)).await;
            return None;
        }
        let link = Arc::new(LinkToNode {
            number: self.0.numbers.fetch_add(1, Ordering::Relaxed),
            sender: end.sender.clone(),
            dirty: Mutex::new(Dirty { all: true, ..Dirty::default() }),
            wake: Notify::new(),
            questions: Mutex::default(),
            over: Notify::new(),
        });
        let older = lock(&self.0.links).insert(hello.name.as_str().into(), link.clone());
        if let Some(older) = older {
            older.over.notify_one();
        }
        let welcome = ToNode::Welcome {
            controller: self.0.state.name().to_owned(),
            era: self.0.state.era().clone(),
        };
        if end.sender.send(welcome).await.is_err() {
            self.farewell(&hello.name, &link).await;
            return None;
        }
        tracing::info!(node = hello.name, "a node is linked");
        Some((hello, link))
    }

    fn holder(&self) -> Holder {
        Holder {
            controller: self.0.state.name().to_owned(),
            incarnation: self.0.state.incarnation().to_owned(),
        }
    }

    async fn join(&self, hello: &NodeHello) -> Result<()> {
        let (hello, holder) = (hello.clone(), self.holder());
        let uuid = self.0.state.world().uuid().to_string();
        self.0
            .state
            .transact_in_lane("nodes", "nodes::join", move |txn| {
                actions::join(txn, &hello, &uuid, &holder)
            })
            .await
    }

    async fn farewell(&self, name: &str, link: &LinkToNode) {
        {
            let mut links = lock(&self.0.links);
            match links.get(name) {
                Some(current) if current.number == link.number => drop(links.remove(name)),
                // A newer link of the node took over.
                _ => return,
            }
        }
        lock(&link.questions).clear();
        tracing::info!(node = name, "a node's link ended");
        let (node, holder) = (name.to_owned(), self.holder());
        let left = self
            .0
            .state
            .transact_in_lane("nodes", "nodes::leave", move |txn| {
                actions::leave(txn, &node, &holder)
            })
            .await;
        if let Err(error) = left {
            // The presence keeper finds it when this controller's session is another.
            tracing::warn!(node = name, "a node's leaving was not written down: {error:?}");
        }
    }

    async fn read(
        &self,
        name: &str,
        link: &LinkToNode,
        receiver: &mut mpsc::Receiver<ToController>,
        reports: &mpsc::UnboundedSender<Report>,
    ) {
        let world = self.0.state.world().clone();
        loop {
            let message = tokio::select! {
                biased;
                () = link.over.notified() => return,
                message = world.timeout(self.0.config.silence, receiver.recv()) => message,
            };
            match message {
                Ok(Some(ToController::Beat(number))) => {
                    let alive = lock(&self.0.session).as_ref().is_none_or(Session::lives);
                    if alive && link.sender.send(ToNode::Beat(number)).await.is_err() {
                        return;
                    }
                }
                Ok(Some(ToController::Reports(seen))) => {
                    for report in seen {
                        if reports.send(report).is_err() {
                            return;
                        }
                    }
                }
                Ok(Some(ToController::Answer(number, answer))) => {
                    if let Some(asker) = lock(&link.questions).remove(&number) {
                        // Who asked may have given up.
                        let _gone = asker.send(answer);
                    }
                }
                Ok(Some(ToController::Hello(_))) => {
                    tracing::warn!(node = name, "a node said hello twice on one link");
                    return;
                }
                Ok(None) => return,
                Err(_) => {
                    tracing::warn!(node = name, "a node fell silent");
                    return;
                }
            }
        }
    }

    /// Reports are taken in order, those that wait together; a failure is tried again, since the node
    /// does not repeat what did not change.
    async fn take_reports(
        &self,
        name: &str,
        link: &LinkToNode,
        mut to_take: mpsc::UnboundedReceiver<Report>,
    ) {
        let sources = lock(&self.0.sources).clone();
        let mut waiting = Vec::new();
        while to_take.recv_many(&mut waiting, BATCH).await > 0 {
            for source in &sources {
                let mut attempt = 0;
                loop {
                    match source.report(name, waiting.clone()).await {
                        Ok(forget) if forget.is_empty() => break,
                        Ok(forget) => {
                            // The link's end is seen by the reader.
                            let _gone = link.sender.send(ToNode::Forget(forget)).await;
                            break;
                        }
                        Err(error) => {
                            tracing::warn!(node = name, "reports were not taken: {error:?}");
                            let wait = Duration::from_millis(50) * (1 << attempt.min(6));
                            self.0.state.world().sleep(wait).await;
                            attempt += 1;
                            if attempt > 8 {
                                // The next link brings everything again.
                                link.over.notify_one();
                                return;
                            }
                        }
                    }
                }
            }
            waiting.clear();
        }
    }

    async fn send_orders(&self, name: &Arc<str>, link: &LinkToNode) {
        let sources = lock(&self.0.sources).clone();
        let mut complete = false;
        loop {
            let dirty = std::mem::take(&mut *lock(&link.dirty));
            let mut unread = false;
            let snapshot = self.0.state.known();
            for source in &sources {
                let objects: Vec<_> = if dirty.all {
                    source.objects(&snapshot, name)
                } else {
                    dirty.objects.iter().cloned().collect()
                };
                for some in objects.chunks(BATCH) {
                    let mut orders = Vec::new();
                    for id in some {
                        let object = Object { node: name.clone(), id: id.clone() };
                        match source.order(&snapshot, &object).await {
                            Ok(order) => orders.extend(order),
                            Err(error) => {
                                tracing::warn!(
                                    node = &**name,
                                    object = &**id,
                                    "no order: {error:?}"
                                );
                                lock(&link.dirty).objects.insert(id.clone());
                                unread = true;
                            }
                        }
                    }
                    if !orders.is_empty() && link.sender.send(ToNode::Orders(orders)).await.is_err()
                    {
                        return;
                    }
                }
            }
            if dirty.all && !complete && unread {
                // A machine whose order could not be read is no stranger: all of them again.
                lock(&link.dirty).all = true;
            } else if dirty.all && !complete {
                complete = true;
                if link.sender.send(ToNode::Complete).await.is_err() {
                    return;
                }
            }
            if !lock(&link.dirty).objects.is_empty() {
                // Something could not be read just now.
                self.0.state.world().sleep(Duration::from_millis(100)).await;
                continue;
            }
            link.wake.notified().await;
        }
    }

    /// Marks what changed for the nodes that are linked here.
    async fn dispatch(&self) {
        let mut notices = self.0.state.subscribe();
        let sources = lock(&self.0.sources).clone();
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Reset => {
                    for link in lock(&self.0.links).values() {
                        lock(&link.dirty).all = true;
                        link.wake.notify_one();
                    }
                }
                Notice::Changed(changed) => {
                    let snapshot = self.0.state.known();
                    for (table, id) in changed.iter() {
                        for object in sources.iter().flat_map(|s| s.touched(&snapshot, table, id)) {
                            if let Some(link) = lock(&self.0.links).get(&object.node) {
                                lock(&link.dirty).objects.insert(object.id);
                                link.wake.notify_one();
                            }
                        }
                    }
                }
            }
        }
    }
}

fn away(node: &str) -> Error {
    Error::unavailable(format!("The node {node} is not connected to the cloud at the moment."))
        .with_retry_after(Duration::from_secs(5))
}
