//! What the guards look at: the tracked files, and the crates as cargo sees them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{About, Result};
use crate::project::Project;

/// Everything at once.
pub struct Facts {
    /// The top of the checkout.
    pub root: PathBuf,
    /// Tracked files and those that are about to be: path from the top, content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// All crates of the dependency graph on this platform.
    pub packages: Vec<Package>,
}

/// A crate.
#[derive(Deserialize, Debug, Clone, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from; nothing for our own.
    pub source: Option<String>,
    /// An SPDX expression, if it says.
    pub license: Option<String>,
    /// The path of its Cargo.toml.
    pub manifest_path: PathBuf,
    /// What it names as dependencies.
    pub dependencies: Vec<Dependency>,
    /// Libraries, programs, tests.
    pub targets: Vec<Target>,
}

/// A dependency as a crate names it.
#[derive(Deserialize, Debug, Clone, Default)]
pub struct Dependency {
    /// Its folder, for our own.
    pub path: Option<PathBuf>,
    /// `dev`, `build`, or none for an ordinary one.
    pub kind: Option<String>,
}

/// A thing that cargo builds.
#[derive(Deserialize, Debug, Clone, Default)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// `lib`, `bin`, `test`, ….
    pub kind: Vec<String>,
    /// Its main file.
    pub src_path: PathBuf,
    /// Whether plain `cargo test` runs it.
    pub test: bool,
    /// Features without which it is left out.
    #[serde(rename = "required-features", default)]
    pub required_features: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

impl Facts {
    /// Asks git and cargo.
    pub fn gather(project: &Project) -> Result<Self> {
        let root = project.root().to_path_buf();
        let listed = project
            .run("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .read()?;
        let mut files = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // A file that was removed and not yet committed is still listed.
            if full.is_file() {
                files.insert(path.to_owned(), fs::read(&full).at(&full)?);
            }
        }
        let version = project.run("rustc").arg("-vV").read()?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let metadata = project
            .cargo()
            .args(["metadata", "--format-version", "1", "--filter-platform", host])
            .read()?;
        let metadata: Metadata = serde_json::from_str(&metadata).about("read cargo's metadata")?;
        Ok(Self { root, files, packages: metadata.packages })
    }

    /// The text of the files whose name ends so.
    pub fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .filter_map(|(path, content)| Some((path.as_str(), str::from_utf8(content).ok()?)))
    }

    /// Our own crates: folder from the top, crate.
    pub fn own(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.packages
            .iter()
            .filter(|package| package.source.is_none())
            .filter_map(|package| Some((self.folder(package.manifest_path.parent()?)?, package)))
    }

    /// A folder, from the top.
    pub fn folder<'a>(&self, path: &'a Path) -> Option<&'a str> {
        path.strip_prefix(&self.root).ok()?.to_str()
    }
}

impl Target {
    /// Whether it starts real machines or stores.
    pub fn is_real_test(&self) -> bool {
        self.kind.iter().any(|kind| kind == "test") && self.name.starts_with("real_")
    }
}
