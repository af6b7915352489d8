//! What a handler answers, and the body type that goes to the socket. No status is decided here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use base::{Error, Result};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use serde_json::Value;

/// A stream of bytes to a client.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The answer of a handler.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Headers beside those that every answer gets.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
pub enum ReplyBody {
    /// None.
    Empty,
    /// JSON, to be rendered.
    Json(Value),
    /// JSON that is rendered already: the cheap way.
    JsonBytes(Bytes),
    /// Any bytes; the handler sets `Content-Type`.
    Bytes(Bytes),
    /// A stream; the handler sets `Content-Type` and, when it knows it, `Content-Length`.
    Stream(ByteStream),
}

impl Reply {
    /// A reply of this status.
    pub fn new(status: u16, body: ReplyBody) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply { status, headers: HeaderMap::new(), body }
    }

    /// JSON.
    pub fn json(status: u16, value: Value) -> Reply {
        Reply::new(status, ReplyBody::Json(value))
    }

    /// 200 with JSON.
    pub fn ok(value: Value) -> Reply {
        Reply::json(200, value)
    }

    /// JSON straight from a serializable value.
    pub fn rendered(status: u16, value: &impl Serialize) -> Result<Reply> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Error::internal("an answer cannot be rendered").with_source(error))?;
        Ok(Reply::json_bytes(status, bytes))
    }

    /// JSON that is rendered already.
    pub fn json_bytes(status: u16, bytes: impl Into<Bytes>) -> Reply {
        Reply::new(status, ReplyBody::JsonBytes(bytes.into()))
    }

    /// No body.
    pub fn empty(status: u16) -> Reply {
        Reply::new(status, ReplyBody::Empty)
    }

    /// Any bytes.
    pub fn bytes(status: u16, content_type: &str, bytes: impl Into<Bytes>) -> Reply {
        Reply::new(status, ReplyBody::Bytes(bytes.into())).header("content-type", content_type)
    }

    /// A stream of bytes.
    pub fn stream(status: u16, content_type: &str, stream: ByteStream) -> Reply {
        Reply::new(status, ReplyBody::Stream(stream)).header("content-type", content_type)
    }

    /// Sets a header. A value that no header may have (a line break, say) is left out and logged.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Reply {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_ref().as_bytes());
        match (name, value) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => {
                tracing::error!("a header of a reply was left out: it has bytes that none may have")
            }
        }
        self
    }

    /// Turns it into what goes to the socket. `head`: the request was a HEAD, so the body stays here.
    pub(crate) fn into_response(self, head: bool) -> http::Response<ResponseBody> {
        let Reply { status, mut headers, body } = self;
        let json = HeaderValue::from_static("application/json");
        let body = match body {
            ReplyBody::Empty => ResponseBody::empty(),
            ReplyBody::Json(value) => {
                headers.entry(header::CONTENT_TYPE).or_insert(json);
                ResponseBody::full(value.to_string().into())
            }
            ReplyBody::JsonBytes(bytes) => {
                headers.entry(header::CONTENT_TYPE).or_insert(json);
                ResponseBody::full(bytes)
            }
            ReplyBody::Bytes(bytes) => ResponseBody::full(bytes),
            ReplyBody::Stream(stream) => ResponseBody(Inner::Stream(stream)),
        };
        if let Inner::Full(bytes) = &body.0
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::NOT_MODIFIED
        {
            let length = bytes.as_ref().map_or(0, Bytes::len);
            headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        let mut response = http::Response::new(if head { ResponseBody::empty() } else { body });
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The body of a response, on its way to the socket.
pub struct ResponseBody(Inner);

enum Inner {
    Full(Option<Bytes>),
    Stream(ByteStream),
    Held(
        Box<ResponseBody>,
        #[expect(dead_code, reason = "held until the body ends")] Box<dyn Send>,
    ),
}

impl ResponseBody {
    /// Nothing.
    pub fn empty() -> ResponseBody {
        ResponseBody(Inner::Full(None))
    }

    /// These bytes.
    pub fn full(bytes: Bytes) -> ResponseBody {
        ResponseBody(Inner::Full((!bytes.is_empty()).then_some(bytes)))
    }

    /// Keeps `thing` until the body has been sent or dropped.
    pub(crate) fn holding(self, thing: impl Send + 'static) -> ResponseBody {
        match self.0 {
            // A whole body is as good as sent.
            Inner::Full(_) => self,
            _ => ResponseBody(Inner::Held(Box::new(self), Box::new(thing))),
        }
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Stream(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|next| next.map(|chunk| chunk.map(Frame::data))),
            Inner::Held(body, _) => Pin::new(&mut **body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(bytes) => bytes.is_none(),
            Inner::Stream(_) => false,
            Inner::Held(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Inner::Stream(_) => SizeHint::default(),
            Inner::Held(body, _) => body.size_hint(),
        }
    }
}
