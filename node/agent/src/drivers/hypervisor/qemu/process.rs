//! QEMU's process: told from others that got its number later, watched and ended without being its
//! parent, as after a restart of the agent.

use std::{fs, io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use base::{Error, Map, Result, World};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::net::unix::pipe;

/// One process. The descriptor names it for good: its number may be given to another.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub ticks: u64,
    handle: Arc<OwnedFd>,
}

impl Process {
    /// The process of this number; none if there is none.
    pub fn open(pid: u32) -> Result<Option<Process>> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(number) = number else { return Ok(None) };
        let handle = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(handle) => Arc::new(handle),
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => {
                let message = format!("the process {pid} cannot be watched: {error}");
                return Err(Error::internal(message).with_source(error));
            }
        };
        // Read after the descriptor was opened: both speak of the same process or it is gone.
        Ok(start_ticks(pid).map(|ticks| Process { pid, ticks, handle }))
    }

    /// Waits for its end.
    pub async fn ended(&self) -> io::Result<()> {
        // Waited for as for a pipe: a process's descriptor becomes readable when the process ends, and
        // this is the safe way to wait for a descriptor of no kind that tokio names.
        pipe::Receiver::from_owned_fd_unchecked(self.handle.try_clone()?)?.readable().await
    }

    /// Ends it without its consent, and waits until it is gone.
    pub async fn kill(&self, world: &World, patience: Duration) -> Result<()> {
        match pidfd_send_signal(&*self.handle, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                let message = format!("QEMU (process {}) cannot be killed: {error}", self.pid);
                return Err(Error::internal(message).with_source(error));
            }
        }
        self.gone_within(world, patience).await
    }

    /// Waits for its end, but not longer than this.
    pub async fn gone_within(&self, world: &World, patience: Duration) -> Result<()> {
        match world.timeout(patience, self.ended()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let message = format!("the process {} cannot be watched: {error}", self.pid);
                Err(Error::internal(message).with_source(error))
            }
            Err(_) => Err(Error::unavailable(format!(
                "QEMU (process {}) does not end within {} s.",
                self.pid,
                patience.as_secs()
            ))),
        }
    }
}

/// When the process was started; none if it is gone or only waits for its parent.
fn start_ticks(pid: u32) -> Option<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The name may hold anything, spaces and brackets too; it ends with the last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// All QEMUs of machines below this directory: the machine's directory name and the process's number.
/// They are recognised by their own `-pidfile` argument, which nobody but their starter chose.
pub fn find_all(directory: &Path) -> io::Result<Map<String, u32>> {
    let mut found = Map::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes come and go while this looks.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        if let Some(name) = machine_of(&line, directory)
            && let Some(other) = found.insert(name.clone(), pid)
        {
            tracing::error!("machine {name} has two QEMU processes, {other} and {pid}");
        }
    }
    Ok(found)
}

fn machine_of(line: &[u8], directory: &Path) -> Option<String> {
    // What starts it has the same arguments and then becomes it, under the same number.
    let mut arguments = line.split(|byte| *byte == 0);
    arguments.find(|argument| *argument == b"-pidfile")?;
    let file = Path::new(std::str::from_utf8(arguments.next()?).ok()?);
    let rest = file.strip_prefix(directory).ok()?;
    let mut parts = rest.iter();
    let name = parts.next()?.to_str()?;
    (parts.as_path() == Path::new("run/pid")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line() {
        let line = |state: &str| {
            format!("42 (a b) c) {state} 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3")
        };
        assert_eq!(parse_stat(&line("S")), Some(98_765));
        assert_eq!(parse_stat(&line("Z")), None, "a dead child is gone");
        assert_eq!(parse_stat(""), None);
        let own = std::process::id();
        assert!(start_ticks(own).is_some_and(|ticks| ticks > 0));
    }

    #[test]
    fn a_machines_process() {
        let of = |line: &str| machine_of(line.replace(' ', "\0").as_bytes(), Path::new("/s/m"));
        assert_eq!(
            of("/usr/bin/qemu -name x -pidfile /s/m/id-1/run/pid -S").as_deref(),
            Some("id-1")
        );
        assert_eq!(of("/usr/bin/qemu -pidfile /s/mm/id-1/run/pid"), None, "another node's");
        assert_eq!(of("/usr/bin/qemu -pidfile /s/m/id-1/run/pid2"), None);
        assert_eq!(of("setsid qemu -pidfile /s/m/id-1/run/pid").as_deref(), Some("id-1"));
        assert_eq!(of("vi /s/m/id-1/run/pid"), None);
        assert_eq!(of(""), None);
    }

    #[tokio::test]
    async fn its_end_is_seen_without_being_its_parent() {
        let world = World::real();
        // The shell's child outlives the shell, as QEMU outlives the agent.
        let output = std::process::Command::new("sh")
            .args(["-c", "sleep 300 >/dev/null 2>&1 & echo $!"])
            .output()
            .expect("a shell");
        let pid = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        let process = Process::open(pid).expect("watched").expect("it runs");
        let again = Process::open(pid).expect("watched").expect("it runs");
        assert_eq!(process.ticks, again.ticks);
        process.kill(&world, Duration::from_secs(10)).await.expect("gone");
        again.ended().await.expect("seen by all");
        process.kill(&world, Duration::from_secs(10)).await.expect("gone already");
    }
}
