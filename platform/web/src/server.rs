//! The listener: HTTP/1.1 and HTTP/2, plain or TLS, bounded in connections and patience, stopped gracefully.
//! Knows nothing of what is answered.

use std::{future::Future, io, net::SocketAddr, path::Path, pin::pin, sync::Arc, time::Duration};

use base::{Error, Result, World};
use futures_util::future::{Either, select};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use crate::{Peer, RequestBody, Router, patience::Patient};

/// How a listener behaves.
#[derive(Clone)]
pub struct Options {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a client may take for its TLS handshake.
    pub patience: Duration,
    /// How long a connection may be idle, a client take for the head of a request, or take nothing of an answer.
    pub idle: Duration,
    /// How long requests at work may take when the server stops.
    pub grace: Duration,
    /// TLS; without it, plain.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connections: 8192,
            patience: Duration::from_secs(20),
            idle: Duration::from_secs(75),
            grace: Duration::from_secs(10),
            tls: None,
        }
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// From PEM text: a chain, the server's own certificate first, and its key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Tls> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| {
            Error::bad_request(format!("the TLS {what} cannot be read: {error}"))
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong("certificate", &error))?;
        if chain.is_empty() {
            return Err(wrong("certificate", &"there is none in the file"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("versions", &error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| wrong("certificate and key", &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    /// From two PEM files.
    pub async fn from_files(world: &World, chain: &Path, key: &Path) -> Result<Tls> {
        let (chain, key) = (chain.to_owned(), key.to_owned());
        world
            .blocking(move || {
                let read = |path: &Path| {
                    std::fs::read(path).map_err(|error| {
                        Error::bad_request(format!("{} cannot be read: {error}", path.display()))
                    })
                };
                Tls::from_pem(&read(&chain)?, &read(&key)?)
            })
            .await
    }
}

/// Listens. Port 0 takes a free one; ask the listener which.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` ends, then lets the requests at work finish, for at most [`Options::grace`].
pub async fn serve(
    world: World,
    listener: TcpListener,
    router: Router,
    options: Options,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.connections));
    let open =
        router.metrics().gauge("everstack_web_connections", "Connections that are open.", &[]);
    loop {
        let next = async {
            // Never closed, so that this never fails.
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = match select(pin!(next), stop.as_mut()).await {
            Either::Left((next, _)) => next,
            Either::Right(((), _)) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: what is open must end first.
                tracing::warn!("a connection was not accepted: {error}");
                world.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = Connection {
            world: world.clone(),
            router: router.clone(),
            peer,
            patience: options.patience,
            idle: options.idle,
        };
        let watcher = graceful.watcher();
        let tls = options.tls.clone();
        let open = open.clone();
        world.spawn("connection", async move {
            open.add(1);
            connection.run(stream, tls, watcher).await;
            open.add(-1);
            drop(place);
        });
    }
    drop(listener);
    if world.timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still at work when the server stopped");
    }
}

struct Connection {
    world: World,
    router: Router,
    peer: SocketAddr,
    patience: Duration,
    idle: Duration,
}

impl Connection {
    async fn run(
        self,
        stream: TcpStream,
        tls: Option<Tls>,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        // An answer is written whole: waiting for more to send would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY: {error}");
        }
        match tls {
            None => self.speak(stream, watcher).await,
            Some(Tls(config)) => {
                let shake = TlsAcceptor::from(config).accept(stream);
                match self.world.timeout(self.patience, shake).await {
                    Ok(Ok(stream)) => self.speak(stream, watcher).await,
                    Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    async fn speak<S>(self, stream: S, watcher: hyper_util::server::graceful::Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .max_headers(100)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .max_header_list_size(64 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(self.patience);
        let stream = Patient::new(stream, self.world.clone(), self.idle);
        let (router, peer) = (self.router, Peer(self.peer));
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let router = router.clone();
            request.extensions_mut().insert(peer);
            async move {
                Ok::<_, std::convert::Infallible>(router.call(request.map(RequestBody::from)).await)
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!("a connection ended: {error}");
        }
    }
}
