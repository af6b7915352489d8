//! What an operator may choose about identity. Defaults are Keystone's.

use std::time::Duration;

/// Settings of the identity service.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a token lives.
    pub token_lifetime: Duration,
    /// How long after its end a service may still ask about a token (`allow_expired`).
    pub token_expired_window: Duration,
    /// A new key for tokens is made this often.
    pub token_key_lifetime: Duration,
    /// What a password hash costs.
    pub hash_cost: HashCost,
    /// Hashes computed at once.
    pub hashes_at_once: usize,
    /// Longest password accepted, in bytes; longer ones are refused, never cut.
    pub password_max_length: usize,
    /// How deep projects may nest below their domain.
    pub project_tree_depth: usize,
    /// Rules about passwords and log-ins; all off by default.
    pub compliance: Compliance,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            token_lifetime: Duration::from_secs(3600),
            token_expired_window: Duration::from_secs(2 * 24 * 3600),
            token_key_lifetime: Duration::from_secs(24 * 3600),
            hash_cost: HashCost::default(),
            hashes_at_once: 2,
            password_max_length: 4096,
            project_tree_depth: 5,
            compliance: Compliance::default(),
        }
    }
}

impl Config {
    /// With hashes that cost nothing: for tests and simulated clouds only.
    #[must_use]
    pub fn with_cheap_hashes(mut self) -> Config {
        self.hash_cost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
        self
    }
}

/// Argon2id's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB; at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for HashCost {
    /// OWASP's: 19 MiB, two passes, one lane.
    fn default() -> HashCost {
        HashCost { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// Keystone's `[security_compliance]`.
#[derive(Clone, Debug)]
pub struct Compliance {
    /// So many wrong passwords lock the account; none: never.
    pub lockout_failures: Option<u32>,
    /// For so long.
    pub lockout_duration: Duration,
    /// A password ends after so many days; none: never.
    pub password_expires_days: Option<u32>,
    /// A new password must differ from so many last ones, itself included; 0: from none.
    pub unique_last_passwords: u32,
    /// A new password stays for so many days before its user may change it again.
    pub password_minimum_age_days: u32,
    /// A password set by somebody else must be changed at the first use.
    pub change_upon_first_use: bool,
}

impl Default for Compliance {
    fn default() -> Compliance {
        Compliance {
            lockout_failures: None,
            lockout_duration: Duration::from_secs(1800),
            password_expires_days: None,
            unique_last_passwords: 0,
            password_minimum_age_days: 0,
            change_upon_first_use: false,
        }
    }
}
