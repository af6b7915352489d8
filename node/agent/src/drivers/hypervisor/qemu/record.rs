//! What the driver remembers of a machine on disk, so that it knows after a crash, its own or the
//! host's, what was begun and why a machine is off.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use base::{Epoch, Error, Result, Timestamp};
use orders::VmId;
use serde::{Deserialize, Serialize};

use super::super::Exit;

/// The record's file in a machine's directory.
pub const FILE: &str = "machine.json";
/// The text of the serial console.
pub const CONSOLE: &str = "console.log";
/// What QEMU wrote to its standard error.
pub const COMPLAINTS: &str = "qemu.log";
/// QEMU's own directory.
pub const RUN: &str = "run";

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: VmId,
    pub epoch: Epoch,
    /// Its disks are whole.
    pub prepared: bool,
    /// The image that its root disk stands on, by hash.
    #[serde(default)]
    pub base: Option<String>,
    /// The machine type that its guest knows.
    #[serde(default)]
    pub machine_type: Option<String>,
    #[serde(default)]
    pub ephemeral: bool,
    #[serde(default)]
    pub swap: bool,
    /// How often it was launched under this epoch.
    pub launches: u64,
    pub launch: Launch,
    /// The number of the last reboot known to be done.
    #[serde(default)]
    pub rebooted: u64,
    /// When its power button was pressed, in this launch.
    #[serde(default)]
    pub asked_off: Option<Timestamp>,
    /// Why it is off, if it is.
    pub exit: Ended,
}

/// How far the last launch came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launch {
    /// It ended, or there was none.
    Over,
    /// Written down before the process is made: if there is none, there was none.
    Begun,
    /// This process was made.
    Made {
        /// The host's boot.
        boot: Arc<str>,
        /// Its process.
        pid: u32,
        /// When it was started, in the kernel's ticks since the boot.
        ticks: u64,
    },
}

/// [`Exit`] as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    NotYet,
    Ordered,
    ByGuest,
    Lost(String),
}

impl From<&Ended> for Exit {
    fn from(ended: &Ended) -> Exit {
        match ended {
            Ended::NotYet => Exit::NotYet,
            Ended::Ordered => Exit::Ordered,
            Ended::ByGuest => Exit::ByGuest,
            Ended::Lost(how) => Exit::Lost(how.clone()),
        }
    }
}

impl Record {
    /// Of a machine that is not prepared yet.
    pub fn new(id: VmId, epoch: Epoch) -> Record {
        Record {
            id,
            epoch,
            prepared: false,
            base: None,
            machine_type: None,
            ephemeral: false,
            swap: false,
            launches: 0,
            launch: Launch::Over,
            rebooted: 0,
            asked_off: None,
            exit: Ended::NotYet,
        }
    }

    /// The record in this directory; none if there is none.
    pub fn read(directory: &Path) -> Result<Option<Record>> {
        let file = directory.join(FILE);
        match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                let message =
                    format!("the machine's record {} cannot be read: {e}", file.display());
                Error::internal(message).with_source(e)
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &file, error)),
        }
    }

    /// Puts it in place of the old one. `durable`: it survives a loss of power when this returns;
    /// a crash of the agent alone it survives in any case.
    pub fn write(&self, directory: &Path, durable: bool) -> Result<()> {
        let file = directory.join(FILE);
        let new = directory.join("machine.json.new");
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::internal("a machine's record is not JSON").with_source(e))?;
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut out| {
                out.write_all(&text)?;
                if durable { out.sync_data() } else { Ok(()) }
            })
            .and_then(|()| fs::rename(&new, &file))
            .and_then(|()| if durable { File::open(directory)?.sync_all() } else { Ok(()) });
        written.map_err(|e| failed("write", &file, e))
    }
}

/// A file operation that failed.
pub fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {error}", path.display())).with_source(error)
}
