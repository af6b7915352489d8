//! An image's bytes on their way in and out. Never held whole in memory; acknowledged only when they are
//! on the disk and the record that names them is committed.

mod download;
mod intake;
mod range;
mod upload;

use std::{io, ops::Range, sync::Arc};

use base::{Error, Kind, Result, World};
use bytes::Bytes;
use web::{Card, Policy};

pub(crate) use upload::look_into;

use crate::{
    context::Images,
    images::access::{DOWNLOAD_IMAGE, MEMBER, MODIFY_IMAGE},
    inspect::Source,
};

const BYTES: &[&str] = &["application/octet-stream"];

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Images>> {
    vec![
        Card::get(
            "/images/{image_id}/file",
            Policy::Checked(&[DOWNLOAD_IMAGE]),
            download::download,
        ),
        Card::put(
            "/images/{image_id}/file",
            Policy::Checked(&[("upload_image", MEMBER)]),
            upload::upload,
        )
        .streaming()
        .media(BYTES),
        Card::put("/images/{image_id}/stage", Policy::Checked(&[MODIFY_IMAGE]), upload::stage)
            .streaming()
            .media(BYTES),
    ]
}

/// Most bytes that are read at once.
const PIECE: u64 = 512 * 1024;

/// Some bytes from a range's start, off the async threads; none only at the end.
pub(crate) async fn read(
    world: &World,
    source: Arc<dyn Source>,
    range: Range<u64>,
) -> Result<Bytes> {
    let rest = source.length().min(range.end).saturating_sub(range.start).min(PIECE);
    let length = usize::try_from(rest).unwrap_or(0);
    let read = world.blocking(move || -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        let mut done = 0;
        while let Some(left) = bytes.get_mut(done..).filter(|left| !left.is_empty()) {
            match source.read_at(range.start + done as u64, left) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes.into())
    });
    read.await.map_err(failed)
}

/// What a place for objects failed with, as a client is told.
pub(crate) fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(Kind::TooLarge, format!("Image storage media is full: {error}"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::unavailable(format!("Insufficient permissions on image storage media: {error}"))
        }
        _ => Error::internal("the place of images' bytes failed").with_source(error),
    }
}

#[cfg(test)]
mod tests;
