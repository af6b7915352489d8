//! A controller: opens its store, serves the APIs and the node API until it is told to end.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Result, Secret, Task, World};
use carrier::{Identity as PeerIdentity, PeerClient, Served};
use orders::{Answer, ControllerEnd, ImageSource, Question};
use state::{
    Sealer, SessionRecord, State, Store,
    backend::{EmbeddedStore, EtcdStore, MemoryStore, etcd},
};
use tokio::sync::oneshot;

use crate::{
    audit::AuditFile,
    cloud::{self, Controller, Parts},
    config::{self, Config, StoreKind},
    credentials::{self, Passwords},
    pki::Authority,
    ports,
    state_dir::StateDir,
};

/// What must be true of every controller's certificate.
const CONTROLLER: &str = "controller.everstack.internal";

/// A controller that serves, and what must be closed in order at its end.
pub struct Serving {
    /// The controller.
    pub controller: Controller,
    /// The APIs' URL.
    pub url: String,
    /// The first users' passwords.
    pub passwords: Passwords,
    ca: Option<PathBuf>,
    embedded: Option<EmbeddedStore>,
    stop: oneshot::Sender<()>,
    server: Task<()>,
}

/// `everstack controller`.
///
/// # Errors
/// When it cannot start.
pub async fn controller(world: &World, config: &Config) -> Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let running = dir.take()?;
    let serving = serve(world, config, &dir, |store| store).await?;
    tracing::info!(url = serving.url, "the controller serves");
    super::up::until_told(world).await;
    serving.end().await?;
    drop(running);
    Ok(())
}

/// Opens the store, hands it through `wrap` and serves the APIs; on the way out of it, everything that
/// was begun ends with `world`'s scope.
///
/// # Errors
/// When the store, the port or a file cannot be had.
pub async fn serve(
    world: &World,
    config: &Config,
    dir: &StateDir,
    wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
) -> Result<Serving> {
    let listener = listen(config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::internal("the socket has no address").with_source(error))?;
    let tls = tls(config, dir, address)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = match &config.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{address}"),
    };
    let passwords = Passwords::open_or_make(world, dir.path())?;
    let name = config.controller.name.clone().unwrap_or_else(host_name);
    let (store, embedded) = open_store(world, config, dir).await?;
    let store = wrap(store);
    let images = image::store::FileStore::open(&dir.images(), "local", &name).map_err(|error| {
        Error::internal(format!("{}: {error}", dir.images().display())).with_source(error)
    })?;
    let sealer = Sealer::open_or_create(world, &dir.sealing_key())?;
    let mut identity = identity::Config::default();
    if config.simulated.nodes > 0 {
        identity = identity.with_cheap_hashes();
    }
    let controller = cloud::start(Parts {
        world: world.clone(),
        store,
        sealer,
        name,
        address: config.controller.node_listen.map(|a| a.to_string()).unwrap_or_default(),
        url: url.clone(),
        region: config.region.clone(),
        image_store: Arc::new(images),
        passwords: passwords.clone(),
        identity,
        policies: policies(config)?,
        images: image::Options {
            require_format_match: config.image.require_format_match,
            ..image::Options::default()
        },
        session_ttl: Duration::from_secs(config.controller.session_ttl_s.max(3)),
        audit: Arc::new(AuditFile::open(world, &dir.audit())?),
    })
    .await?;
    serve_nodes(world, config, dir, &controller).await?;
    let own_ca = tls.as_ref().and_then(|tls| tls.ca.clone());
    let cloud = credentials::Cloud { url: &url, region: &config.region, cacert: own_ca.clone() };
    credentials::write_files(dir.path(), &cloud, &passwords)?;
    credentials::write_private(&dir.url_file(), &url)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let options =
        web::server::Options { tls: tls.map(|tls| tls.config), ..web::server::Options::default() };
    let serving = web::server::serve(
        world.clone(),
        listener,
        controller.router.clone(),
        options,
        // Told to, or forgotten: it stops in both cases.
        async move { drop(stopped.await) },
    );
    let server = world.spawn("apis", serving);
    Ok(Serving { controller, url, passwords, ca: own_ca, embedded, stop, server })
}

impl Serving {
    /// The cloud's own CA, PEM, if the APIs' certificate is of it.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn ca(&self) -> Result<Option<String>> {
        self.ca.as_deref().map(read).transpose()
    }

    /// Answers what is under way, then closes the store.
    ///
    /// # Errors
    /// When the store cannot be closed cleanly.
    pub async fn end(self) -> Result<()> {
        drop(self.stop);
        self.server.await;
        if let Some(embedded) = self.embedded {
            embedded.close().await?;
        }
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        let who = ports::holder(address)
            .filter(|_| error.kind() == std::io::ErrorKind::AddrInUse)
            .map(|holder| format!("it is held by {} (pid {}); ", holder.program, holder.pid))
            .unwrap_or_default();
        Error::conflict(format!(
            "cannot listen at {address}: {error}; {who}choose another by --listen ADDRESS:PORT"
        ))
    })
}

struct Tls {
    config: web::server::Tls,
    ca: Option<PathBuf>,
}

/// TLS as configured; beyond loopback by a CA of the cloud's own if nothing else is said.
fn tls(config: &Config, dir: &StateDir, address: SocketAddr) -> Result<Option<Tls>> {
    let (cert, key, ca) = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
        (None, None) if address.ip().is_loopback() || config.insecure_http => return Ok(None),
        (None, None) => {
            let authority = Authority::open_or_make(&dir.pki())?;
            let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), host_name()];
            if !address.ip().is_unspecified() {
                hosts.push(address.ip().to_string());
            }
            let public = config.public_url.as_deref().and_then(|url| {
                let authority = url.split_once("://")?.1.split('/').next()?;
                Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned())
            });
            hosts.extend(public);
            let (cert, key) = authority.issued_files("api", &hosts)?;
            (cert, key, Some(authority.cert_file()))
        }
        _ => return Err(Error::bad_request("tls_cert and tls_key go together")),
    };
    let config = web::server::Tls::from_pem(read(&cert)?.as_bytes(), read(&key)?.as_bytes())?;
    Ok(Some(Tls { config, ca }))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Error::bad_request(format!("{}: {error}", path.display())))
}

/// The host's name, as the kernel has it.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" { "everstack".to_owned() } else { name }
}

async fn open_store(
    world: &World,
    config: &Config,
    dir: &StateDir,
) -> Result<(Arc<dyn Store>, Option<EmbeddedStore>)> {
    Ok(match config.controller.store {
        StoreKind::Embedded => {
            let store = EmbeddedStore::open(world.clone(), &dir.store()).await?;
            (Arc::new(store.clone()), Some(store))
        }
        StoreKind::Memory => (Arc::new(MemoryStore::new(world.clone())), None),
        StoreKind::Etcd => {
            let store = EtcdStore::open(world.clone(), etcd_options(&config.controller)?).await?;
            (Arc::new(store), None)
        }
    })
}

fn etcd_options(config: &config::Controller) -> Result<etcd::Options> {
    if config.etcd_endpoints.is_empty() {
        return Err(Error::bad_request(
            "controller.store = \"etcd\" needs controller.etcd_endpoints: the members' URLs",
        ));
    }
    let mut options = etcd::Options::new(config.etcd_endpoints.iter().cloned());
    if let Some(ca) = &config.etcd_ca {
        let identity = match (&config.etcd_cert, &config.etcd_key) {
            (Some(cert), Some(key)) => Some((read(cert)?, Secret::new(read(key)?))),
            (None, None) => None,
            _ => {
                return Err(Error::bad_request(
                    "controller.etcd_cert and controller.etcd_key go together",
                ));
            }
        };
        options.tls = Some(etcd::Tls { ca: read(ca)?, identity });
    }
    Ok(options)
}

fn policies(config: &Config) -> Result<Vec<(String, web::Overrides)>> {
    let Some(path) = &config.controller.policy_file else { return Ok(Vec::new()) };
    let overrides = web::Overrides::parse(&read(path)?)
        .map_err(|error| Error::bad_request(format!("{}: {error}", path.display())))?;
    // A rule's name tells its service.
    let mut by_service: base::Map<&str, web::Overrides> = base::Map::new();
    for (rule, text) in overrides.iter() {
        let service = match rule.split(':').next().unwrap_or_default() {
            "identity" => "identity",
            "placement" => "placement",
            "os_compute_api" => "compute",
            _ => "image",
        };
        let kept = by_service.remove(service).unwrap_or_default();
        by_service.insert(service, kept.with(rule, text));
    }
    Ok(by_service.into_iter().map(|(service, rules)| (service.to_owned(), rules)).collect())
}

/// The node API, for nodes and controllers on other hosts.
async fn serve_nodes(
    world: &World,
    config: &Config,
    dir: &StateDir,
    controller: &Controller,
) -> Result<()> {
    let Some(address) = config.controller.node_listen else { return Ok(()) };
    let authority = Authority::open_or_make(&dir.pki())?;
    let (cert, key) = authority.issued_files("controller", &[CONTROLLER.to_owned()])?;
    let identity =
        PeerIdentity { ca: authority.cert()?, cert: read(&cert)?, key: Secret::new(read(&key)?) };
    let served = Arc::new(NodeApi { controller: controller.clone() });
    carrier::Server::start(world, address, Some(&identity), served).await?;
    let peers = Peers { state: controller.state.clone(), client: PeerClient::new(Some(identity)) };
    controller.hub.peers(Arc::new(peers));
    Ok(())
}

struct NodeApi {
    controller: Controller,
}

#[async_trait]
impl Served for NodeApi {
    async fn link(&self, end: ControllerEnd) {
        self.controller.hub.accept(end).await;
    }

    async fn ask_here(&self, node: &str, question: &Question) -> Result<Option<Answer>> {
        self.controller.hub.ask_here(node, question).await
    }

    fn images(&self) -> Arc<dyn ImageSource> {
        Arc::new(self.controller.images.clone())
    }
}

struct Peers {
    state: State,
    client: PeerClient,
}

#[async_trait]
impl nodes::Peers for Peers {
    async fn ask(&self, controller: &str, node: &str, question: Question) -> Result<Answer> {
        let gone = || {
            Error::unavailable(format!("The controller {controller} cannot be asked about {node}."))
        };
        let address = self
            .state
            .known()
            .get::<SessionRecord>(controller)
            .map(|session| session.address.clone())
            .filter(|address| !address.is_empty())
            .ok_or_else(gone)?;
        self.client.ask(&address, node, question).await?.ok_or_else(gone)
    }
}
