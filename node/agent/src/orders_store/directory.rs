//! Orders in a directory: one file for each machine, written beside it, synced, renamed. A file that
//! cannot be read is set aside and said, never taken for "no order".

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use base::{Error, Result, World};
use orders::VmId;
use serde::de::DeserializeOwned;

use super::{Disk, Eras, Held, Kept};
use crate::drivers::hypervisor::plain_id;

const ERAS: &str = "eras.json";

/// A directory of orders.
pub struct Directory {
    world: World,
    path: Arc<Path>,
}

impl Directory {
    /// The orders in this directory, which is made if it is missing.
    pub async fn open(world: &World, path: &Path) -> Result<Directory> {
        let path: Arc<Path> = path.into();
        let inner = path.clone();
        world
            .blocking(move || fs::DirBuilder::new().recursive(true).mode(0o700).create(&inner))
            .await
            .map_err(|e| failed("cannot make the directory", &path, e))?;
        Ok(Directory { world: world.clone(), path })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path.clone();
        self.world.blocking(move || work(&path)).await
    }
}

#[async_trait]
impl Disk for Directory {
    async fn load(&self) -> Result<Kept> {
        self.on_disk(load).await
    }

    async fn keep(&self, held: &[Held]) -> Result<()> {
        let mut files = Vec::with_capacity(held.len());
        for one in held {
            let text = serde_json::to_vec(one).map_err(|e| {
                Error::internal("an order cannot be written as JSON").with_source(e)
            })?;
            files.push((file_name(one.id())?, text));
        }
        self.on_disk(move |path| write_all(path, &files)).await
    }

    async fn discard(&self, ids: &[VmId]) -> Result<()> {
        let names = ids.iter().map(file_name).collect::<Result<Vec<_>>>()?;
        self.on_disk(move |path| {
            for name in names {
                match fs::remove_file(path.join(name)) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        return Err(failed("cannot delete an order in", path, e));
                    }
                    _ => {}
                }
            }
            sync_directory(path)
        })
        .await
    }

    async fn keep_eras(&self, eras: &Eras) -> Result<()> {
        let text = serde_json::to_vec(eras)
            .map_err(|e| Error::internal("the eras cannot be written as JSON").with_source(e))?;
        self.on_disk(move |path| write_all(path, &[(ERAS.to_owned(), text)])).await
    }
}

fn file_name(id: &VmId) -> Result<String> {
    // Checked when an order is taken; checked again where it becomes a path.
    if plain_id(id) {
        Ok(format!("vm-{id}.json"))
    } else {
        Err(Error::bad_request(format!("{:?} cannot be a machine's id", id.as_str())))
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("{what} {}: {error}", path.display())).with_source(error)
}

fn load(path: &Path) -> Result<Kept> {
    let mut kept = Kept::default();
    let entries = fs::read_dir(path).map_err(|e| failed("cannot list", path, e))?;
    for entry in entries {
        let file = entry.map_err(|e| failed("cannot list", path, e))?.path();
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".new") {
            // Written beside its place by a process that died before it could rename it.
            let _ = fs::remove_file(&file);
        } else if name == ERAS {
            if let Some(eras) = read(&file)? {
                kept.eras = eras;
            }
        } else if name.starts_with("vm-") && name.ends_with(".json") {
            kept.held.extend(read::<Held>(&file)?);
        }
    }
    kept.held.sort_by(|a, b| a.id().cmp(b.id()));
    Ok(kept)
}

/// None if it was unreadable and therefore set aside: a controller sends the order again.
fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let bytes = fs::read(file).map_err(|e| failed("cannot read", file, e))?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let mut aside = file.to_path_buf().into_os_string();
            aside.push(".unreadable");
            let aside = PathBuf::from(aside);
            tracing::error!(
                file = %file.display(), aside = %aside.display(),
                "an order on disk cannot be read and is set aside: {error}"
            );
            fs::rename(file, &aside).map_err(|e| failed("cannot set aside", file, e))?;
            Ok(None)
        }
    }
}

fn write_all(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    for (name, text) in files {
        let new = path.join(format!("{name}.new"));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(|e| failed("cannot write", &new, e))?;
        file.write_all(text).map_err(|e| failed("cannot write", &new, e))?;
        file.sync_data().map_err(|e| failed("cannot sync", &new, e))?;
    }
    for (name, _) in files {
        let place = path.join(name);
        fs::rename(path.join(format!("{name}.new")), &place)
            .map_err(|e| failed("cannot put in place", &place, e))?;
    }
    sync_directory(path)
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| failed("cannot sync", path, e))
}
