//! Ending tokens before their time, inside the transaction that is the reason for it.

use base::Result;
use state::{Snapshot, Txn};

use super::{format::Token, record::Revocation};
use crate::config::Config;

/// Whose tokens end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    /// All of a user: its password was changed, it was disabled.
    User(&'a str),
    /// All for a project: it was disabled.
    Project(&'a str),
    /// All for a domain and of its users: it was disabled.
    Domain(&'a str),
    /// One token.
    Token(&'a str),
}

impl Of<'_> {
    fn id(self) -> String {
        match self {
            Of::User(id) => format!("user:{id}"),
            Of::Project(id) => format!("project:{id}"),
            Of::Domain(id) => format!("domain:{id}"),
            Of::Token(id) => format!("token:{id}"),
        }
    }
}

/// Ends them as of this transaction's commit.
pub(crate) fn revoke(txn: &mut Txn, config: &Config, of: Of<'_>) -> Result<()> {
    let until = txn.now().plus(config.token_lifetime).plus(config.token_expired_window);
    txn.put(&of.id(), Revocation { until })
}

/// Whether all tokens of these, given at that revision, are ended.
pub(crate) fn is_revoked(snapshot: &Snapshot, revision: u64, of: Of<'_>) -> bool {
    snapshot.get::<Revocation>(&of.id()).is_some_and(|ended| ended.modified.0 > revision)
}

/// Whether this one token was ended.
pub(crate) fn is_ended(snapshot: &Snapshot, token: &Token) -> bool {
    snapshot.get::<Revocation>(&Of::Token(&token.audit_id()).id()).is_some()
}
