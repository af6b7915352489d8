//! A task's record.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{Index, Record, Scope};

/// A task, found by its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// How it stands.
    pub status: TaskStatus,
    /// The image that it is about.
    pub image: String,
    /// The project that asked for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The user who asked for it.
    pub user: String,
    /// The request that asked for it.
    pub request: String,
    /// What was asked for.
    pub input: Value,
    /// Why it failed.
    #[serde(default)]
    pub message: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it is forgotten, once it has ended.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It will be carried out.
    Pending,
    /// It is done.
    Success,
    /// It cannot be done.
    Failure,
}

impl TaskStatus {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TaskStatus::Pending => "pending",
            TaskStatus::Success => "success",
            TaskStatus::Failure => "failure",
        }
    }
}

impl Record for TaskRecord {
    const TABLE: &'static str = "image.tasks";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Self>] =
        &[Index { name: "image", keys: |task, _| vec![task.image.clone()] }];
}
