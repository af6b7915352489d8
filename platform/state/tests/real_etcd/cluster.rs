//! A cluster of real etcd members on loopback, which can be killed, stopped and started again.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base::{Secret, World};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustix::process::{Pid, Signal, kill_process};
use state::{
    Store as _,
    backend::{
        EtcdStore,
        etcd::{Options, Tls},
    },
};

pub struct Cluster {
    members: Vec<Member>,
    authority: Option<Authority>,
    dir: tempfile::TempDir,
}

struct Member {
    name: String,
    client: u16,
    peer: u16,
    child: Option<Child>,
}

/// Who signs, and what it signed.
struct Authority {
    ca: String,
    client: (String, Secret),
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Authority {
    /// A CA, a certificate for all members and one for clients, as files too.
    fn make(dir: &Path) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("a CA").pem();
        let issuer = Issuer::new(params, key);
        let sign = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).expect("parameters");
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("signed").pem();
            (certificate, key.serialize_pem())
        };
        let (certificate, key) = sign(&["127.0.0.1", "localhost"]);
        for (name, text) in [("ca.pem", &ca), ("member.pem", &certificate), ("member.key", &key)] {
            fs::write(dir.join(name), text).expect("written");
        }
        let (certificate, key) = sign(&["controller"]);
        Authority { ca, client: (certificate, Secret::new(key)) }
    }
}

impl Cluster {
    /// Starts so many members, and does not wait for them.
    pub fn start(count: usize, tls: bool) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = tls.then(|| Authority::make(dir.path()));
        let members = (0..count)
            .map(|n| Member {
                name: format!("member{n}"),
                client: free_port(),
                peer: free_port(),
                child: None,
            })
            .collect();
        let mut cluster = Cluster { members, authority, dir };
        for n in 0..count {
            cluster.restart(n);
        }
        cluster
    }

    fn scheme(&self) -> &'static str {
        if self.authority.is_some() { "https" } else { "http" }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a member that does not run.
    pub fn restart(&mut self, n: usize) {
        let scheme = self.scheme();
        let all: Vec<_> = self
            .members
            .iter()
            .map(|member| format!("{}={scheme}://127.0.0.1:{}", member.name, member.peer))
            .collect();
        let member = &self.members[n];
        let client = format!("{scheme}://127.0.0.1:{}", member.client);
        let peer = format!("{scheme}://127.0.0.1:{}", member.peer);
        let log = fs::File::create(self.path(&format!("{}.log", member.name))).expect("a log");
        let mut command = Command::new("etcd");
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.path(&member.name))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(["--snapshot-count", "10000", "--logger", "zap", "--log-outputs", "stderr"]);
        if self.authority.is_some() {
            for kind in ["", "peer-"] {
                for (option, file) in [
                    ("cert-file", "member.pem"),
                    ("key-file", "member.key"),
                    ("trusted-ca-file", "ca.pem"),
                ] {
                    command.arg(format!("--{kind}{option}")).arg(self.path(file));
                }
                command.arg(format!("--{kind}client-cert-auth"));
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed: apt install etcd-server");
        self.members[n].child = Some(child);
    }

    pub fn endpoint(&self, n: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme(), self.members[n].client)
    }

    pub fn port(&self, n: usize) -> u16 {
        self.members[n].client
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn options(&self) -> Options {
        let endpoints = (0..self.len()).map(|n| self.endpoint(n));
        Options { tls: self.tls(), ..Options::new(endpoints) }
    }

    pub fn tls(&self) -> Option<Tls> {
        let authority = self.authority.as_ref()?;
        Some(Tls { ca: authority.ca.clone(), identity: Some(authority.client.clone()) })
    }

    /// A store over all members, once they answer.
    pub async fn store(&self, world: &World) -> EtcdStore {
        self.store_with(world, self.options()).await
    }

    pub async fn store_with(&self, world: &World, options: Options) -> EtcdStore {
        let started = world.now();
        loop {
            match EtcdStore::open(world.clone(), options.clone()).await {
                Ok(store) => return store,
                Err(error) if world.now().since(started) > Duration::from_secs(60) => {
                    panic!("etcd does not start: {error:?}\n{}", self.logs())
                }
                Err(_) => world.sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn logs(&self) -> String {
        let log = |member: &Member| {
            let path = self.path(&format!("{}.log", member.name));
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(15).collect();
            format!("{}:\n{}\n", member.name, lines.join("\n"))
        };
        self.members.iter().map(log).collect()
    }

    /// As `kill -9`.
    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.members[n].child.take() {
            child.kill().expect("killed");
            child.wait().expect("dead");
        }
    }

    fn signal(&self, n: usize, signal: Signal) {
        let child = self.members[n].child.as_ref().expect("it runs");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("signalled");
    }

    /// It does nothing any more, and its connections stay open.
    pub fn stop(&self, n: usize) {
        self.signal(n, Signal::STOP);
    }

    pub fn go_on(&self, n: usize) {
        self.signal(n, Signal::CONT);
    }

    /// The member that leads, as etcdctl tells.
    pub fn leader(&self) -> Option<usize> {
        let endpoints: Vec<_> = (0..self.len()).map(|n| self.endpoint(n)).collect();
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoints.join(",")]);
        if self.authority.is_some() {
            command.arg("--cacert").arg(self.path("ca.pem"));
            command.arg("--cert").arg(self.path("member.pem"));
            command.arg("--key").arg(self.path("member.key"));
        }
        let output = command
            .args(["--command-timeout", "2s", "endpoint", "status"])
            .output()
            .expect("etcdctl is installed: apt install etcd-client");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.split(", ").nth(4) == Some("true"))?;
        (0..self.len()).find(|n| line.starts_with(&self.endpoint(*n)))
    }

    /// Waits until all answer.
    pub async fn healthy(&self, world: &World) {
        for n in 0..self.len() {
            let options = Options { tls: self.tls(), ..Options::new([self.endpoint(n)]) };
            let store = self.store_with(world, options).await;
            store.revision().await.expect("healthy");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for n in 0..self.len() {
            self.kill(n);
        }
    }
}
