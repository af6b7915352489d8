//! The test's side of the link: it orders, waits for reports, and asks questions.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base::{Era, Map, World};
use orders::{
    Answer, NodeHello, Order, Question, Report, ToController, ToNode, VmId, VmOrder, VmReport,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, unix::OwnedWriteHalf},
};

use crate::node::SOCKET;

/// How long anything may take on a busy machine without virtualization.
pub const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Default)]
struct Seen {
    hello: Option<NodeHello>,
    links: u64,
    reports: Map<VmId, VmReport>,
    answers: Map<u64, Answer>,
    asked: u64,
}

/// A controller of one node.
pub struct Controller {
    world: World,
    seen: Arc<Mutex<Seen>>,
    orders: Arc<Mutex<Map<VmId, VmOrder>>>,
    link: Arc<tokio::sync::Mutex<Option<OwnedWriteHalf>>>,
}

impl Controller {
    /// Waits for the node of this directory to dial.
    pub fn listen(world: &World, directory: &Path) -> Controller {
        let listener = UnixListener::bind(directory.join(SOCKET)).expect("a socket");
        let controller = Controller {
            world: world.clone(),
            seen: Arc::default(),
            orders: Arc::default(),
            link: Arc::default(),
        };
        let (seen, orders, link) =
            (controller.seen.clone(), controller.orders.clone(), controller.link.clone());
        world.spawn("controller", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (read, write) = stream.into_split();
                *link.lock().await = Some(write);
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let message = serde_json::from_str(&line).expect("a message");
                    take(message, &seen, &orders, &link).await;
                }
            }
        });
        controller
    }

    /// Orders, now and after each reconnection.
    pub async fn order(&self, order: &VmOrder) {
        self.orders.lock().expect("lock").insert(order.id.clone(), order.clone());
        send(&self.link, ToNode::Orders(vec![Order::Vm(order.clone())])).await;
    }

    /// Stops ordering a machine that was reported as gone.
    pub async fn forget(&self, id: &VmId) {
        self.orders.lock().expect("lock").remove(id);
        send(&self.link, ToNode::Forget(vec![id.clone()])).await;
    }

    /// How often the node has dialled.
    pub fn links(&self) -> u64 {
        self.seen.lock().expect("lock").links
    }

    /// Forgets what was reported, so that only news counts.
    pub fn look_away(&self) {
        self.seen.lock().expect("lock").reports.clear();
    }

    /// Waits for a report.
    pub async fn wait(
        &self,
        id: &VmId,
        what: &str,
        reached: impl Fn(&VmReport) -> bool,
    ) -> VmReport {
        let end = self.world.now() + PATIENCE;
        loop {
            let report = self.seen.lock().expect("lock").reports.get(id).cloned();
            if let Some(report) = report.clone().filter(&reached) {
                return report;
            }
            assert!(self.world.now() < end, "waited for {what}, saw {report:?}");
            self.world.sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the node has dialled that often.
    pub async fn linked(&self, times: u64) -> NodeHello {
        let end = self.world.now() + PATIENCE;
        loop {
            let hello = self.seen.lock().expect("lock").hello.clone();
            if let Some(hello) = hello.filter(|_| self.links() >= times) {
                return hello;
            }
            assert!(self.world.now() < end, "the node does not dial");
            self.world.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks a question.
    pub async fn ask(&self, question: Question) -> Answer {
        let number = {
            let mut seen = self.seen.lock().expect("lock");
            seen.asked += 1;
            seen.asked
        };
        send(&self.link, ToNode::Question(number, question)).await;
        let end = self.world.now() + PATIENCE;
        loop {
            if let Some(answer) = self.seen.lock().expect("lock").answers.remove(&number) {
                return answer;
            }
            assert!(self.world.now() < end, "no answer");
            self.world.sleep(Duration::from_millis(10)).await;
        }
    }

    /// The console's text.
    pub async fn console(&self, id: &VmId) -> String {
        match self.ask(Question::ConsoleText { vm: id.clone(), lines: None }).await {
            Answer::Text(text) => text,
            other => panic!("no console: {other:?}"),
        }
    }

    /// Waits until the console shows a text so many times.
    pub async fn console_shows(&self, id: &VmId, what: &str, times: usize) -> String {
        let end = self.world.now() + PATIENCE;
        loop {
            let text = self.console(id).await;
            if text.matches(what).count() >= times {
                return text;
            }
            assert!(self.world.now() < end, "waited for {times} of {what:?} in {text}");
            self.world.sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn take(
    message: ToController,
    seen: &Mutex<Seen>,
    orders: &Mutex<Map<VmId, VmOrder>>,
    link: &tokio::sync::Mutex<Option<OwnedWriteHalf>>,
) {
    match message {
        ToController::Hello(hello) => {
            {
                let mut seen = seen.lock().expect("lock");
                seen.hello = Some(hello);
                seen.links += 1;
            }
            let era = Era("era".into());
            send(link, ToNode::Welcome { controller: "test".to_owned(), era }).await;
            let all = orders.lock().expect("lock").values().cloned().map(Order::Vm).collect();
            send(link, ToNode::Orders(all)).await;
            send(link, ToNode::Complete).await;
        }
        ToController::Beat(number) => send(link, ToNode::Beat(number)).await,
        ToController::Reports(reports) => {
            let mut seen = seen.lock().expect("lock");
            for Report::Vm(report) in reports {
                seen.reports.insert(report.id.clone(), report);
            }
        }
        ToController::Answer(number, answer) => {
            seen.lock().expect("lock").answers.insert(number, answer);
        }
    }
}

async fn send(link: &tokio::sync::Mutex<Option<OwnedWriteHalf>>, message: ToNode) {
    let line = serde_json::to_string(&message).expect("JSON") + "\n";
    if let Some(link) = &mut *link.lock().await {
        // The node may be dead: it is told again when it dials.
        let _ = link.write_all(line.as_bytes()).await;
    }
}
