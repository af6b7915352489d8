//! The one error: what a caller can act on. The web floor turns its [`Kind`] into a status and the
//! service's own envelope; nothing else decides status codes.

use std::{fmt, time::Duration};

/// The result of anything that can fail in a way a caller acts on.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request is wrong; repeating it will not help.
    BadRequest,
    /// 401: who is asking is not known.
    Unauthorized,
    /// 403: known, but not allowed.
    Forbidden,
    /// 403: a quota stands against it.
    OverQuota,
    /// 404: there is no such thing, or the caller may not see it.
    NotFound,
    /// 405: the thing exists, the verb does not.
    MethodNotAllowed,
    /// 406: no representation or microversion that the caller accepts.
    NotAcceptable,
    /// 409: the state of the thing stands against it.
    Conflict,
    /// 410: it was there once.
    Gone,
    /// 412: a precondition of the request failed.
    PreconditionFailed,
    /// 413: too large.
    TooLarge,
    /// 415: a media type that is not understood.
    UnsupportedMedia,
    /// 416: a byte range outside the data.
    RangeNotSatisfiable,
    /// 422: understood and refused.
    Unprocessable,
    /// 429: too many requests.
    TooManyRequests,
    /// 501: the real service has it, this cloud does not.
    NotImplemented,
    /// 503: try again; nothing is known to have changed.
    Unavailable,
    /// 500: a bug or a broken disk. Its details are logged, never shown.
    Internal,
}

/// An error with a sentence for people: what happened, to which thing, what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            code: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// A machine-readable code beside the status, where a service has such (placement's `code`).
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Error {
        self.0.code = Some(code);
        self
    }

    /// When to try again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Error {
        self.0.retry_after = Some(after);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The machine-readable code, if there is one.
    pub fn code(&self) -> Option<&'static str> {
        self.0.code
    }

    /// When to try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

macro_rules! short {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Error {
                Error::new(Kind::$kind, message)
            })*
        }
    };
}

short! {
    /// 400
    bad_request => BadRequest,
    /// 401
    unauthorized => Unauthorized,
    /// 403
    forbidden => Forbidden,
    /// 403, by quota
    over_quota => OverQuota,
    /// 404
    not_found => NotFound,
    /// 409
    conflict => Conflict,
    /// 503
    unavailable => Unavailable,
    /// 500
    internal => Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(cause) => Some(&**cause),
            None => None,
        }
    }
}
