//! Objects as files: `objects/<2 letters>/<name>`, begun in `incoming/<controller>/`. A file is renamed
//! into its place only after its bytes are on the disk, and the rename is on the disk before it counts.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Draft, Store, proper};
use crate::inspect::Source;

/// A directory of objects.
pub struct FileStore {
    place: String,
    objects: PathBuf,
    incoming: PathBuf,
}

impl FileStore {
    /// Opens (or makes) a directory. `place` names it in images' records: the controller's own name for
    /// a directory of its own, one name for a directory that all controllers share. What this
    /// controller left unfinished in an earlier life is removed.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub fn open(directory: &Path, place: &str, controller: &str) -> io::Result<FileStore> {
        let objects = directory.join("objects");
        let incoming = directory.join("incoming").join(file_name(controller));
        make(&objects)?;
        make(&incoming)?;
        for entry in fs::read_dir(&incoming)? {
            let path = entry?.path();
            tracing::info!(path = %path.display(), "an unfinished upload is removed");
            fs::remove_file(path)?;
        }
        for path in [directory, &directory.join("incoming"), &objects, &incoming] {
            sync(path)?;
        }
        Ok(FileStore { place: place.to_owned(), objects, incoming })
    }

    fn path(&self, object: &str) -> io::Result<(PathBuf, PathBuf)> {
        proper(object)?;
        let (shard, _) = object.split_at(2);
        let directory = self.objects.join(shard);
        let file = directory.join(object);
        Ok((directory, file))
    }
}

/// A controller's name as one part of a path.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    format!("of-{}", name.chars().map(plain).collect::<String>())
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Store for FileStore {
    fn place(&self) -> &str {
        &self.place
    }

    fn create(&self, object: &str) -> io::Result<Box<dyn Draft>> {
        let (directory, target) = self.path(object)?;
        let path = self.incoming.join(object);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Box::new(FileDraft { file, path, directory, target, kept: false }))
    }

    fn open(&self, object: &str) -> io::Result<Option<Arc<dyn Source>>> {
        let (_, path) = self.path(object)?;
        match File::open(path) {
            Ok(file) => {
                let length = file.metadata()?.len();
                Ok(Some(Arc::new(FileObject { file, length })))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn delete(&self, object: &str) -> io::Result<()> {
        let (_, path) = self.path(object)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for shard in fs::read_dir(&self.objects)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shard.path())? {
                let name = file?.file_name();
                if let Some(name) = name.to_str().filter(|name| proper(name).is_ok()) {
                    found.push(name.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

struct FileDraft {
    file: File,
    path: PathBuf,
    directory: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Draft for FileDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn keep(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.directory.is_dir() {
            make(&self.directory)?;
            if let Some(parent) = self.directory.parent() {
                sync(parent)?;
            }
        }
        fs::rename(&self.path, &self.target)?;
        self.kept = true;
        sync(&self.directory)
    }
}

impl Drop for FileDraft {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            // It is removed at the next start.
            tracing::warn!(path = %self.path.display(), "an unfinished upload stays: {error}");
        }
    }
}

struct FileObject {
    file: File,
    length: u64,
}

impl Source for FileObject {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}
