//! The link between a node and a controller: two streams of messages. Carriers (in-process, gRPC) make
//! the same pair of ends; what they lose, a new connection's full state makes good.

use async_trait::async_trait;
use base::{Era, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{Answer, NodeHello, Question, VmId, VmOrder, VmReport};

/// One object's wanted state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A virtual machine.
    Vm(VmOrder),
}

/// One object's seen state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A virtual machine.
    Vm(VmReport),
}

/// From the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToController {
    /// First, once.
    Hello(NodeHello),
    /// Still here. The number comes back in [`ToNode::Beat`].
    Beat(u64),
    /// What changed, or all of it after a (re)connection.
    Reports(Vec<Report>),
    /// To the question of that number.
    Answer(u64, Answer),
}

/// To the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToNode {
    /// First, once: the hello was taken.
    Welcome {
        /// The controller's name.
        controller: String,
        /// The store's era; orders of another are refused.
        era: Era,
    },
    /// First, instead: the hello was refused, and why.
    Refused(String),
    /// Orders, each with a permit to start: what is read back from the node's disk after a boot has none.
    Orders(Vec<Order>),
    /// All orders of this node have now been sent once: a machine without one is a stranger.
    Complete,
    /// The answer to a beat; renews the node's lease, counted from when the beat was sent.
    Beat(u64),
    /// These reports of [`crate::VmState::Gone`] were written down: forget the machines.
    Forget(Vec<VmId>),
    /// Answer with the same number.
    Question(u64, Question),
}

/// The node's end of a link. A closed channel means the link is gone.
pub struct NodeEnd {
    /// To the controller.
    pub sender: mpsc::Sender<ToController>,
    /// From the controller.
    pub receiver: mpsc::Receiver<ToNode>,
}

/// The controller's end of a link.
pub struct ControllerEnd {
    /// The peer's name by its certificate; none on an in-process link.
    pub certified_name: Option<String>,
    /// To the node.
    pub sender: mpsc::Sender<ToNode>,
    /// From the node.
    pub receiver: mpsc::Receiver<ToController>,
}

/// A link inside one process.
pub fn link() -> (NodeEnd, ControllerEnd) {
    let (up, from_node) = mpsc::channel(64);
    let (down, from_controller) = mpsc::channel(64);
    (
        NodeEnd { sender: up, receiver: from_controller },
        ControllerEnd { certified_name: None, sender: down, receiver: from_node },
    )
}

/// How a node reaches some controller. Dialling again, with jitter, is the agent's work.
#[async_trait]
pub trait Connector: Send + Sync {
    /// A new link to a controller that can be reached.
    async fn connect(&self) -> Result<NodeEnd>;
}
