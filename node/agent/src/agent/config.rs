//! What an agent is told at its start: who it is, and its rhythm.

use std::{sync::Arc, time::Duration};

use orders::Inventory;

use super::Manners;

/// What an agent is told at its start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The node's name, as in its certificate.
    pub name: String,
    /// Where other nodes reach it.
    pub address: String,
    /// Changes at each boot of the host: see [`crate::boot_id`].
    pub boot: Arc<str>,
    /// This program's version.
    pub version: String,
    /// The newest level of records and messages that this program understands.
    pub level: u32,
    /// What the node has.
    pub inventory: Inventory,
    /// How patient to be with machines. Shared by the nodes of a simulated cloud.
    pub manners: Arc<Manners>,
    /// The rhythm of the link and how much is done at once.
    pub pace: Arc<Pace>,
}

/// The rhythm of the link and how much is done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often the node says that it is here.
    pub beat: Duration,
    /// A controller that says nothing for this long is taken for dead.
    pub silence: Duration,
    /// A state that may be passing is reported when it lasts this long.
    pub hold: Duration,
    /// The first wait between two attempts to reach a controller; doubled each time, jittered.
    pub redial: Duration,
    /// The longest such wait.
    pub redial_most: Duration,
    /// How long a greeting may take.
    pub greeting: Duration,
    /// How long a question may take.
    pub question: Duration,
    /// Questions answered at once.
    pub questions: usize,
    /// Steps carried out at once, beside preparations.
    pub steps: usize,
    /// Preparations (fetching images, making disks) carried out at once.
    pub preparations: usize,
    /// Reports in one message.
    pub batch: usize,
    /// How long an order that was carried out to its end is remembered, to refuse older ones.
    pub remember_forgotten: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            beat: Duration::from_secs(10),
            silence: Duration::from_secs(35),
            hold: Duration::from_millis(100),
            redial: Duration::from_millis(200),
            redial_most: Duration::from_secs(5),
            greeting: Duration::from_secs(10),
            question: Duration::from_secs(10),
            questions: 32,
            steps: 16,
            preparations: 4,
            batch: 512,
            remember_forgotten: Duration::from_secs(300),
        }
    }
}
