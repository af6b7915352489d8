//! The text of serial consoles: read from the end, and kept short while QEMU writes it.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use base::{Error, Result};
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::{Qemu, lock, record};

/// How often all consoles are looked at.
const PERIOD: Duration = Duration::from_secs(10);
const BLOCK: u64 = 4096;

fn open(path: &Path, write: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// The last `most` bytes of a console, from the beginning of a line on.
pub fn read(path: &Path, most: u64) -> Result<String> {
    let fail = |e: std::io::Error| {
        Error::internal(format!("cannot read {}: {e}", path.display())).with_source(e)
    };
    let mut file = match open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(fail(error)),
    };
    let length = file.metadata().map_err(fail)?.len();
    let start = length.saturating_sub(most);
    file.seek(SeekFrom::Start(start)).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(fail)?;
    // What was cut away before reads as zeros.
    let hole = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let cut = start + u64::try_from(hole).unwrap_or(0) > 0;
    let text = &bytes[hole..];
    let line = text.iter().position(|byte| *byte == b'\n').filter(|_| cut);
    let text = line.map_or(text, |at| &text[at + 1..]);
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Gives back the disk space of all but the last `most` bytes. Nothing is lost that QEMU writes at the
/// same time: the file keeps its length, its beginning becomes a hole.
fn shorten(path: &Path, most: u64) -> std::io::Result<()> {
    let file = open(path, true)?;
    let data = file.metadata()?;
    let end = data.len().saturating_sub(most) / BLOCK * BLOCK;
    if end == 0 || data.blocks().saturating_mul(512) <= most.saturating_mul(2) {
        return Ok(());
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if fallocate(&file, hole, 0, end).is_err() {
        // A file system without holes: the text so far is given up rather than the disk filled.
        file.set_len(0)?;
    }
    Ok(())
}

/// Looks at all consoles from time to time.
pub async fn keep_short(qemu: Qemu) {
    let shared = qemu.shared;
    loop {
        shared.world.sleep(PERIOD).await;
        let paths = {
            let machines = lock(&shared.machines);
            let running = machines.values().filter(|machine| machine.running().is_some());
            running.map(|machine| machine.directory.join(record::CONSOLE)).collect::<Vec<_>>()
        };
        let most = shared.config.console_bytes;
        shared
            .world
            .blocking(move || {
                for path in paths {
                    if let Err(error) = shorten(&path, most)
                        && error.kind() != ErrorKind::NotFound
                    {
                        tracing::warn!(file = %path.display(), "a console grows: {error}");
                    }
                }
            })
            .await;
    }
}

/// The last line of a log, for an error's sentence; empty if there is none.
pub fn last_line(path: &Path) -> String {
    let text = read(path, 4096).unwrap_or_default();
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn the_end_is_read_and_the_beginning_given_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("console.log");
        assert_eq!(read(&path, 100).expect("nothing yet"), "");
        let mut qemu = OpenOptions::new().append(true).create(true).open(&path).expect("a log");
        for n in 0..20_000 {
            writeln!(qemu, "line {n:06}").expect("written");
        }
        assert_eq!(read(&path, 30).expect("text"), "line 019998\nline 019999\n");
        shorten(&path, 10_000).expect("shortened");
        writeln!(qemu, "line after").expect("QEMU goes on");
        let text = read(&path, 10_000).expect("text");
        assert!(text.starts_with("line 0") && text.ends_with("line 019999\nline after\n"));
        let data = fs::metadata(&path).expect("data");
        assert!(data.blocks() * 512 < 40_000, "{} bytes on disk", data.blocks() * 512);
        let whole = read(&path, 1 << 20).expect("text");
        assert!(whole.starts_with("line 0"), "no zeros and no half line: {:?}", &whole[..20]);
        assert_eq!(last_line(&path), "line after");
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("console.log");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(read(&path, 100).is_err());
    }
}
