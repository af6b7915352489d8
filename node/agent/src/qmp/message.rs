//! One line from QEMU. Reading never fails: what cannot be understood is [`Message::Unknown`].

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The first line of a session.
    Greeting(Version),
    /// The answer to the command of this number; without one it is the answer to none of ours.
    Return(Option<u64>, Value),
    /// That command failed: QEMU's class of errors and its sentence.
    Error(Option<u64>, String, String),
    /// Something happened.
    Event(Event),
    /// Not understood.
    Unknown,
}

/// Something that happened in QEMU.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Such as `SHUTDOWN`.
    pub name: String,
    /// What else it says; empty when nothing.
    pub data: Map<String, Value>,
    /// When, by the host's wall clock, in microseconds since 1970; 0 if it does not say.
    pub micros: u64,
}

impl Event {
    /// A text of its data.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }

    /// A flag of its data; false when it is not there.
    pub fn flag(&self, key: &str) -> bool {
        self.data.get(key).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// QEMU's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Version {
    /// 7 in 7.2.19.
    pub major: u64,
    /// 2 in 7.2.19.
    pub minor: u64,
    /// 19 in 7.2.19.
    pub micro: u64,
}

impl Message {
    /// Reads a line.
    pub fn read(line: &[u8]) -> Message {
        let Ok(Value::Object(mut line)) = serde_json::from_slice::<Value>(line) else {
            return Message::Unknown;
        };
        if let Some(Value::String(name)) = line.remove("event") {
            let data = match line.remove("data") {
                Some(Value::Object(data)) => data,
                _ => Map::new(),
            };
            let stamp = |key: &str| {
                line.get("timestamp").and_then(|stamp| stamp.get(key)?.as_u64()).unwrap_or(0)
            };
            let micros =
                stamp("seconds").saturating_mul(1_000_000).saturating_add(stamp("microseconds"));
            return Message::Event(Event { name, data, micros });
        }
        let id = line.get("id").and_then(Value::as_u64);
        if let Some(value) = line.remove("return") {
            return Message::Return(id, value);
        }
        if let Some(error) = line.get("error") {
            let text =
                |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned();
            return Message::Error(id, text("class"), text("desc"));
        }
        if let Some(greeting) = line.get("QMP") {
            let version = greeting.pointer("/version/qemu").cloned().unwrap_or(Value::Null);
            return Message::Greeting(Version::deserialize(version).unwrap_or_default());
        }
        Message::Unknown
    }
}
