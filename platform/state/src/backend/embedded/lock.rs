//! One directory, one process: a lock that the kernel lets go when its holder dies, whatever it dies of.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base::{Error, Result};
use rustix::fs::{FlockOperation, flock};

use super::failed;

/// Held until dropped.
pub struct DirLock {
    _file: File,
}

impl DirLock {
    pub fn take(dir: &Path) -> Result<DirLock> {
        let path = dir.join("lock");
        let cannot = |error: std::io::Error| {
            failed(&format!("cannot take the lock {}", path.display()), error)
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(cannot)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(Error::conflict(format!(
                    "The store in {} is in use by {holder}. Stop it first, or choose another state \
                     directory.",
                    dir.display()
                )));
            }
            Err(error) => return Err(cannot(error.into())),
        }
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(cannot)?;
        Ok(DirLock { _file: file })
    }
}
