//! The dialling end: a node that links itself to a controller and fetches images, a controller that
//! passes a question on.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Map, Result, World};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use orders::{Answer, Connector, ImageRef, ImageSource, NodeEnd, Question, ToController, ToNode};
use tokio::sync::mpsc;
use tonic::{
    Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};

use crate::{
    codec::{Json, Raw},
    server::{ASK, IMAGE, LINK, MAX_MESSAGE, Part, PassedOn},
    tls::Identity,
};

/// How long a connection may take to come about.
const DIAL: Duration = Duration::from_secs(5);

fn unreachable(to: &str, error: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("the controller at {to} cannot be reached: {error}"))
}

async fn dial(to: &str, identity: Option<&Identity>) -> Result<Channel> {
    let scheme = if identity.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{to}"))
        .map_err(|error| Error::bad_request(format!("{to} is not host:port: {error}")))?
        .connect_timeout(DIAL)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    if let Some(identity) = identity {
        endpoint = endpoint.tls_config(identity.client()).map_err(|e| unreachable(to, &e))?;
    }
    endpoint.connect().await.map_err(|error| unreachable(to, &chain(&error)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn path(text: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(text)
}

/// The controllers that a node may dial, one after the other until one answers.
pub struct Controllers {
    world: World,
    addresses: Vec<String>,
    identity: Option<Identity>,
    next: AtomicUsize,
}

impl Controllers {
    /// These controllers (`host:port`).
    pub fn new(world: &World, addresses: Vec<String>, identity: Option<Identity>) -> Controllers {
        // Nodes that start together spread over the controllers.
        let first = usize::try_from(world.below(addresses.len() as u64)).unwrap_or(0);
        Controllers { world: world.clone(), addresses, identity, next: AtomicUsize::new(first) }
    }

    async fn any(&self) -> Result<(String, Channel)> {
        let mut last = Error::bad_request("no controller to dial is configured: node.controllers");
        for _ in 0..self.addresses.len() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
            let to = &self.addresses[turn];
            match dial(to, self.identity.as_ref()).await {
                Ok(channel) => return Ok((to.clone(), channel)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[async_trait]
impl Connector for Controllers {
    async fn connect(&self) -> Result<NodeEnd> {
        let (to, channel) = self.any().await?;
        let (sender, up) = mpsc::channel::<ToController>(64);
        let (down, receiver) = mpsc::channel(64);
        let up = stream::unfold(up, async |mut up| Some((up.recv().await?, up)));
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await.map_err(|error| unreachable(&to, &chain(&error)))?;
        let codec = Json::<ToController, ToNode>::default();
        let request = Request::new(Box::pin(up));
        let answer = grpc
            .streaming(request, path(LINK), codec)
            .await
            .map_err(|status| unreachable(&to, &status.message()))?;
        let mut messages = answer.into_inner();
        self.world.spawn("link-in", async move {
            while let Some(Ok(message)) = messages.next().await {
                if down.send(message).await.is_err() {
                    break;
                }
            }
        });
        Ok(NodeEnd { sender, receiver })
    }
}

/// Images from the controllers, over a connection of their own.
pub struct RemoteImages {
    controllers: Controllers,
    channel: Mutex<Option<Channel>>,
}

impl RemoteImages {
    /// From these controllers.
    pub fn new(controllers: Controllers) -> RemoteImages {
        RemoteImages { controllers, channel: Mutex::default() }
    }
}

#[async_trait]
impl ImageSource for RemoteImages {
    async fn fetch(&self, image: &ImageRef, range: Range<u64>) -> Result<Bytes> {
        let kept = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let channel = match kept {
            Some(channel) => channel,
            None => {
                let (_, channel) = self.controllers.any().await?;
                *self.channel.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(channel.clone());
                channel
            }
        };
        // A part that fits into one message with room to spare; who asks goes on from there.
        let end = range.end.min(range.start + MAX_MESSAGE as u64 / 4);
        let part = Part { image: image.clone(), start: range.start, end };
        let wish = serde_json::to_vec(&part)
            .map_err(|error| Error::internal("encoding").with_source(error))?;
        let fetched = async {
            let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
            grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
            grpc.unary(Request::new(Bytes::from(wish)), path(IMAGE), Raw).await
        };
        match fetched.await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => {
                // The next try dials anew, perhaps another controller.
                *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(Error::unavailable(format!(
                    "the image {} cannot be fetched: {}",
                    image.id,
                    status.message()
                )))
            }
        }
    }
}

/// The other controllers, for questions about their nodes.
pub struct PeerClient {
    identity: Option<Identity>,
    channels: Mutex<Map<String, Channel>>,
}

impl PeerClient {
    /// With this controller's identity.
    pub fn new(identity: Option<Identity>) -> PeerClient {
        PeerClient { identity, channels: Mutex::default() }
    }

    /// Passes a question on to the controller at `address`; `None` when the node is not linked there.
    ///
    /// # Errors
    /// `Unavailable` when the controller cannot be reached or the node does not answer.
    pub async fn ask(
        &self,
        address: &str,
        node: &str,
        question: Question,
    ) -> Result<Option<Answer>> {
        let kept =
            self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        let channel = match kept {
            Some(channel) => channel,
            None => {
                let channel = dial(address, self.identity.as_ref()).await?;
                let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        let asked = async {
            let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
            grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
            let codec = Json::<PassedOn, Option<Answer>>::default();
            let request = Request::new(PassedOn { node: node.to_owned(), question });
            grpc.unary(request, path(ASK), codec).await
        };
        asked.await.map(tonic::Response::into_inner).map_err(|status| {
            self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
            unreachable(address, &status.message())
        })
    }
}
