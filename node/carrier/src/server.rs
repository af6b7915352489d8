//! The controller's end: accepts nodes, serves images to them and questions to other controllers.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use base::{Error, Kind, Result, World};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use orders::{Answer, ControllerEnd, ImageRef, ImageSource, Question, ToController, ToNode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService, UnaryService},
    transport::server::TcpIncoming,
};

use crate::{
    codec::{Json, Raw},
    tls::{CONTROLLER, Identity, certified_name},
};

/// What a controller does with what arrives.
#[async_trait]
pub trait Served: Send + Sync + 'static {
    /// Serves a node's link until it ends.
    async fn link(&self, end: ControllerEnd);
    /// Answers for a node that is linked here; `None` when it is not.
    async fn ask_here(&self, node: &str, question: &Question) -> Result<Option<Answer>>;
    /// Where images come from.
    fn images(&self) -> Arc<dyn ImageSource>;
}

/// A question that a controller passes on to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PassedOn {
    pub(crate) node: String,
    pub(crate) question: Question,
}

/// A wish for a part of an image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) image: ImageRef,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

pub(crate) const LINK: &str = "/everstack.Node/Link";
pub(crate) const IMAGE: &str = "/everstack.Node/Image";
pub(crate) const ASK: &str = "/everstack.Node/Ask";
/// The largest message: an order with a full config drive is far below it.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The listening end.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Listens for nodes and other controllers, until the world's scope ends. `identity` may be absent
    /// only on loopback, for tests: then peers are taken at their word.
    ///
    /// # Errors
    /// When the address cannot be listened on or the identity cannot be used.
    pub async fn start(
        world: &World,
        listen: SocketAddr,
        identity: Option<&Identity>,
        served: Arc<dyn Served>,
    ) -> Result<Server> {
        let cannot = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("cannot listen for nodes at {listen}: {error}"))
        };
        let socket = tokio::net::TcpListener::bind(listen).await.map_err(|e| cannot(&e))?;
        let address = socket.local_addr().map_err(|e| cannot(&e))?;
        let mut builder = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(std::time::Duration::from_secs(20)));
        if let Some(identity) = identity {
            builder = builder.tls_config(identity.server()).map_err(|e| cannot(&e))?;
        }
        let secured = identity.is_some();
        let service = NodeService { world: world.clone(), served, secured };
        let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
        world.spawn("node-api", async move {
            if let Err(error) = builder.add_service(service).serve_with_incoming(incoming).await {
                tracing::error!("the node API ended: {error}");
            }
        });
        Ok(Server { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Clone)]
struct NodeService {
    world: World,
    served: Arc<dyn Served>,
    secured: bool,
}

impl NamedService for NodeService {
    const NAME: &'static str = "everstack.Node";
}

impl tower_service::Service<http::Request<Body>> for NodeService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        async move {
            Ok(match request.uri().path() {
                LINK => {
                    let codec = Json::<ToNode, ToController>::default();
                    let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
                    grpc.streaming(Link(service), request).await
                }
                IMAGE => Grpc::new(Raw).unary(Image(service), request).await,
                ASK => {
                    let codec = Json::<Option<Answer>, PassedOn>::default();
                    Grpc::new(codec).unary(Ask(service), request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        }
        .boxed()
    }
}

impl NodeService {
    /// The peer's name by its certificate; `None` where there is no TLS.
    fn peer<T>(&self, request: &Request<T>) -> Result<Option<String>, Status> {
        if !self.secured {
            return Ok(None);
        }
        let certificates = request.peer_certs();
        let first = certificates.as_ref().and_then(|all| all.first());
        let first = first.ok_or_else(|| Status::unauthenticated("no certificate was shown"))?;
        certified_name(first).map(Some).map_err(|error| Status::permission_denied(error.message()))
    }
}

struct Link(NodeService);

type Messages = Pin<Box<dyn stream::Stream<Item = Result<ToNode, Status>> + Send>>;

impl StreamingService<ToController> for Link {
    type Response = ToNode;
    type ResponseStream = Messages;
    type Future = BoxFuture<'static, Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Streaming<ToController>>) -> Self::Future {
        let service = self.0.clone();
        async move {
            let certified_name = service.peer(&request)?;
            let mut from_node = request.into_inner();
            let (up, receiver) = mpsc::channel(64);
            let (sender, down) = mpsc::channel::<ToNode>(64);
            let end = ControllerEnd { certified_name, sender, receiver };
            service.world.spawn("node-link", {
                let served = service.served.clone();
                async move { served.link(end).await }
            });
            service.world.spawn("node-link-in", async move {
                while let Some(Ok(message)) = from_node.next().await {
                    if up.send(message).await.is_err() {
                        break;
                    }
                }
            });
            let down = stream::unfold(down, async |mut down| {
                let message = down.recv().await?;
                Some((Ok(message), down))
            });
            Ok(Response::new(Box::pin(down) as Messages))
        }
        .boxed()
    }
}

struct Image(NodeService);

impl UnaryService<Bytes> for Image {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let service = self.0.clone();
        async move {
            service.peer(&request)?;
            let part: Part = serde_json::from_slice(request.get_ref())
                .map_err(|error| Status::invalid_argument(format!("not a part: {error}")))?;
            let bytes = service.served.images().fetch(&part.image, part.start..part.end).await;
            bytes.map(Response::new).map_err(|error| status(&error))
        }
        .boxed()
    }
}

struct Ask(NodeService);

impl UnaryService<PassedOn> for Ask {
    type Response = Option<Answer>;
    type Future = BoxFuture<'static, Result<Response<Option<Answer>>, Status>>;

    fn call(&mut self, request: Request<PassedOn>) -> Self::Future {
        let service = self.0.clone();
        async move {
            // Only controllers pass questions on: a node must not learn of another's machines.
            if service.peer(&request)?.is_some_and(|peer| peer != CONTROLLER) {
                return Err(Status::permission_denied("only controllers may ask about nodes"));
            }
            let PassedOn { node, question } = request.into_inner();
            let answer = service.served.ask_here(&node, &question).await;
            answer.map(Response::new).map_err(|error| status(&error))
        }
        .boxed()
    }
}

fn status(error: &Error) -> Status {
    match error.kind() {
        Kind::NotFound => Status::not_found(error.message()),
        Kind::Unavailable => Status::unavailable(error.message()),
        Kind::BadRequest => Status::invalid_argument(error.message()),
        _ => {
            tracing::error!("an internal call failed: {error:?}");
            Status::internal("an internal call failed; the controller's log says why")
        }
    }
}
