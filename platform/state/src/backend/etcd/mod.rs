//! The store in etcd, for more than one controller. etcd must be ours alone: see [`EtcdStore::open`].
//!
//! A commit is asked once. When its answer does not come it is [`Outcome::Unknown`], and the member is
//! left for the next one; readings are asked again there. Watch and revision probe are asked of the same
//! member, so that a member that lags makes nobody wait for the other.

mod load;
mod members;
mod watch;
mod wire;

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Moment, Result, Revision, Secret, World};
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

use self::{
    members::{Connection, Members, probe},
    watch::EtcdWatch,
};
use crate::store::{
    Condition, Item, Key, LeaseId, MAX_OPERATIONS, Outcome, Reading, Store, Transaction, Watch,
    Write, prefix_end,
};

/// A commit without an answer for so long is unknown.
const COMMIT: Duration = Duration::from_secs(4);
/// A question without an answer for so long is asked of another member.
const READ: Duration = Duration::from_millis(1_500);
/// A whole load takes less than this for each part.
const LOAD: Duration = Duration::from_secs(60);
/// A question is asked of so many members before it is refused.
const ATTEMPTS: u32 = 3;
/// Says whose this etcd is. Not under `/`: no table, no load shows it.
const MARKER: &[u8] = b"!everstack";
/// The form of what is kept under `/`.
const FORMAT: &str = "everstack store, format 1";
/// The most that etcd takes as a request by default is 1.5 MiB.
const LARGEST_REQUEST: usize = 1_500_000;
/// How often history is compacted.
const COMPACT_EVERY: Duration = Duration::from_secs(300);

/// Where etcd is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The members: `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// For `https`.
    pub tls: Option<Tls>,
    /// History is kept for at least so long.
    pub keep: Duration,
}

impl Options {
    /// These members, history kept for 15 minutes.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Options {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Options { endpoints, tls: None, keep: Duration::from_secs(900) }
    }
}

/// How members and we know each other. All are PEM texts.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The CA that signed the members' certificates.
    pub ca: String,
    /// Our certificate and its key, when members ask for one.
    pub identity: Option<(String, Secret)>,
}

/// The store in etcd. Clones share the connection.
#[derive(Clone)]
pub struct EtcdStore {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    members: Members,
}

/// Why there is no answer.
enum Trouble {
    /// Nothing was asked.
    Unasked(Error),
    /// etcd refused; or the connection failed, if the member was left.
    Status(Status),
    /// Asked, and no answer came.
    Silence,
}

impl EtcdStore {
    /// Connects, and claims an empty etcd with a marker key. Whatever else wrote into it would raise the
    /// revision, fill its quota, and not be backed up with us.
    ///
    /// # Errors
    /// No member answers, the options are wrong, or the etcd is somebody else's or of a newer format.
    pub async fn open(world: World, options: Options) -> Result<EtcdStore> {
        let members = Members::new(&world, &options)?;
        let store = EtcdStore { inner: Arc::new(Inner { world: world.clone(), members }) };
        store.claim().await?;
        let weak = Arc::downgrade(&store.inner);
        let inside = world.clone();
        world.spawn("etcd-compaction", async move { compact(inside, weak, options.keep).await });
        Ok(store)
    }

    async fn claim(&self) -> Result<()> {
        for _ in 0..5 {
            let marker = wire::RangeRequest { key: MARKER.to_vec(), ..Default::default() };
            let marker: wire::RangeResponse = self.ask(wire::RANGE, &marker, READ).await?;
            if let Some(found) = marker.kvs.first() {
                let found = String::from_utf8_lossy(&found.value);
                if found == FORMAT {
                    return Ok(());
                }
                return Err(Error::conflict(format!(
                    "This etcd says that it holds \"{found}\"; this program knows \"{FORMAT}\". \
                     Run the program that wrote it, or a newer one."
                )));
            }
            let nothing = wire::Compare {
                target: wire::Target::Create.into(),
                key: vec![0],
                compared: Some(wire::Compared::CreateRevision(0)),
                range_end: vec![0],
            };
            let put = wire::PutRequest {
                key: MARKER.to_vec(),
                value: FORMAT.into(),
                ..Default::default()
            };
            let claim = wire::TxnRequest {
                compare: vec![nothing],
                success: vec![operation(wire::Request::Put(put))],
            };
            // If it is not known whether this was done, the next look tells.
            match self.once::<_, wire::TxnResponse>(wire::TXN, claim, COMMIT).await {
                Ok((_, answer)) if !answer.succeeded => {
                    let all = wire::RangeRequest {
                        key: vec![0],
                        range_end: vec![0],
                        count_only: true,
                        ..Default::default()
                    };
                    let all: wire::RangeResponse = self.ask(wire::RANGE, &all, READ).await?;
                    let marker = wire::RangeRequest { key: MARKER.to_vec(), ..Default::default() };
                    let marker: wire::RangeResponse = self.ask(wire::RANGE, &marker, READ).await?;
                    if marker.kvs.is_empty() {
                        return Err(Error::conflict(format!(
                            "This etcd holds {} keys of some other program. Everstack needs an etcd \
                             of its own.",
                            all.count
                        )));
                    }
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(Error::unavailable("This etcd could not be claimed. Try again."))
    }

    /// Asks once, of the current member.
    async fn once<Q, A>(
        &self,
        path: &'static str,
        question: Q,
        patience: Duration,
    ) -> Result<(Connection, A), Trouble>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let members = &self.inner.members;
        let connection = members.connection().await.map_err(Trouble::Unasked)?;
        let call = wire::unary(connection.channel.clone(), path, question);
        let trouble = match self.inner.world.timeout(patience, call).await {
            Ok(Ok(answer)) => return Ok((connection, answer)),
            Ok(Err(status)) if is_answer(&status) => return Err(Trouble::Status(status)),
            Ok(Err(status)) => Trouble::Status(status),
            Err(_) => Trouble::Silence,
        };
        members.suspect(&connection, &trouble.to_string()).await;
        Err(trouble)
    }

    /// Asks what may be asked again, of another member if need be. An `Err` is etcd's answer, or that
    /// nobody answers.
    async fn ask_or_status<Q, A>(
        &self,
        path: &'static str,
        question: &Q,
        patience: Duration,
    ) -> Result<Result<A, Status>>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match self.once(path, question.clone(), patience).await {
                Ok((_, answer)) => return Ok(Ok(answer)),
                Err(Trouble::Unasked(error)) => return Err(error),
                Err(Trouble::Status(status)) if is_answer(&status) => return Ok(Err(status)),
                Err(trouble) => last = trouble.to_string(),
            }
        }
        Err(Error::unavailable(format!("etcd does not answer ({last}). Try again.")))
    }

    async fn ask<Q, A>(&self, path: &'static str, question: &Q, patience: Duration) -> Result<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.ask_or_status(path, question, patience).await?.map_err(|status| refused(&status))
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Unasked(error) => error.fmt(f),
            Trouble::Status(status) => write!(f, "{:?}: {}", status.code(), status.message()),
            Trouble::Silence => f.write_str("no answer in time"),
        }
    }
}

/// Whether etcd itself says no, to this question, whoever is asked.
fn is_answer(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Unimplemented
    )
}

fn refused(status: &Status) -> Error {
    let (code, message) = (status.code(), status.message());
    match code {
        Code::ResourceExhausted => Error::unavailable(format!(
            "etcd has no room or too much to do: {message}. See `etcdctl alarm list`."
        )),
        Code::InvalidArgument => Error::bad_request(format!("etcd refuses: {message}.")),
        _ => Error::unavailable(format!("etcd refuses ({code:?}): {message}.")),
    }
}

/// What etcd says to a transaction before it proposes it: certainly not done.
fn certainly_not_done(status: &Status) -> Option<Error> {
    let message = status.message();
    match status.code() {
        Code::NotFound if message.contains("lease not found") => {
            Some(Error::bad_request("The lease has ended."))
        }
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => {
            Some(refused(status))
        }
        Code::ResourceExhausted
            if message.contains("space exceeded") || message.contains("too many requests") =>
        {
            Some(refused(status))
        }
        Code::Unavailable if message == "etcdserver: no leader" => {
            Some(Error::unavailable("etcd has no leader: most of its members are down. Try again."))
        }
        Code::Unknown if message.contains("raft proposal dropped") => {
            Some(Error::unavailable("etcd changes its leader. Try again."))
        }
        _ => None,
    }
}

fn revision(header: Option<&wire::Header>) -> Revision {
    Revision(header.map_or(0, |header| u64::try_from(header.revision).unwrap_or(0)))
}

/// As etcd counts; a revision that it never reaches is `None`.
fn number(revision: Revision) -> Option<i64> {
    i64::try_from(revision.0).ok().filter(|number| *number > 0)
}

fn operation(request: wire::Request) -> wire::RequestOp {
    wire::RequestOp { request: Some(request) }
}

/// The end of the range of keys with this prefix, as etcd names it; `\0` is "no end".
fn range_end(prefix: &str) -> Vec<u8> {
    prefix_end(ours(prefix)).map_or_else(|| vec![0], String::into_bytes)
}

fn range_start(prefix: &str) -> Vec<u8> {
    ours(prefix).as_bytes().to_vec()
}

/// Everything of ours starts with a slash; and etcd has no empty keys.
fn ours(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}

/// `None`: it can never hold.
fn compare(condition: &Condition) -> Option<wire::Compare> {
    use wire::{Compared, Target};
    let compare = |target: Target, key: Vec<u8>, compared| wire::Compare {
        target: target.into(),
        key,
        compared: Some(compared),
        range_end: Vec::new(),
    };
    let bytes = |key: &Key| key.as_bytes().to_vec();
    Some(match condition {
        Condition::Unchanged { key, modified } => {
            compare(Target::Mod, bytes(key), Compared::ModRevision(number(*modified)?))
        }
        Condition::Alive { key, created } => {
            compare(Target::Create, bytes(key), Compared::CreateRevision(number(*created)?))
        }
        Condition::Absent { key } => {
            compare(Target::Create, bytes(key), Compared::CreateRevision(0))
        }
        // Holds for a range when it holds for each key there: a key that is there has been created.
        Condition::Empty { prefix } => wire::Compare {
            range_end: range_end(prefix),
            ..compare(Target::Create, range_start(prefix), Compared::CreateRevision(0))
        },
    })
}

fn write(write: &Write) -> wire::RequestOp {
    operation(match write {
        Write::Put { key, value, lease } => wire::Request::Put(wire::PutRequest {
            key: key.as_bytes().to_vec(),
            value: value.to_vec(),
            lease: lease.map_or(0, |lease| lease.0),
        }),
        Write::Delete { key } => {
            wire::Request::DeleteRange(wire::DeleteRangeRequest { key: key.as_bytes().to_vec() })
        }
    })
}

fn item(kv: wire::KeyValue) -> Result<Item> {
    let key = String::from_utf8(kv.key)
        .map_err(|_| Error::internal("etcd holds a key that is not text."))?;
    let number = |revision: i64| Revision(u64::try_from(revision).unwrap_or(0));
    Ok(Item {
        key: key.into(),
        value: Bytes::from(kv.value),
        created: number(kv.create_revision),
        modified: number(kv.mod_revision),
        lease: (kv.lease != 0).then_some(LeaseId(kv.lease)),
    })
}

#[async_trait]
impl Store for EtcdStore {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        transaction.check()?;
        let compares: Option<Vec<_>> = transaction.conditions.iter().map(compare).collect();
        let Some(compare) = compares else { return Ok(Outcome::Conflict) };
        let success = transaction.writes.iter().map(write).collect();
        let request = wire::TxnRequest { compare, success };
        let size = request.encoded_len();
        if size > LARGEST_REQUEST {
            return Err(Error::bad_request(format!(
                "{}: a request of {size} bytes; {LARGEST_REQUEST} is the limit",
                transaction.label
            )));
        }
        match self.once::<_, wire::TxnResponse>(wire::TXN, request, COMMIT).await {
            Ok((_, answer)) if answer.succeeded => {
                Ok(Outcome::Done(revision(answer.header.as_ref())))
            }
            Ok(_) => Ok(Outcome::Conflict),
            Err(Trouble::Unasked(error)) => Err(error),
            Err(Trouble::Status(status)) => match certainly_not_done(&status) {
                Some(error) => Err(error),
                None => Ok(Outcome::Unknown(Trouble::Status(status).to_string())),
            },
            Err(Trouble::Silence) => Ok(Outcome::Unknown(Trouble::Silence.to_string())),
        }
    }

    async fn revision(&self) -> Result<Revision> {
        let answer: wire::RangeResponse = self.ask(wire::RANGE, &probe(), READ).await?;
        Ok(revision(answer.header.as_ref()))
    }

    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        for _ in 0..ATTEMPTS {
            if let Some(reading) = self.get_at_once(keys).await? {
                return Ok(reading);
            }
        }
        Err(Error::unavailable("etcd compacts faster than it can be read. Try again."))
    }

    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        self.load_sharded(prefix).await
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        Ok(Box::new(EtcdWatch::open(self, after).await?))
    }

    async fn compact(&self, upto: Revision) -> Result<()> {
        let Some(asked) = number(upto.min(self.revision().await?)) else { return Ok(()) };
        let request = wire::CompactionRequest { revision: asked };
        let answer: Result<wire::Nothing, _> =
            self.ask_or_status(wire::COMPACT, &request, COMMIT).await?;
        match answer {
            Ok(_) => Ok(()),
            Err(status) if status.message().contains("has been compacted") => Ok(()),
            Err(status) => Err(refused(&status)),
        }
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
        let request = wire::LeaseGrantRequest { ttl };
        // A lease whose answer was lost ends by itself.
        let answer: wire::LeaseGrantResponse =
            self.ask(wire::LEASE_GRANT, &request, COMMIT).await?;
        if answer.id == 0 {
            return Err(Error::unavailable(format!("etcd grants no lease: {}", answer.error)));
        }
        Ok(LeaseId(answer.id))
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        let members = &self.inner.members;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let connection = members.connection().await?;
            let call = wire::keep_alive(connection.channel.clone(), lease.0);
            match self.inner.world.timeout(READ, call).await {
                Ok(Ok(left)) => return Ok(left > 0),
                Ok(Err(status)) if status.code() == Code::NotFound => return Ok(false),
                Ok(Err(status)) => last = Trouble::Status(status).to_string(),
                Err(_) => last = Trouble::Silence.to_string(),
            }
            members.suspect(&connection, &last).await;
        }
        Err(Error::unavailable(format!("etcd does not answer ({last}). Try again.")))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let request = wire::LeaseRequest { id: lease.0 };
        let answer: Result<wire::Nothing, _> =
            self.ask_or_status(wire::LEASE_REVOKE, &request, COMMIT).await?;
        match answer {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(refused(&status)),
        }
    }
}

impl EtcdStore {
    /// `None`: history was compacted away between two parts of the reading.
    async fn get_at_once(&self, keys: &[Key]) -> Result<Option<Reading<Vec<Option<Item>>>>> {
        if keys.is_empty() {
            let revision = self.revision().await?;
            return Ok(Some(Reading { revision, items: Vec::new() }));
        }
        let mut at = Revision(0);
        let mut items = Vec::with_capacity(keys.len());
        for part in keys.chunks(MAX_OPERATIONS) {
            let get = |key: &Key| {
                operation(wire::Request::Range(wire::RangeRequest {
                    key: range_start(key),
                    // The first part is read at the newest revision, the others at that one.
                    revision: number(at).unwrap_or(0),
                    ..Default::default()
                }))
            };
            let request =
                wire::TxnRequest { compare: Vec::new(), success: part.iter().map(get).collect() };
            let answer: wire::TxnResponse =
                match self.ask_or_status(wire::TXN, &request, LOAD).await? {
                    Ok(answer) => answer,
                    Err(status) if is_compacted(&status) => return Ok(None),
                    Err(status) => return Err(refused(&status)),
                };
            if at == Revision(0) {
                at = revision(answer.header.as_ref());
            }
            if answer.responses.len() != part.len() {
                return Err(Error::internal("etcd did not answer all of a reading."));
            }
            for (key, response) in part.iter().zip(answer.responses) {
                let found = response.range.and_then(|range| range.kvs.into_iter().next());
                let found = found.map(item).transpose()?;
                items.push(found.filter(|item| item.key == *key));
            }
        }
        Ok(Some(Reading { revision: at, items }))
    }
}

fn is_compacted(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("has been compacted")
}

/// Forgets history that is older than `keep`. Several controllers that do so disturb nobody.
async fn compact(world: World, inner: Weak<Inner>, keep: Duration) {
    let mut seen: VecDeque<(Moment, Revision)> = VecDeque::new();
    loop {
        world.sleep(COMPACT_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let store = EtcdStore { inner };
        let now = world.now();
        let mut upto = None;
        while let Some((at, revision)) = seen.front().copied()
            && now.since(at) >= keep
        {
            upto = Some(revision);
            seen.pop_front();
        }
        let done = match upto {
            Some(upto) => store.compact(upto).await,
            None => Ok(()),
        };
        match (done, store.revision().await) {
            (Ok(()), Ok(revision)) => seen.push_back((now, revision)),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!("etcd's history could not be compacted: {error}");
            }
        }
    }
}
