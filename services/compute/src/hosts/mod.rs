//! Hosts, as clients before 2.43 know them: the services again, and what a node has.
//!
//! No state of its own; the guard of switching a node on and off is its record.

mod api;

pub(crate) use api::cards;
