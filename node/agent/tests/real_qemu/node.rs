//! A node of its own process: this program again, told by a variable to be one. It speaks with the test
//! over a socket, one JSON text a line, and can be killed like a power cut for the agent.

use std::{
    fs,
    ops::Range,
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use agent::{
    Agent, AgentConfig, HostFacts, Manners, boot_id,
    drivers::hypervisor::qemu::{Qemu, QemuConfig},
    images::{CacheLimits, ImageCache},
    inventory,
    orders_store::Directory,
};
use async_trait::async_trait;
use base::{Error, Result, World};
use bytes::Bytes;
use orders::{Connector, ImageRef, ImageSource, NodeEnd, ToController, ToNode};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::mpsc,
};

/// The variable that makes this program a node, and names its directory.
pub const DIRECTORY: &str = "EVERSTACK_TEST_NODE";
/// The test's socket in that directory.
pub const SOCKET: &str = "controller.sock";
/// Images to fetch from, by their ids, in that directory.
pub const SOURCE: &str = "source";

/// Starts a node on this directory.
pub fn start(directory: &Path) -> Child {
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(directory.join("node.log"))
        .expect("a log");
    Command::new(std::env::current_exe().expect("this program"))
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("a node")
}

/// The driver of a node in this directory.
pub async fn driver(world: &World, directory: &Path, overlay: bool) -> Result<Qemu> {
    let source = Arc::new(Files { world: world.clone(), directory: directory.join(SOURCE) });
    let limits = CacheLimits { patience: Duration::from_secs(5), ..CacheLimits::default() };
    let images = ImageCache::open(world, &directory.join("images"), source, limits).await?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = QemuConfig { overlay, ..QemuConfig::new(directory.join("machines"), path) };
    Qemu::open(world, config, &HostFacts::read()?, images).await
}

/// The node's own main function.
pub fn main(directory: PathBuf) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let error = runtime.block_on(serve(directory)).expect_err("it serves for ever");
    eprintln!("{error:?}");
    ExitCode::FAILURE
}

async fn serve(directory: PathBuf) -> Result<()> {
    let world = World::real();
    let driver = driver(&world, &directory, true).await?;
    let config = AgentConfig {
        name: "node".to_owned(),
        address: String::new(),
        boot: boot_id()?,
        version: String::new(),
        level: 1,
        inventory: inventory(&HostFacts::read()?, 1, &driver.facts()),
        manners: Arc::new(Manners { stop_grace: Duration::from_secs(90), ..Manners::default() }),
        pace: Arc::default(),
    };
    let disk = Directory::open(&world, &directory.join("orders")).await?;
    let dial = Dial { world: world.clone(), socket: directory.join(SOCKET) };
    Agent::new(world, config, Arc::new(driver), Arc::new(dial), Arc::new(disk)).run().await
}

/// Bytes of images from files.
pub struct Files {
    pub world: World,
    pub directory: PathBuf,
}

#[async_trait]
impl ImageSource for Files {
    async fn fetch(&self, image: &ImageRef, range: Range<u64>) -> Result<Bytes> {
        let path = self.directory.join(&image.id);
        self.world
            .blocking(move || {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("small")];
                let read = fs::File::open(path).and_then(|f| f.read_at(&mut bytes, range.start));
                let length = read.map_err(|e| Error::not_found(e.to_string()))?;
                bytes.truncate(length);
                Ok(bytes.into())
            })
            .await
    }
}

struct Dial {
    world: World,
    socket: PathBuf,
}

#[async_trait]
impl Connector for Dial {
    async fn connect(&self) -> Result<NodeEnd> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| Error::unavailable(e.to_string()))?;
        let (read, mut write) = stream.into_split();
        let (sender, mut up) = mpsc::channel::<ToController>(64);
        let (down, receiver) = mpsc::channel::<ToNode>(64);
        self.world.spawn("up", async move {
            while let Some(message) = up.recv().await {
                let line = serde_json::to_string(&message).expect("JSON") + "\n";
                if write.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        self.world.spawn("down", async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let message = serde_json::from_str(&line).expect("a message");
                if down.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(NodeEnd { sender, receiver })
    }
}

/// A QEMU below a directory: which machine, its process, when it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub machine: String,
    pub pid: u32,
    pub ticks: u64,
}

/// All QEMUs of machines below a directory, whoever knows of them.
pub fn qemus(directory: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut arguments = line.split('\0').skip_while(|argument| *argument != "-pidfile");
        let Some(file) = arguments.nth(1).map(Path::new) else { continue };
        let Ok(rest) = file.strip_prefix(directory.join("machines")) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        if fields.starts_with('Z') {
            continue;
        }
        let machine = rest.iter().next().expect("a name").to_string_lossy().into_owned();
        let ticks = fields.split(' ').nth(19).expect("ticks").parse().expect("a number");
        found.push(Found { machine, pid, ticks });
    }
    found
}
