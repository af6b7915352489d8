//! Questions that a controller puts to a node: answered from the node's own eyes, never stored.

use serde::{Deserialize, Serialize};

use crate::VmId;

/// A question about one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The text of the serial console.
    ConsoleText {
        /// Whose.
        vm: VmId,
        /// The last so many lines; none: all that is kept.
        lines: Option<u64>,
    },
    /// Counters of a running machine, as a JSON object.
    Diagnostics {
        /// Whose.
        vm: VmId,
    },
}

/// The node's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Text.
    Text(String),
    /// JSON.
    Json(serde_json::Value),
    /// There is no such thing here.
    NotHere,
    /// It could not be found out, and why.
    Failed(String),
}
