//! Trusts (OS-TRUST): a user lets another one use some of its roles in a project.
//!
//! ```text
//! there -> (time, uses) ended -> deleted (trusts made from it go too)
//! ```
//! Guards: making one reads both users, the project and the roles as alive; a use is counted in the
//! trust's own record.

pub(crate) mod actions;
pub(crate) mod api;
pub mod record;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use base::Result;
use state::{Entry, Snapshot};

use crate::{
    tokens::{format::Token, resolve},
    words,
};
use record::Trust;

/// Whether a token may be made from a trust.
pub(crate) fn check_use(snapshot: &Snapshot, trust: &Entry<Trust>, token: &Token) -> Result<()> {
    if trust.trustee_id != token.user_id {
        return Err(words::forbidden());
    }
    if trust.remaining_uses == Some(0) {
        return Err(words::refused(format!("No remaining uses for trust: {}.", trust.id)));
    }
    if trust.project_id.is_some() && resolve::roles(snapshot, token, None, Some(trust)).is_empty() {
        return Err(words::forbidden());
    }
    Ok(())
}
