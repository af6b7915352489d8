//! Route cards: a room's routes as data. Method, path, policy, versions, body; and the handler.

use std::{future::Future, pin::Pin, sync::Arc};

use base::Result;
use http::Method;

use crate::{Call, Microversion, Policy, Reply, microversion};

/// A handler without its type: what a card holds.
pub type Handler<C> =
    Arc<dyn Fn(Call<C>) -> Pin<Box<dyn Future<Output = Result<Reply>> + Send>> + Send + Sync>;

/// How a card takes its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Read whole before the handler runs, up to this many bytes.
    Whole {
        /// More is answered with a 413.
        limit: usize,
    },
    /// Handed over as a stream, of any length.
    Stream,
}

/// oslo's own limit is 114,688; a server with much user data needs a bit more.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// One route.
#[derive(Clone)]
pub struct Card<C> {
    /// The method.
    pub method: Method,
    /// Below the service's prefix: `/servers/{server_id}/action`.
    pub path: &'static str,
    /// Who may.
    pub policy: Policy,
    /// The first microversion that has it.
    pub since: Option<Microversion>,
    /// The last microversion that has it.
    pub until: Option<Microversion>,
    /// How the body is taken.
    pub body: BodyKind,
    /// The media types that it takes.
    pub media: &'static [&'static str],
    /// What it does.
    pub handler: Handler<C>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $method:ident),* $(,)?) => {
        impl<C> Card<C> {
            $($(#[$doc])*
            pub fn $name<F, R>(path: &'static str, policy: Policy, handler: F) -> Card<C>
            where
                F: Fn(Call<C>) -> R + Send + Sync + 'static,
                R: Future<Output = Result<Reply>> + Send + 'static,
            {
                Card::new(Method::$method, path, policy, handler)
            })*
        }
    };
}

methods! {
    /// GET; answers HEAD too, unless there is a card for it.
    get GET,
    /// HEAD.
    head HEAD,
    /// POST.
    post POST,
    /// PUT.
    put PUT,
    /// PATCH.
    patch PATCH,
    /// DELETE.
    delete DELETE,
}

impl<C> Card<C> {
    /// A card of any method.
    pub fn new<F, R>(method: Method, path: &'static str, policy: Policy, handler: F) -> Card<C>
    where
        F: Fn(Call<C>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        Card {
            method,
            path,
            policy,
            since: None,
            until: None,
            body: BodyKind::Whole { limit: BODY_LIMIT },
            media: &["application/json"],
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Only from this microversion on: before, 404 (as Nova does).
    #[must_use]
    #[track_caller]
    pub fn since(mut self, version: &'static str) -> Card<C> {
        self.since = Some(microversion::in_table(version));
        self
    }

    /// Only up to this microversion: after it, 404.
    #[must_use]
    #[track_caller]
    pub fn until(mut self, version: &'static str) -> Card<C> {
        self.until = Some(microversion::in_table(version));
        self
    }

    /// The body is handed over as a stream, of any media type unless [`Card::media`] says otherwise.
    #[must_use]
    pub fn streaming(mut self) -> Card<C> {
        self.body = BodyKind::Stream;
        self.media = &[];
        self
    }

    /// No token is needed.
    #[must_use]
    pub fn public(mut self) -> Card<C> {
        self.policy = Policy::Public;
        self
    }

    /// The media types that the body may have; an empty list takes any.
    #[must_use]
    pub fn media(mut self, types: &'static [&'static str]) -> Card<C> {
        self.media = types;
        self
    }

    /// Another limit for the body.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Card<C> {
        self.body = BodyKind::Whole { limit: bytes };
        self
    }

    /// Whether a microversion has it.
    pub fn holds(&self, version: Microversion) -> bool {
        self.since.is_none_or(|since| version >= since)
            && self.until.is_none_or(|until| version <= until)
    }
}

impl<C> std::fmt::Debug for Card<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.policy)
    }
}
