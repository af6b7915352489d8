//! A cloud that dies: this program again, told by a variable to be `everstack up` on a store that kills
//! its process before and after the first commit of each name. What was died at is kept in a file, so
//! that the next start gets further.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use base::{Result, Revision, Set, World};
use everstack::{config::Config, roles};
use rustix::process::{Signal, getpid, kill_process};
use state::{Item, Key, LeaseId, Outcome, Reading, Store, Transaction, Watch};

/// The variable that makes this program a cloud, and names its state directory.
pub const DIRECTORY: &str = "EVERSTACK_TEST_DOOMED";
/// The port of its APIs.
pub const PORT: u16 = 5001;
/// How many simulated nodes it has.
pub const NODES: u32 = 3;

/// The file of the deaths that it died, beside the state directory.
fn file(directory: &Path) -> PathBuf {
    directory.with_extension("deaths")
}

/// The deaths that were died: `before servers::create`, `after servers::create`, …
pub fn deaths(directory: &Path) -> Set<String> {
    let text = fs::read_to_string(file(directory)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The cloud's own main function.
pub fn main(directory: PathBuf) -> ExitCode {
    let mut config = Config::defaults(true, None, String::new());
    config.state_dir.clone_from(&directory);
    config.listen.set_port(PORT);
    config.simulated.nodes = NODES;
    // As the program's own main function has it.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    everstack::logging::start(&config.log).expect("a log");
    let world = World::real();
    let doomed = |store| Arc::new(Doomed { store, directory }) as Arc<dyn Store>;
    match runtime.block_on(roles::up_on(&world, &config, false, doomed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// The store that kills.
struct Doomed {
    store: Arc<dyn Store>,
    directory: PathBuf,
}

impl Doomed {
    /// Dies, unless that death was died before.
    fn die(&self, moment: &str, label: &str) {
        let death = format!("{moment} {label}");
        // Two commits of one name at one time may both write it: a line twice is read as one.
        if deaths(&self.directory).contains(&death) {
            return;
        }
        let path = file(&self.directory);
        let opened = fs::File::options().create(true).append(true).open(path);
        opened.and_then(|mut file| writeln!(file, "{death}")).expect("deaths are kept");
        kill_process(getpid(), Signal::KILL).expect("one may kill oneself");
    }
}

#[async_trait]
impl Store for Doomed {
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.die("before", transaction.label);
        let outcome = self.store.commit(transaction).await?;
        if matches!(outcome, Outcome::Done(_)) {
            self.die("after", transaction.label);
        }
        Ok(outcome)
    }

    async fn revision(&self) -> Result<Revision> {
        self.store.revision().await
    }

    fn local_revision(&self) -> Option<Revision> {
        self.store.local_revision()
    }

    async fn get(&self, keys: &[Key]) -> Result<Reading<Vec<Option<Item>>>> {
        self.store.get(keys).await
    }

    async fn load(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        self.store.load(prefix).await
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>> {
        self.store.watch(after).await
    }

    async fn compact(&self, upto: Revision) -> Result<()> {
        self.store.compact(upto).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.store.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        self.store.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.store.revoke(lease).await
    }
}
