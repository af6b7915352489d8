//! A machine's disks: the root disk on its image, an ephemeral disk with a file system, a swap disk with
//! its signature. Made whole and synced before the record says so; half-made ones are made again.

use std::{
    fs::{self, DirBuilder, File},
    io::{Seek, SeekFrom, Write},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base::{Error, Result};
use orders::VmSpec;
use tokio::process::Command;

use super::{
    Shared,
    record::{Record, failed},
};
use crate::images::Image;

const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;

/// The directory of a new machine, with its first record.
pub fn make_directory(directory: &Path, record: &Record) -> Result<()> {
    // QEMU's user passes through, but makes nothing here itself.
    match DirBuilder::new().mode(0o711).create(directory) {
        Ok(()) => record.write(directory, true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if Record::read(directory)?.is_some() {
                // It is not among the machines, so it was set aside when they were read.
                return Err(Error::internal(format!(
                    "{} holds another machine's record",
                    directory.display()
                )));
            }
            record.write(directory, true)
        }
        Err(error) => Err(failed("make", directory, error)),
    }
}

/// Makes all disks of a machine that has none yet, and notes in its record which there are.
pub async fn make(
    shared: &Arc<Shared>,
    directory: &Path,
    spec: &VmSpec,
    image: Option<&Image>,
    record: &mut Record,
) -> Result<()> {
    let root = directory.join("root.qcow2");
    let old = root.clone();
    shared.world.blocking(move || remove(&old)).await?;
    record.base = None;
    match (&spec.image, image) {
        (Some(reference), Some(image)) => {
            let size = root_size(spec, image)?;
            if shared.config.overlay {
                make_overlay(shared, &root, image, &reference.disk_format, size).await?;
                record.base = Some(reference.sha512.clone());
            } else {
                make_copy(shared, &root, image, &reference.disk_format, size).await?;
            }
        }
        _ => make_empty(shared, &root, spec.root_gib * GIB).await?,
    }
    record.ephemeral = spec.ephemeral_gib > 0;
    if record.ephemeral {
        let path = directory.join("ephemeral.raw");
        let (made, size) = (path.clone(), spec.ephemeral_gib * GIB);
        shared.world.blocking(move || make_sparse(&made, size)).await?;
        make_file_system(shared, &path).await?;
    }
    record.swap = spec.swap_mib > 0;
    if record.swap {
        let path = directory.join("swap.raw");
        let (size, uuid) = (spec.swap_mib << 20, shared.world.random());
        shared.world.blocking(move || make_swap(&path, size, uuid)).await?;
    }
    let (inner, directory) = (shared.clone(), directory.to_path_buf());
    let (ephemeral, swap) = (record.ephemeral, record.swap);
    shared
        .world
        .blocking(move || {
            let all = [("root.qcow2", true), ("ephemeral.raw", ephemeral), ("swap.raw", swap)];
            for (name, there) in all {
                if there {
                    let path = directory.join(name);
                    inner.account.give(&path, 0o600)?;
                    // The record will say that it is whole: that must outlive a loss of power.
                    File::open(&path)
                        .and_then(|file| file.sync_all())
                        .map_err(|e| failed("sync", &path, e))?;
                }
            }
            Ok(())
        })
        .await
}

fn root_size(spec: &VmSpec, image: &Image) -> Result<u64> {
    let wanted = spec.root_gib * GIB;
    if wanted > 0 && wanted < image.virtual_size {
        return Err(Error::bad_request(format!(
            "The image's disk has {} bytes, the server's root disk only {wanted}.",
            image.virtual_size
        )));
    }
    // Whole sectors, also where a raw image ends in the middle of one.
    Ok(wanted.max(image.virtual_size).max(1).next_multiple_of(512))
}

async fn make_overlay(
    shared: &Shared,
    root: &Path,
    image: &Image,
    format: &str,
    size: u64,
) -> Result<()> {
    // `-u`: the size is known, so the image is not opened by a process with the agent's rights.
    let arguments = ["create", "-q", "-u", "-f", "qcow2", "-F", format, "-b"];
    let mut command = Command::new(&shared.programs.qemu_img);
    command.args(arguments).arg(&image.path).arg(root).arg(size.to_string());
    run(shared, command).await
}

async fn make_copy(
    shared: &Arc<Shared>,
    root: &Path,
    image: &Image,
    format: &str,
    size: u64,
) -> Result<()> {
    make_empty(shared, root, size).await?;
    let (inner, given) = (shared.clone(), root.to_path_buf());
    shared.world.blocking(move || inner.account.give(&given, 0o600)).await?;
    let mut command = std::process::Command::new(&shared.programs.qemu_img);
    command.args(["convert", "-n", "-f", format, "-O", "qcow2"]).arg(&image.path).arg(root);
    if let Some((uid, gid)) = shared.account.ids {
        // It reads what a tenant made.
        command.uid(uid).gid(gid);
    }
    run(shared, command.into()).await
}

async fn make_empty(shared: &Shared, root: &Path, size: u64) -> Result<()> {
    let mut command = Command::new(&shared.programs.qemu_img);
    command.args(["create", "-q", "-f", "qcow2"]).arg(root).arg(size.to_string());
    run(shared, command).await
}

async fn make_file_system(shared: &Shared, path: &PathBuf) -> Result<()> {
    let Some(mke2fs) = &shared.programs.mke2fs else {
        // A guest that wants one makes it; real clouds differ in this too.
        tracing::info!("mke2fs (package e2fsprogs) was not found: the ephemeral disk stays blank");
        return Ok(());
    };
    let mut command = Command::new(mke2fs);
    command.args(["-q", "-F", "-t", "ext4", "-L", "ephemeral0"]).arg(path);
    run(shared, command).await
}

async fn run(shared: &Shared, mut command: Command) -> Result<()> {
    let name = PathBuf::from(command.as_std().get_program());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let running = command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    match shared.world.timeout(Duration::from_secs(3600), running).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            Err(Error::unavailable(format!("{name} failed ({}): {said}", output.status)))
        }
        Ok(Err(error)) => {
            Err(Error::unavailable(format!("{name} cannot be started: {error}")).with_source(error))
        }
        Err(_) => Err(Error::unavailable(format!("{name} did not end within an hour"))),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("delete", path, error))
        }
        _ => Ok(()),
    }
}

fn make_sparse(path: &Path, size: u64) -> Result<()> {
    remove(path)?;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_len(size))
        .map_err(|e| failed("make", path, e))
}

/// A swap area as `mkswap` makes it.
fn make_swap(path: &Path, size: u64, uuid: [u8; 16]) -> Result<()> {
    make_sparse(path, size)?;
    let last_page = u32::try_from(size / PAGE - 1).unwrap_or(u32::MAX);
    let mut page = vec![0; 4096];
    page[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&last_page.to_le_bytes());
    page[1036..1052].copy_from_slice(&uuid);
    page[4086..].copy_from_slice(b"SWAPSPACE2");
    let write = || {
        let mut file = File::options().write(true).open(path)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)
    };
    write().map_err(|e| failed("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_area() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("swap.raw");
        make_swap(&path, 8 << 20, [7; 16]).expect("made");
        let bytes = fs::read(&path).expect("bytes");
        assert_eq!(bytes.len(), 8 << 20);
        assert_eq!(&bytes[4086..4096], b"SWAPSPACE2");
        assert_eq!(bytes[1028..1032], 2047_u32.to_le_bytes());
        make_swap(&path, 1 << 20, [7; 16]).expect("made again");
    }
}
