//! The state directory: what lies where, and who runs in it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base::{Error, Result};
use rustix::fs::{FlockOperation, flock};

/// A state directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// Held while a process runs in the directory.
pub struct Running {
    _lock: fs::File,
    pid_file: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A file left behind is harmless: the lock decides.
        let _left = fs::remove_file(&self.pid_file);
    }
}

impl StateDir {
    /// The directory, made if it is not there. Others may pass it, since machines run under a user of
    /// their own; what is secret in it is readable by its owner only.
    ///
    /// # Errors
    /// When it can be neither found nor made.
    pub fn open(path: &Path) -> Result<StateDir> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.map_err(|error| {
            Error::bad_request(format!(
                "the state directory {} cannot be made: {error}; choose another by --state-dir",
                path.display()
            ))
        })?;
        let path = fs::canonicalize(path).map_err(|error| {
            Error::bad_request(format!("the state directory {}: {error}", path.display()))
        })?;
        Ok(StateDir(path))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded store's directory.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Where changes are written down: who changed what, and whether they might.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    /// The images' directory.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// The node's directory.
    pub fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// The key that seals secrets in the store.
    pub fn sealing_key(&self) -> PathBuf {
        self.0.join("sealing.key")
    }

    /// The cloud's CA and its certificates.
    pub fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// Where the running process wrote its URL.
    pub fn url_file(&self) -> PathBuf {
        self.0.join("url")
    }

    fn pid_file(&self) -> PathBuf {
        self.0.join("everstack.pid")
    }

    fn lock_file(&self) -> Result<fs::File> {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("everstack.lock"))
            .map_err(|error| Error::bad_request(format!("{}: {error}", self.0.display())))
    }

    /// Takes the directory for this process. Waits for a moment when the process that had it is dead: what it
    /// was just starting as it died holds the lock too, until it has become another program.
    ///
    /// # Errors
    /// `Conflict` names the process that has it.
    #[expect(clippy::disallowed_methods, reason = "at the start, when nothing runs yet")]
    pub fn take(&self) -> Result<Running> {
        let lock = self.lock_file()?;
        let free = || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut taken = free();
        for _ in 0..250 {
            if taken || self.read_pid().is_none_or(lives) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            taken = free();
        }
        if !taken {
            let who =
                self.read_pid().map_or("another process".to_owned(), |pid| format!("pid {pid}"));
            return Err(Error::conflict(format!(
                "a cloud runs already in {} ({who}); stop it by `everstack down`, or choose another \
                 directory by --state-dir",
                self.0.display()
            )));
        }
        let pid_file = self.pid_file();
        let written = fs::File::create(&pid_file)
            .and_then(|mut file| file.write_all(std::process::id().to_string().as_bytes()));
        written.map_err(|error| Error::bad_request(format!("{}: {error}", pid_file.display())))?;
        Ok(Running { _lock: lock, pid_file })
    }

    fn read_pid(&self) -> Option<i32> {
        let mut text = String::new();
        fs::File::open(self.pid_file()).ok()?.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// The process that runs in the directory, if one does.
    ///
    /// # Errors
    /// When the directory cannot be looked into.
    pub fn running(&self) -> Result<Option<i32>> {
        let lock = self.lock_file()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(_) => Ok(self.read_pid()),
        }
    }
}

fn lives(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it gives one that does not wait time to fail")]
    fn what_a_dead_process_was_starting_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        fs::write(state.pid_file(), dead.id().to_string()).unwrap();
        let held = state.lock_file().unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| state.take());
            for _ in 0..50 {
                if !taker.is_finished() {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
            drop(held);
            taker.join().unwrap().unwrap();
        });
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(state.running().unwrap(), None);
        let running = state.take().unwrap();
        assert_eq!(state.running().unwrap(), Some(i32::try_from(std::process::id()).unwrap()));
        let refused = state.take().err().unwrap();
        assert!(refused.message().contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(running);
        assert_eq!(state.running().unwrap(), None);
    }
}
