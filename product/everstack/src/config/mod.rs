//! The configuration: one typed struct with complete defaults, filled from defaults, one TOML file, the
//! environment and flags, in that order. Where each value came from is kept for `config show`.

mod layers;
mod show;

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use layers::{Layers, Origin};
pub use show::show;

/// The effective configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept: the store, images, machines, credentials. Since 0.1
    pub state_dir: PathBuf,
    /// Address and port of all APIs. Beyond loopback it needs TLS. Since 0.1
    pub listen: SocketAddr,
    /// What the catalog's URLs begin with; made from `listen` when unset. Since 0.1
    pub public_url: Option<String>,
    /// Serve plain HTTP beyond loopback all the same. Since 0.1
    pub insecure_http: bool,
    /// The certificate chain of the APIs, PEM. Unset beyond loopback: one of the cloud's own CA. Since 0.1
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM. Since 0.1
    pub tls_key: Option<PathBuf>,
    /// The region in the catalog. Since 0.1
    pub region: String,
    /// Logs. Since 0.1
    pub log: Log,
    /// The controller. Since 0.1
    pub controller: Controller,
    /// The node. Since 0.1
    pub node: Node,
    /// The image service. Since 0.1
    pub image: Image,
    /// Simulated nodes in place of a real one. Since 0.1
    pub simulated: Simulated,
}

/// Logs go to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What is logged: a level, or `target=level` pairs separated by commas.
    pub filter: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The controller's own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Its name among the controllers, stable over restarts; the host's name when unset.
    pub name: Option<String>,
    /// `embedded`, or `etcd` for more than one controller.
    pub store: StoreKind,
    /// The etcd members' client URLs.
    pub etcd_endpoints: Vec<String>,
    /// The CA of etcd's certificates, PEM; with it TLS is used.
    pub etcd_ca: Option<PathBuf>,
    /// The client certificate for etcd, PEM.
    pub etcd_cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub etcd_key: Option<PathBuf>,
    /// Overrides of policy rules: lines of `"name": "rule"`.
    pub policy_file: Option<PathBuf>,
    /// Where nodes of other hosts dial in; unset: only this process's own node.
    pub node_listen: Option<SocketAddr>,
    /// How long the controller's session outlives its last renewal, in seconds.
    pub session_ttl_s: u64,
}

/// Which store backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// SQLite in the state directory: one controller.
    Embedded,
    /// etcd: several controllers.
    Etcd,
    /// In memory: gone with the process. For tests of tools.
    Memory,
}

/// The node's own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name; the host's name when unset.
    pub name: Option<String>,
    /// Where other nodes reach it.
    pub address: String,
    /// `auto`, `kvm` or `tcg`. `auto` looks for vmx or svm in the processor's flags.
    pub acceleration: String,
    /// Where programs are looked for, as in PATH.
    pub path: String,
    /// QEMU's program.
    pub qemu: PathBuf,
    /// QEMU's image tool.
    pub qemu_img: PathBuf,
    /// The user that machines run as when everstack runs as root; unset: root's own.
    pub user: Option<String>,
    /// Processors to offer; all when unset.
    pub vcpus: Option<u32>,
    /// Memory to offer in MiB; all when unset.
    pub ram_mib: Option<u64>,
    /// Disk to offer in GiB; what the state directory's disk has when unset.
    pub disk_gib: Option<u64>,
    /// Controllers to dial, `host:port`.
    pub controllers: Vec<String>,
    /// The cloud's CA, this node's certificate and key, one PEM file each.
    pub ca: Option<PathBuf>,
    /// This node's certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

/// The image service's own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Content must be of the declared `disk_format`. Without this, content that nothing recognises is
    /// taken, and never booted; what reaches outside itself is refused always.
    pub require_format_match: bool,
}

/// Simulated nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// How many; 0: a real node.
    pub nodes: u32,
    /// Processors of each.
    pub vcpus: u32,
    /// Memory of each in MiB.
    pub ram_mib: u64,
    /// Disk of each in GiB.
    pub disk_gib: u64,
    /// How long a machine takes to start, in milliseconds.
    pub start_ms: u64,
}

impl Config {
    /// The defaults for this user and host.
    pub fn defaults(root: bool, home: Option<PathBuf>, path: String) -> Config {
        let state_dir = match (root, home) {
            (false, Some(home)) => home.join(".local/state/everstack"),
            _ => PathBuf::from("/var/lib/everstack"),
        };
        Config {
            state_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            public_url: None,
            insecure_http: false,
            tls_cert: None,
            tls_key: None,
            region: "RegionOne".into(),
            log: Log { format: LogFormat::Text, filter: "info".into() },
            controller: Controller {
                name: None,
                store: StoreKind::Embedded,
                etcd_endpoints: vec![],
                etcd_ca: None,
                etcd_cert: None,
                etcd_key: None,
                policy_file: None,
                node_listen: None,
                session_ttl_s: 10,
            },
            node: Node {
                name: None,
                address: "127.0.0.1".into(),
                acceleration: "auto".into(),
                path,
                qemu: "qemu-system-x86_64".into(),
                qemu_img: "qemu-img".into(),
                user: None,
                vcpus: None,
                ram_mib: None,
                disk_gib: None,
                controllers: vec![],
                ca: None,
                cert: None,
                key: None,
            },
            image: Image { require_format_match: true },
            simulated: Simulated {
                nodes: 0,
                vcpus: 64,
                ram_mib: 256 * 1024,
                disk_gib: 10 * 1024,
                start_ms: 0,
            },
        }
    }
}
