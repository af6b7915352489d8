//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use base::Result;
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::config::Layers;

/// A highly available private cloud that speaks the OpenStack APIs.
#[derive(Debug, Parser)]
#[command(
    name = "everstack",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options that every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// Options that every command takes.
#[derive(Args, Debug, Default)]
pub struct Common {
    /// Where everything is kept [default: /var/lib/everstack, or ~/.local/state/everstack for a user]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The configuration file [default: /etc/everstack.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port of the APIs
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// What to log: a level, or target=level pairs
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// Set any option, as `everstack config show` names them
    #[arg(long = "set", global = true, value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole cloud here: a controller and a node in one process
    Up(Up),
    /// Stop the cloud in the state directory and its machines
    Down(Down),
    /// Show what the cloud in the state directory does
    Status(Listing),
    /// Run a controller alone: the APIs and everything that decides
    Controller(Serve),
    /// Run a node alone: what runs beside the virtual machines
    Node,
    /// Check whether this computer is fit to run a cloud
    Doctor(Listing),
    /// Users' passwords, certificates of nodes
    Admin {
        /// What to do
        #[command(subcommand)]
        command: Admin,
    },
    /// The configuration
    Config {
        /// What to do
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// Options of commands that serve the APIs.
#[derive(Args, Debug, Default)]
pub struct Serve {
    /// What the catalog's URLs begin with [default: made from --listen]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The APIs' certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve plain HTTP beyond loopback all the same
    #[arg(long)]
    pub insecure_http: bool,
}

/// Options of `up`.
#[derive(Args, Debug, Default)]
pub struct Up {
    /// How the APIs are served.
    #[command(flatten)]
    pub serve: Serve,
    /// Instead of QEMU on this computer: so many simulated nodes
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub simulated: Option<u32>,
    /// Processors of each simulated node [default: 64]
    #[arg(long, value_name = "N")]
    pub node_vcpus: Option<u32>,
    /// Memory of each simulated node in MiB [default: 262144]
    #[arg(long, value_name = "MIB")]
    pub node_ram_mib: Option<u64>,
    /// Disk of each simulated node in GiB [default: 10240]
    #[arg(long, value_name = "GIB")]
    pub node_disk_gib: Option<u64>,
    /// Begin with the flavors m1.tiny to m1.xlarge and a tiny image
    #[arg(long)]
    pub sample: bool,
}

/// Options of `down`.
#[derive(Args, Debug)]
pub struct Down {
    /// Delete the cloud's state and its machines' disks too
    #[arg(long)]
    pub wipe: bool,
}

/// Options of listings.
#[derive(Args, Debug, Default)]
pub struct Listing {
    /// As JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Administration on the host.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Give a user a new password, also when the old one is lost
    Password {
        /// The user's name in the default domain
        #[arg(default_value = "admin")]
        user: String,
    },
    /// Make a certificate for a node: prints the CA, the certificate and the key
    NodeCertificate {
        /// The node's name
        name: String,
    },
}

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective configuration and where each value came from
    Show(Listing),
}

impl Cli {
    /// The flags that are options, as the last layer.
    ///
    /// # Errors
    /// When `--set` names no option.
    pub fn flags(&self, layers: &mut Layers) -> Result<()> {
        let mut set = |flag: &str, key: &str, value: Option<Value>| match value {
            Some(value) => layers.flag(flag, key, value),
            None => Ok(()),
        };
        for pair in &self.common.set {
            let (key, text) = pair.split_once('=').ok_or_else(|| {
                base::Error::bad_request(format!("--set {pair}: OPTION=VALUE is wanted"))
            })?;
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            set("--set", key, Some(value))?;
        }
        let common = &self.common;
        set("--state-dir", "state_dir", common.state_dir.as_ref().map(|v| json!(v)))?;
        set("--listen", "listen", common.listen.map(|v| json!(v)))?;
        set("--log", "log.filter", common.log.as_ref().map(|v| json!(v)))?;
        let serve = match &self.command {
            Command::Up(up) => {
                set("--simulated", "simulated.nodes", up.simulated.map(|v| json!(v)))?;
                set("--node-vcpus", "simulated.vcpus", up.node_vcpus.map(|v| json!(v)))?;
                set("--node-ram-mib", "simulated.ram_mib", up.node_ram_mib.map(|v| json!(v)))?;
                set("--node-disk-gib", "simulated.disk_gib", up.node_disk_gib.map(|v| json!(v)))?;
                &up.serve
            }
            Command::Controller(serve) => serve,
            _ => return Ok(()),
        };
        set("--public-url", "public_url", serve.public_url.as_ref().map(|v| json!(v)))?;
        set("--tls-cert", "tls_cert", serve.tls_cert.as_ref().map(|v| json!(v)))?;
        set("--tls-key", "tls_key", serve.tls_key.as_ref().map(|v| json!(v)))?;
        set("--insecure-http", "insecure_http", serve.insecure_http.then(|| json!(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration() {
        let cli = Cli::parse_from([
            "everstack",
            "up",
            "--simulated",
            "3",
            "--listen",
            "127.0.0.1:1234",
            "--set",
            "node.vcpus=2",
        ]);
        let mut layers = Layers::new(&crate::config::Config::defaults(true, None, String::new()));
        cli.flags(&mut layers).unwrap();
        let config = layers.config().unwrap();
        assert_eq!(config.simulated.nodes, 3);
        assert_eq!(config.listen.port(), 1234);
        assert_eq!(config.node.vcpus, Some(2));
    }
}
