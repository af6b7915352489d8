//! Which member of the etcd cluster is asked: one at a time, the next when it fails. What changes the
//! store is never asked twice; that is up to the callers.

use std::time::Duration;

use base::{Error, Moment, Result, World};
use tokio::sync::{Mutex, watch};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{Options, wire};

/// Connecting and a first answer take less than this.
const CONNECT: Duration = Duration::from_secs(2);

/// The members, and the connection to one of them.
pub struct Members {
    world: World,
    members: Vec<Member>,
    current: Mutex<Current>,
    /// Raised whenever another connection takes over: watches move with it.
    generation: watch::Sender<u64>,
}

struct Member {
    name: String,
    endpoint: Endpoint,
}

#[derive(Default)]
struct Current {
    /// Whom to ask first.
    at: usize,
    connection: Option<Connection>,
    failed: Option<(Moment, String)>,
}

/// A connection to one member.
#[derive(Clone)]
pub struct Connection {
    pub channel: Channel,
    pub member: usize,
    pub generation: u64,
}

impl Members {
    pub fn new(world: &World, options: &Options) -> Result<Members> {
        if options.endpoints.is_empty() {
            return Err(Error::bad_request("No etcd endpoint is given."));
        }
        let members = options
            .endpoints
            .iter()
            .map(|name| Ok(Member { name: name.clone(), endpoint: endpoint(name, options)? }))
            .collect::<Result<Vec<_>>>()?;
        // Controllers spread over the members.
        let at = usize::try_from(world.below(members.len() as u64)).unwrap_or(0);
        Ok(Members {
            world: world.clone(),
            members,
            current: Mutex::new(Current { at, ..Current::default() }),
            generation: watch::Sender::new(0),
        })
    }

    /// The connection to ask: nothing is asked of the store before it is there.
    ///
    /// # Errors
    /// No member answers.
    pub async fn connection(&self) -> Result<Connection> {
        let asked = self.world.now();
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok(connection.clone());
        }
        // Those that waited meanwhile need not each try all members in turn.
        if let Some((at, why)) = &current.failed
            && *at >= asked
        {
            return Err(unreachable(why));
        }
        let mut reasons = Vec::new();
        for turn in 0..self.members.len() {
            let member = (current.at + turn) % self.members.len();
            match self.connect(member).await {
                Ok(channel) => {
                    let generation = *self.generation.borrow() + 1;
                    let connection = Connection { channel, member, generation };
                    current.at = member;
                    current.connection = Some(connection.clone());
                    current.failed = None;
                    self.generation.send_replace(generation);
                    return Ok(connection);
                }
                Err(why) => reasons.push(format!("{}: {why}", self.members[member].name)),
            }
        }
        let why = reasons.join("; ");
        tracing::warn!("no etcd member answers: {why}");
        current.failed = Some((self.world.now(), why.clone()));
        Err(unreachable(&why))
    }

    /// Connects, and asks for an answer that only a member with a leader can give: a stopped process
    /// accepts connections too.
    async fn connect(&self, member: usize) -> Result<Channel, String> {
        let connected = self.world.timeout(CONNECT, async {
            let channel = self.dial(member).await?;
            let probe = wire::RangeRequest { count_only: true, ..probe() };
            let answer: Result<wire::RangeResponse, _> =
                wire::unary(channel.clone(), wire::RANGE, probe).await;
            answer.map_err(|status| status.message().to_owned())?;
            Ok(channel)
        });
        connected.await.unwrap_or_else(|_| Err("no answer".into()))
    }

    /// A connection of its own, such as for a watch, whose unread bytes would hold up the others.
    pub async fn dial(&self, member: usize) -> Result<Channel, String> {
        self.members[member].endpoint.connect().await.map_err(|error| chain(&error))
    }

    /// This connection failed: the next question goes to the next member.
    pub async fn suspect(&self, connection: &Connection, why: &str) {
        let mut current = self.current.lock().await;
        if current.connection.as_ref().is_some_and(|now| now.generation == connection.generation) {
            tracing::warn!("leaving the etcd member {}: {why}", self.name(connection));
            current.connection = None;
            current.at = (connection.member + 1) % self.members.len();
            self.generation.send_modify(|generation| *generation += 1);
        }
    }

    pub fn name(&self, connection: &Connection) -> &str {
        &self.members[connection.member].name
    }

    /// Tells when connections change.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

/// The cheapest question whose answer carries the revision.
pub fn probe() -> wire::RangeRequest {
    wire::RangeRequest { key: b"/".to_vec(), count_only: true, ..Default::default() }
}

fn unreachable(why: &str) -> Error {
    Error::unavailable(format!("No etcd member answers ({why}). Try again."))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn endpoint(name: &str, options: &Options) -> Result<Endpoint> {
    let wrong = |why: &str| Error::bad_request(format!("{name} is not an etcd endpoint: {why}."));
    let secure = match name.split_once("://") {
        Some(("http", _)) => false,
        Some(("https", _)) => true,
        _ => return Err(wrong("it must begin with http:// or https://")),
    };
    let endpoint = Endpoint::from_shared(name.to_owned())
        .map_err(|error| wrong(&error.to_string()))?
        .connect_timeout(CONNECT)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        // etcd closes connections that are asked more often than each 5 seconds, or when idle.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    match (&options.tls, secure) {
        (None, false) => Ok(endpoint),
        (None, true) => Err(wrong("the CA that it is checked against is not given")),
        // Plain text after all, while a certificate was given: somebody would be surprised.
        (Some(_), false) => Err(wrong("with TLS it must begin with https://")),
        (Some(tls), true) => {
            let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca));
            if let Some((certificate, key)) = &tls.identity {
                config = config.identity(Identity::from_pem(certificate, key.expose()));
            }
            endpoint.tls_config(config).map_err(|error| wrong(&chain(&error)))
        }
    }
}
