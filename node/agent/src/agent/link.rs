//! The node's side of a link: dialling with jittered back-off, the greeting, and the beats by which
//! both sides know that the other lives.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use base::{Era, Moment, World};
use orders::{Connector, NodeEnd, NodeHello, ToController, ToNode};
use tokio::sync::mpsc;

use super::Pace;

/// A link whose greeting went well.
pub(super) struct Linked {
    pub controller: String,
    pub era: Era,
    pub sender: mpsc::Sender<ToController>,
    pub receiver: mpsc::Receiver<ToNode>,
    pub beats: Beats,
}

/// Dials until some controller welcomes this node. `spread` delays the first attempt by up to that
/// much, so that the nodes of a dead controller do not all come at once.
pub(super) async fn dial(
    world: World,
    pace: Arc<Pace>,
    connector: Arc<dyn Connector>,
    hello: NodeHello,
    spread: Duration,
) -> Box<Linked> {
    world.sleep(world.jitter(spread)).await;
    let mut failures: u32 = 0;
    loop {
        let reason = match greet(&world, &pace, &*connector, &hello).await {
            Ok(linked) => return Box::new(linked),
            Err(reason) => reason,
        };
        // Said at first and then ever more rarely: a controller may be away for a night.
        if failures.is_power_of_two() || failures == 0 {
            tracing::info!(node = hello.name, "no controller serves this node: {reason}");
        }
        let most = pace.redial.saturating_mul(1 << failures.min(16)).min(pace.redial_most);
        failures = failures.saturating_add(1);
        world.sleep(most / 2 + world.jitter(most)).await;
    }
}

async fn greet(
    world: &World,
    pace: &Arc<Pace>,
    connector: &dyn Connector,
    hello: &NodeHello,
) -> Result<Linked, String> {
    let greeting = async {
        let NodeEnd { sender, mut receiver } =
            connector.connect().await.map_err(|error| error.message().to_owned())?;
        let gone = "the controller closed the link";
        sender.send(ToController::Hello(hello.clone())).await.map_err(|_| gone)?;
        match receiver.recv().await {
            Some(ToNode::Welcome { controller, era }) => {
                let beats = Beats::new(world.now(), pace.clone());
                Ok(Linked { controller, era, sender, receiver, beats })
            }
            Some(ToNode::Refused(reason)) => Err(format!("refused: {reason}")),
            Some(other) => Err(format!("the controller greeted with {other:?}")),
            None => Err(gone.to_owned()),
        }
    };
    match world.timeout(pace.greeting, greeting).await {
        Ok(greeted) => greeted,
        Err(elapsed) => Err(elapsed.to_string()),
    }
}

/// The beats of one link.
pub(super) struct Beats {
    pace: Arc<Pace>,
    number: u64,
    next: Moment,
    heard: Moment,
    /// Sent and not answered yet; the oldest first.
    open: VecDeque<(u64, Moment)>,
}

impl Beats {
    fn new(now: Moment, pace: Arc<Pace>) -> Beats {
        Beats { pace, number: 0, next: now, heard: now, open: VecDeque::new() }
    }

    /// When there is something to do: a beat, or to find the controller dead. A beat that is due
    /// already waits for room in the channel, not for a moment.
    pub fn next(&self, now: Moment) -> Moment {
        let dead = self.heard + self.pace.silence;
        if self.due(now) { dead } else { self.next.min(dead) }
    }

    /// Whether a beat is due.
    pub fn due(&self, now: Moment) -> bool {
        self.next <= now
    }

    /// The number of the beat to send now, if one is due.
    pub fn beat(&mut self, now: Moment) -> Option<u64> {
        if !self.due(now) {
            return None;
        }
        self.number += 1;
        self.next = now + self.pace.beat;
        self.open.push_back((self.number, now));
        if self.open.len() > 16 {
            self.open.pop_front();
        }
        Some(self.number)
    }

    /// The controller said something.
    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// A beat came back: when it was sent.
    pub fn answered(&mut self, number: u64) -> Option<Moment> {
        let at = self.open.iter().position(|(sent, _)| *sent == number)?;
        let (_, moment) = self.open.drain(..=at).next_back()?;
        Some(moment)
    }

    /// Whether the controller was silent for too long.
    pub fn dead(&self, now: Moment) -> bool {
        self.heard + self.pace.silence <= now
    }
}
