//! Resource classes: the standard ones, which are names in the program, and custom ones, which are records.
//!
//! Guards: the record; edges `placement.class.<name>` → provider, made with each inventory of the class,
//! which keep a class in use from being deleted.

pub(crate) mod actions;
mod api;
mod record;

pub(crate) use api::cards;
pub use record::ClassRecord;
pub(crate) use record::is_known;
