//! Takes a stream in: written and hashed off the async threads, one piece while the next one comes.

use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use futures_util::future;
use md5::Md5;
use sha2::{Digest, Sha512};
use web::BodyStream;

use super::failed;
use crate::{context::Images, store::Draft};

/// So many bytes are gathered before they are written.
const PIECE: usize = 1 << 20;

/// What came in, durable under its object's name.
pub(super) struct Taken {
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) sha512: String,
}

struct Intake {
    draft: Box<dyn Draft>,
    md5: Md5,
    sha512: Sha512,
    size: u64,
}

impl Intake {
    fn take(mut self: Box<Self>, pieces: Vec<Bytes>) -> Result<Box<Self>> {
        for piece in pieces {
            self.md5.update(&piece);
            self.sha512.update(&piece);
            self.size += piece.len() as u64;
            self.draft.write(&piece).map_err(failed)?;
        }
        Ok(self)
    }
}

/// Reads the whole stream into an object. Whatever goes wrong, nothing of it is left.
pub(super) async fn take(images: &Images, mut body: BodyStream, object: &str) -> Result<Taken> {
    let world = images.world();
    let (store, name) = (images.store().clone(), object.to_owned());
    let draft = world.blocking(move || store.create(&name)).await.map_err(failed)?;
    let mut intake = Box::new(Intake { draft, md5: Md5::new(), sha512: Sha512::new(), size: 0 });
    let mut pieces = gather(&mut body).await?;
    while !pieces.is_empty() {
        let coming: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if intake.size + coming > images.options().largest {
            return Err(Error::new(
                Kind::TooLarge,
                "The incoming image is too large: The provided image is too large.",
            ));
        }
        let (taken, next) =
            future::join(world.blocking(move || intake.take(pieces)), gather(&mut body)).await;
        (intake, pieces) = (taken?, next?);
    }
    world
        .blocking(move || {
            let Intake { draft, md5, sha512, size } = *intake;
            draft.keep().map_err(failed)?;
            Ok(Taken { size, md5: hex(&md5.finalize()), sha512: hex(&sha512.finalize()) })
        })
        .await
}

/// The next bytes, about a [`PIECE`]; none at the end.
async fn gather(body: &mut BodyStream) -> Result<Vec<Bytes>> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut small = BytesMut::new();
    let mut size = 0;
    while size < PIECE {
        let Some(chunk) = body.chunk().await else { break };
        let chunk = chunk?;
        size += chunk.len();
        // Many tiny chunks would cost more than the copy.
        if chunk.len() < 4096 {
            small.extend_from_slice(&chunk);
        } else {
            if !small.is_empty() {
                pieces.push(small.split().freeze());
            }
            pieces.push(chunk);
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    Ok(pieces)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}
