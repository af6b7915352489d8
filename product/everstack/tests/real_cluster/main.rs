//! Two controllers on three etcd members, all of them processes: what one acknowledged is read at the other
//! at once, also while members are stopped and killed. `cargo xtask test` runs this inside a wrapper with its
//! own network, process and mount namespaces, so that nothing outlives it; outside it fails at once.

#![expect(clippy::print_stdout, reason = "it says how much it did")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base::World;
use everstack::{client::Client, credentials::Passwords};
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Until everything answers again.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a member is away.
const AWAY: Duration = Duration::from_secs(4);

/// Processes that end with the test.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, log: PathBuf) -> Process {
        let file = fs::File::options().append(true).create(true).open(&log).expect("a log");
        let errors = file.try_clone().expect("the log");
        command.env_remove("EVERSTACK_TEST_IMAGE").stdin(Stdio::null());
        let child = command.stdout(file).stderr(errors).spawn().expect("it starts");
        Process { child, log }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn client_url(member: usize) -> String {
    format!("http://127.0.0.1:{}", 2400 + member)
}

fn peer_url(member: usize) -> String {
    format!("http://127.0.0.1:{}", 2500 + member)
}

fn member(directory: &Path, number: usize) -> Process {
    let everybody: Vec<String> = (0..3).map(|n| format!("m{n}={}", peer_url(n))).collect();
    let mut command = Command::new("etcd");
    command
        .args(["--name", &format!("m{number}"), "--initial-cluster", &everybody.join(",")])
        .args(["--listen-client-urls", &client_url(number)])
        .args(["--advertise-client-urls", &client_url(number)])
        .args(["--listen-peer-urls", &peer_url(number)])
        .args(["--initial-advertise-peer-urls", &peer_url(number)])
        .arg("--data-dir")
        .arg(directory.join(format!("m{number}")));
    Process::start(&mut command, directory.join(format!("m{number}.log")))
}

fn controller(directory: &Path, number: usize) -> Process {
    let endpoints: Vec<String> = (0..3).map(client_url).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_everstack"));
    command
        .arg("controller")
        .args(["--listen", &format!("127.0.0.1:{}", 5100 + number)])
        .args(["--set", &format!("controller.name=c{number}")])
        .args(["--set", "controller.store=etcd", "--set"])
        .arg(format!("controller.etcd_endpoints={}", json!(endpoints)))
        .args(["--log", "warn", "--state-dir"])
        .arg(directory.join(format!("c{number}")));
    Process::start(&mut command, directory.join(format!("c{number}.log")))
}

/// Waits until a controller answers, and logs in.
async fn log_in(world: &World, directory: &Path, number: usize, process: &Process) -> Client {
    let deadline = world.now() + SETTLED;
    let state = directory.join(format!("c{number}"));
    loop {
        if state.join("url").exists()
            && let Ok(passwords) = Passwords::open_or_make(world, &state)
        {
            let url = format!("http://127.0.0.1:{}", 5100 + number);
            let mut client = Client::new(world, &url, None);
            if client.log_in(passwords.admin.expose()).await.is_ok() {
                return client;
            }
        }
        assert!(world.now() < deadline, "c{number} does not answer:\n{}", process.said());
        world.sleep(Duration::from_millis(50)).await;
    }
}

/// What came of the requests of a phase.
#[derive(Default, Debug)]
struct Count {
    writes: u32,
    reads: u32,
    refused: u32,
}

struct Cluster {
    world: World,
    clients: [Client; 2],
    number: u32,
}

impl Cluster {
    /// One request. None when it was answered 503: nothing is said then. Silence is no answer.
    async fn ask(
        &self,
        to: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
        count: &mut Count,
    ) -> Option<u16> {
        let asked = self.clients[to].request(method.clone(), path, body.as_ref()).await;
        let (status, answer) = asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        if status == 503 {
            count.refused += 1;
            return None;
        }
        assert!(status != 500, "{method} {path}: {answer}");
        Some(status.as_u16())
    }

    /// Something is made at one controller, read at the other, deleted there, and missed at the first.
    /// Whether all of it was answered.
    async fn turn(&mut self, count: &mut Count) -> bool {
        self.number += 1;
        let (here, there) = if self.number.is_multiple_of(2) { (0, 1) } else { (1, 0) };
        let id = format!("r{}", self.number);
        let path = format!("/identity/v3/regions/{id}");
        let wish = json!({"region": {"id": id}});
        let made = self.ask(here, Method::POST, "/identity/v3/regions", Some(wish), count).await;
        let Some(status) = made else { return false };
        assert_eq!(status, 201, "{id} is made");
        count.writes += 1;
        let Some(status) = self.ask(there, Method::GET, &path, None, count).await else {
            return false;
        };
        assert_eq!(status, 200, "{id} was acknowledged at c{here}, c{there} does not know it");
        count.reads += 1;
        let gone = self.ask(there, Method::DELETE, &path, None, count).await;
        let Some(status) = gone else { return false };
        assert_eq!(status, 204, "{id} is deleted");
        count.writes += 1;
        let Some(status) = self.ask(here, Method::GET, &path, None, count).await else {
            return false;
        };
        assert_eq!(status, 404, "{id} was deleted at c{there}, c{here} still shows it");
        count.reads += 1;
        true
    }

    /// Turns for so long, then until everything is answered again.
    async fn through(&mut self, what: &str, time: Duration, heal: impl FnOnce()) {
        let mut count = Count::default();
        let end = self.world.now() + time;
        // From one turn that was answered to the next.
        let mut last = self.world.now();
        let mut longest = Duration::ZERO;
        let mut note = |world: &World, answered: bool| {
            if answered {
                longest = longest.max(world.now().since(last));
                last = world.now();
            }
        };
        while self.world.now() < end {
            let answered = self.turn(&mut count).await;
            note(&self.world, answered);
        }
        heal();
        let deadline = self.world.now() + SETTLED;
        let mut in_a_row = 0;
        while in_a_row < 20 {
            let answered = self.turn(&mut count).await;
            note(&self.world, answered);
            in_a_row = if answered { in_a_row + 1 } else { 0 };
            assert!(self.world.now() < deadline, "not well again in time after: {what}");
        }
        println!("{what}: {count:?}, longest from one answered turn to the next {longest:?}");
    }
}

#[tokio::test]
async fn what_one_controller_acknowledged_the_other_shows_whatever_happens_to_etcd() {
    assert!(
        std::env::var_os("EVERSTACK_REAL").is_some(),
        "This test starts etcd: run it by `cargo xtask test`."
    );
    let world = World::real();
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let mut members: Vec<Process> = (0..3).map(|number| member(directory, number)).collect();
    let first = controller(directory, 0);
    let client = log_in(&world, directory, 0, &first).await;
    // What controllers must have in common besides the store.
    fs::create_dir_all(directory.join("c1")).expect("a directory");
    for file in ["sealing.key", "passwords.json"] {
        let copied = fs::copy(directory.join("c0").join(file), directory.join("c1").join(file));
        copied.expect("a copy");
    }
    let second = controller(directory, 1);
    let other = log_in(&world, directory, 1, &second).await;
    let mut cluster = Cluster { world: world.clone(), clients: [client, other], number: 0 };

    let mut calm = Count::default();
    for _ in 0..1000 {
        assert!(cluster.turn(&mut calm).await, "refused without a reason:\n{}", first.said());
    }
    println!("calm: {calm:?}");
    // Each member in turn, so that the one that leads and those that serve the watches are among them; the
    // kills first, since a stopped one no longer leads.
    for (number, process) in members.iter_mut().enumerate() {
        process.signal(Signal::KILL);
        process.child.wait().expect("it ends");
        let heal = || *process = member(directory, number);
        cluster.through(&format!("m{number} is killed and started"), AWAY, heal).await;
    }
    for (number, process) in members.iter().enumerate() {
        process.signal(Signal::STOP);
        let heal = || process.signal(Signal::CONT);
        cluster.through(&format!("m{number} is stopped and goes on"), AWAY, heal).await;
    }
    // Without a quorum nothing is said, neither true nor old; then all is as before.
    for process in &members[..2] {
        process.signal(Signal::STOP);
    }
    let heal = || members[..2].iter().for_each(|process| process.signal(Signal::CONT));
    cluster.through("two of three are stopped", AWAY, heal).await;
}
