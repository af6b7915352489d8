//! How much one port bears before it says no.

use std::time::Duration;

/// How long a body may stand still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The limits of a router.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests at work at once, streams included; more are answered with 503.
    pub concurrent: usize,
    /// Longest path and query; more is answered with 414.
    pub uri: usize,
    /// How long a handler of a whole body may take; then 503. A change goes on and may still be made.
    pub handler: Duration,
    /// How long a body may take to arrive, or a streamed one may stand still.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            concurrent: 4096,
            uri: 16 * 1024,
            handler: Duration::from_secs(60),
            body: PATIENCE,
        }
    }
}
