//! A custom resource class. Its id in the table is its name.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Record, Scope};

use crate::{Look, standard};

/// A custom resource class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRecord {
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for ClassRecord {
    const TABLE: &'static str = "placement.classes";
    const SCOPE: Scope = Scope::Cell;
}

/// Whether there is such a class.
pub(crate) fn is_known(from: &impl Look, name: &str) -> bool {
    standard::is_class(name) || from.look::<ClassRecord>(name).is_some()
}

/// The parent's name in edges of those who have inventory of a class.
pub(super) fn edge(name: &str) -> String {
    format!("placement.class.{name}")
}
