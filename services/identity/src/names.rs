//! Names that are unique: each is a claim in the store, so that two cannot take one at the same time.
//! Looking a thing up by its name is looking at the claim.

use sha2::{Digest, Sha256};
use state::{Scope, Snapshot, Txn};

/// A kind of things with unique names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space(&'static str);

/// Domains, in the whole cloud.
pub(crate) const DOMAINS: Space = Space("identity.domain-name");
/// Projects, in their domain.
pub(crate) const PROJECTS: Space = Space("identity.project-name");
/// Users, in their domain.
pub(crate) const USERS: Space = Space("identity.user-name");
/// Groups, in their domain.
pub(crate) const GROUPS: Space = Space("identity.group-name");
/// Roles, in their domain or (global ones) in the whole cloud. Case does not count: policies compare
/// role names without it.
pub(crate) const ROLES: Space = Space("identity.role-name");
/// Application credentials, of their user.
pub(crate) const APP_CREDS: Space = Space("identity.app-cred-name");

impl Space {
    fn value(self, within: &str, name: &str) -> String {
        let folded;
        let name = if self.0 == ROLES.0 {
            folded = name.to_lowercase();
            &folded
        } else {
            name
        };
        // A key is printable and short; a name need not be.
        let plain = name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if plain {
            return format!("{within}/={name}");
        }
        let mut digest = String::with_capacity(64);
        for byte in Sha256::digest(name.as_bytes()) {
            digest.push_str(&format!("{byte:02x}"));
        }
        format!("{within}/#{digest}")
    }

    /// Takes a name for `owner`; false when another has it.
    pub(crate) fn take(self, txn: &mut Txn, within: &str, name: &str, owner: &str) -> bool {
        txn.claim(Scope::Global, self.0, &self.value(within, name), owner).is_ok()
    }

    /// Gives a name up.
    pub(crate) fn release(self, txn: &mut Txn, within: &str, name: &str, owner: &str) {
        txn.release(Scope::Global, self.0, &self.value(within, name), owner);
    }

    /// Who has a name, with what this transaction has done so far; the answer holds at the commit.
    pub(crate) fn holder(self, txn: &mut Txn, within: &str, name: &str) -> Option<String> {
        txn.claimed(Scope::Global, self.0, &self.value(within, name))
    }

    /// Who has a name.
    pub(crate) fn owner(self, snapshot: &Snapshot, within: &str, name: &str) -> Option<String> {
        snapshot.claimed(Scope::Global, self.0, &self.value(within, name))
    }
}
