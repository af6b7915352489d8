//! `/domains/{id}/config`: options of a domain's user directory. As with Keystone's defaults they are
//! kept and have no effect: this cloud keeps its users itself.
//!
//! ```text
//! there -> deleted
//! ```
//! Guards: writing one reads its domain as alive; its id is the domain's.

pub(crate) mod api;
pub(crate) mod known;
pub mod record;
