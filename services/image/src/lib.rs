//! The Image API, as Glance v2 has it. One folder for each resource; [`service`] lists them.
//!
//! Others call [`images::find_visible`] and [`images::bootable`] inside their own transactions, and read
//! bytes by [`Images`], which is an [`orders::ImageSource`].

#![recursion_limit = "256"]

mod context;
mod data;
mod discovery;
pub mod images;
pub mod imports;
pub mod inspect;
mod members;
mod schemas;
pub mod store;

#[cfg(test)]
mod testing;

pub use context::{Images, Options};

use state::Schema;
use web::{Envelope, Service};

/// The tables of this crate.
pub fn schema(schema: Schema) -> Schema {
    schema
        .table::<images::ImageRecord>()
        .table::<images::GarbageRecord>()
        .table::<imports::TaskRecord>()
}

/// The service, to be mounted. Its reconcilers are started apart: [`Images::reconcilers`].
pub fn service(images: Images) -> Service<Images> {
    Service::new("image", "/image/v2", Envelope::Glance, images)
        .rules(images::access::BASE)
        .discovery(discovery::versions())
        .room(images::cards())
        .room(data::cards())
        .room(members::cards())
        .room(imports::cards())
        .room(schemas::cards())
        .room(discovery::cards())
}
