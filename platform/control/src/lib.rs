//! The reconciler runtime: wakes keys on changes and by a period, runs them with a bound, backs off on
//! errors, shares keys between controllers, shows what each does.

mod runtime;

pub use runtime::{Next, Reconciler, ReconcilerStatus, Runtime};
