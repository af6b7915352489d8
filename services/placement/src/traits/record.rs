//! A custom trait. Its id in the table is its name.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Record, Scope};

use crate::{Look, standard};

/// A custom trait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraitRecord {
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for TraitRecord {
    const TABLE: &'static str = "placement.traits";
    const SCOPE: Scope = Scope::Cell;
}

/// Whether there is such a trait.
pub(crate) fn is_known(from: &impl Look, name: &str) -> bool {
    standard::is_trait(name) || from.look::<TraitRecord>(name).is_some()
}

/// The first of these names that no trait has is the error.
pub(crate) fn all_known<'n>(
    from: &impl Look,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<(), &'n str> {
    names.into_iter().find(|name| !is_known(from, name)).map_or(Ok(()), Err)
}

/// The parent's name in edges of those who have a trait.
pub(super) fn edge(name: &str) -> String {
    format!("placement.trait.{name}")
}
