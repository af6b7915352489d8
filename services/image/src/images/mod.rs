//! Images: what is known about a disk's bytes, who owns them and who sees them.
//!
//! ```text
//!            PUT file                    bytes there, looked at
//!  queued ────────────▶ saving ───────────────────────────────────▶ active ◀──▶ deactivated
//!    ▲ │                  │ broken off, refused, controller dead
//!    │ │                  ▼
//!    │ │                queued
//!    │ │ PUT stage                     POST import               looked at
//!    │ └──────────▶ uploading ────────────────────▶ importing ──────────────▶ active
//!    └───────────────────┴ broken off                   └ refused ▶ queued
//! ```
//! Each can be deleted at any time (unless protected): the record goes at once, its bytes are left to a
//! reconciler by a garbage record that is written in the same transaction.
//!
//! Guards: the record itself. Members, tags and properties are within it; an upload writes its own mark
//! into it at the start and ends only while that mark stands.

pub mod access;
pub mod actions;
mod api;
mod list;
mod patch;
mod reconcile;
mod record;
mod wire;

use orders::ImageRef;
use state::{Entry, Snapshot};

pub use access::Viewer;
pub(crate) use api::{add_links, cards};
pub use reconcile::ImageKeeper;
pub use record::{
    Data, GarbageRecord, ImageRecord, Member, MemberStatus, Status, Upload, Visibility,
};
pub(crate) use wire::{check_amounts, time};

use base::{Error, Result};

/// The image, if the viewer sees it.
///
/// # Errors
/// `NotFound` in Glance's words, also when it is there but not for this viewer.
pub fn find_visible(
    snapshot: &Snapshot,
    viewer: &Viewer<'_>,
    id: &str,
) -> Result<Entry<ImageRecord>> {
    match snapshot.find::<ImageRecord>(id)? {
        Some(image) if viewer.sees(&image) => Ok(image),
        _ => Err(access::not_found(id)),
    }
}

/// What a node needs to know of an image to run a machine from it.
///
/// # Errors
/// `BadRequest` when a machine cannot be made of it, and why. Visibility is not looked at.
pub fn bootable(id: &str, image: &ImageRecord) -> Result<ImageRef> {
    let data = match (image.status, &image.data) {
        (Status::Active, Some(data)) => data,
        _ => return Err(Error::bad_request(format!("Image {id} is not active."))),
    };
    let format = image.disk_format.as_deref().unwrap_or_default();
    if !data.inspected {
        return Err(Error::bad_request(format!(
            "Image {id} is unacceptable: its content was not recognised as a disk in the format {format}."
        )));
    }
    Ok(ImageRef {
        id: id.to_owned(),
        size: data.size,
        sha512: data.sha512.clone(),
        disk_format: format.to_owned(),
        virtual_size: data.virtual_size.unwrap_or(data.size),
    })
}

#[cfg(test)]
mod tests;
