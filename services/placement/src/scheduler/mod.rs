//! The scheduler: pure functions from a request and the hosts to the host that a machine shall go to, or to
//! what each host refused it for. No clock, no randomness, no store: ties are broken by a hash of the
//! request's seed, and the order in which the hosts come does not matter.

mod choose;
mod filters;
mod host;
mod pool;
mod refusal;
mod request;
mod specs;
#[cfg(test)]
mod tests;

pub use choose::choose;
pub use host::{Facts, Host, Metadata};
pub use pool::{Candidate, Pool};
pub use refusal::{Reason, Refusal, no_valid_host};
pub use request::{GroupPolicy, GroupRule, Request, flavor_resources};
