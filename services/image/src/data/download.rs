//! `GET file`: the bytes, or a part of them, as a stream.

use std::{io, ops::Range, sync::Arc};

use base::{Error, Result, World};
use futures_util::stream;
use web::{ByteStream, Call, Reply};

use super::range;
use crate::{
    context::Images,
    images::{Status, access::Asker},
    inspect::Source,
};

pub(super) async fn download(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    let id = call.param("image_id");
    let image = asker.find(&images.state().fresh().await?, id)?;
    if image.status == Status::Deactivated && !asker.admin {
        return Err(Error::forbidden(
            "The requested image has been deactivated. Image data download is forbidden.",
        ));
    }
    asker.may("download_image", &image)?;
    let Some(data) = image.usable() else { return Ok(Reply::empty(204)) };
    let part = range::asked(&call, data.size)?;
    let source = images.open(id, data).await?;
    let range = part.clone().unwrap_or(0..data.size);
    let length = range.end - range.start;
    let stream = pieces(images.world().clone(), source, range.clone());
    let reply =
        Reply::stream(if part.is_some() { 206 } else { 200 }, "application/octet-stream", stream)
            .header("content-length", length.to_string());
    Ok(match part {
        Some(part) => reply.header(
            "content-range",
            format!("bytes {}-{}/{}", part.start, part.end - 1, data.size),
        ),
        // The sum is of the whole.
        None => reply.header("content-md5", &data.md5),
    })
}

fn pieces(world: World, source: Arc<dyn Source>, range: Range<u64>) -> ByteStream {
    Box::pin(stream::unfold((world, source, range), |(world, source, range)| async move {
        if range.is_empty() {
            return None;
        }
        let piece = super::read(&world, source.clone(), range.clone()).await;
        let piece = match piece {
            Ok(piece) if !piece.is_empty() => piece,
            Ok(_) => {
                return Some((Err(io::ErrorKind::UnexpectedEof.into()), (world, source, 0..0)));
            }
            Err(error) => return Some((Err(io::Error::other(error)), (world, source, 0..0))),
        };
        let start = range.start + piece.len() as u64;
        Some((Ok(piece), (world, source, start..range.end)))
    }))
}
