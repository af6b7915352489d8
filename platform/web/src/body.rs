//! Request bodies: buffered up to a limit, or handed over as a stream; JSON out of them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base::{Error, Kind, Result, World};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, header};
use hyper::body::Body as _;
use serde_json::Value;

use crate::Envelope;

/// A request's body as it comes in.
pub enum RequestBody {
    /// It is here already (or there is none): in-process calls.
    Full(Bytes),
    /// From a socket.
    Socket(hyper::body::Incoming),
    /// From anywhere else: tests of slow and broken clients.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + Sync>>),
}

impl From<hyper::body::Incoming> for RequestBody {
    fn from(body: hyper::body::Incoming) -> RequestBody {
        RequestBody::Socket(body)
    }
}

impl From<Bytes> for RequestBody {
    fn from(body: Bytes) -> RequestBody {
        RequestBody::Full(body)
    }
}

impl RequestBody {
    /// Reads it whole, if it is at most `limit` bytes and comes within `patience`.
    pub(crate) async fn read(
        self,
        world: &World,
        limit: usize,
        patience: Duration,
    ) -> Result<Bytes> {
        let too_large = || Error::new(Kind::TooLarge, "Request is too large.");
        match self {
            RequestBody::Full(bytes) if bytes.len() > limit => Err(too_large()),
            RequestBody::Full(bytes) => Ok(bytes),
            RequestBody::Socket(body) if body.is_end_stream() => Ok(Bytes::new()),
            RequestBody::Socket(body) if body.size_hint().lower() > limit as u64 => {
                Err(too_large())
            }
            other => {
                let mut stream = other.into_stream(world.clone(), patience);
                let read = async {
                    let first = match stream.chunk().await {
                        None => return Ok(Bytes::new()),
                        Some(first) => first?,
                    };
                    let mut rest: Option<BytesMut> = None;
                    let mut length = first.len();
                    if length > limit {
                        return Err(too_large());
                    }
                    while let Some(chunk) = stream.chunk().await {
                        let chunk = chunk?;
                        length += chunk.len();
                        if length > limit {
                            return Err(too_large());
                        }
                        rest.get_or_insert_with(|| BytesMut::from(&*first))
                            .extend_from_slice(&chunk);
                    }
                    Ok(rest.map_or(first, BytesMut::freeze))
                };
                match world.timeout(patience, read).await {
                    Ok(read) => read,
                    Err(_) => Err(Error::bad_request(format!(
                        "The request's body did not arrive within {} seconds.",
                        patience.as_secs()
                    ))),
                }
            }
        }
    }

    pub(crate) fn into_stream(self, world: World, patience: Duration) -> BodyStream {
        BodyStream { body: self, world, patience, ended: false }
    }
}

/// A request's body as a stream. An error means that the rest never comes: the client went away, or was
/// silent for too long.
pub struct BodyStream {
    body: RequestBody,
    world: World,
    patience: Duration,
    ended: bool,
}

impl BodyStream {
    /// The next bytes; none at the end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes>> {
        if self.ended {
            return None;
        }
        let (world, patience) = (self.world.clone(), self.patience);
        let next = std::future::poll_fn(|context| self.poll(context));
        match world.timeout(patience, next).await {
            Ok(Some(Ok(bytes))) => Some(Ok(bytes)),
            Ok(other) => {
                self.ended = true;
                other
            }
            Err(_) => {
                self.ended = true;
                Some(Err(Error::bad_request(format!(
                    "The request's body stood still for {} seconds.",
                    patience.as_secs()
                ))))
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match &mut self.body {
            RequestBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            RequestBody::Stream(stream) => stream.as_mut().poll_next(context),
            RequestBody::Socket(body) => loop {
                match std::task::ready!(Pin::new(&mut *body).poll_frame(context)) {
                    None => return Poll::Ready(None),
                    // Trailers say nothing that is asked here.
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                        Err(_) => {}
                    },
                    Some(Err(error)) => {
                        let broken = Error::bad_request("The request's body ended too early.");
                        return Poll::Ready(Some(Err(broken.with_source(error))));
                    }
                }
            },
        }
    }

    /// As a [`Stream`], for code that wants one.
    pub fn into_chunks(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut body| async move {
            body.chunk().await.map(|chunk| (chunk, body))
        })
    }
}

/// What a handler finds as the body of its [`crate::Call`].
pub enum Body {
    /// Nothing was sent, or it was taken already.
    Empty,
    /// The whole.
    Bytes(Bytes),
    /// A stream, on cards that are [`crate::Card::streaming`].
    Stream(BodyStream),
}

/// Refuses a media type that the card does not take.
pub(crate) fn check_media(
    headers: &HeaderMap,
    accepted: &[&str],
    envelope: Envelope,
) -> Result<()> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return envelope.without_media().map_or(Ok(()), Err);
    };
    let given = given.to_str().unwrap_or("?");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.is_empty() {
        return envelope.without_media().map_or(Ok(()), Err);
    }
    if accepted.iter().any(|media| media.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    Err(envelope.unsupported_media(essence, accepted))
}

/// Bytes to JSON. Duplicate names: the last wins. NaN, bad UTF-8 and nesting beyond 127 are refused.
pub(crate) fn parse_json(bytes: &[u8], envelope: Envelope) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| envelope.malformed_json(&error))
}
