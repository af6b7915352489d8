//! Where the project's files are. Only this file knows how the tree under `target/` is laid out.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::failure::{About, Result};
use crate::shell::Run;

/// The checkout that this program was built from.
#[derive(Clone)]
pub struct Project {
    root: PathBuf,
    cargo_target: PathBuf,
}

impl Project {
    /// Finds the checkout: cargo says where this crate is.
    pub fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.join("..").canonicalize().at(&manifest)?;
        let cargo_target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(PathBuf::from(dir)));
        Ok(Self { root, cargo_target })
    }

    /// The top of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the checkout.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file under `target/` that is ours and not cargo's: it stays there whatever
    /// `CARGO_TARGET_DIR` says, so that tools and images are made once.
    pub fn made(&self, path: &str) -> PathBuf {
        self.root.join("target").join(path)
    }

    /// The programs that were unpacked instead of installed; they come first in `PATH`.
    pub fn tools(&self) -> PathBuf {
        self.made("tools")
    }

    /// Where the output of a long step goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.made("logs").join(format!("{name}.log"))
    }

    /// The product, as `cargo build` leaves it.
    pub fn everstack(&self) -> PathBuf {
        self.cargo_target.join("debug/everstack")
    }

    /// A path as a person reads it: relative to the checkout where that is shorter.
    pub fn short(&self, path: &Path) -> String {
        let here = env::current_dir().unwrap_or_else(|_| self.root.clone());
        path.strip_prefix(&here).unwrap_or(path).display().to_string()
    }

    /// `PATH` for everything that this program starts.
    pub fn search_path(&self) -> OsString {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let mut dirs = vec![self.tools().join("bin")];
        dirs.extend(env::split_paths(&inherited));
        // An ordinary user's PATH often lacks these, and mke2fs, sfdisk and ip live there.
        for system in ["/usr/sbin", "/sbin"] {
            if !dirs.iter().any(|dir| dir == Path::new(system)) {
                dirs.push(system.into());
            }
        }
        env::join_paths(dirs).unwrap_or(inherited)
    }

    /// A command, ready to be given arguments.
    pub fn run(&self, program: impl AsRef<OsStr>) -> Run {
        Run::new(program.as_ref(), &self.root, &self.search_path())
    }

    /// Cargo, the one that started us, but without what it says about *this* crate: some build
    /// scripts (ring's) watch those variables, and half of the dependencies would be built again
    /// whenever a person's own `cargo build` and these commands take turns.
    pub fn cargo(&self) -> Run {
        let cargo = self.run(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        env::vars_os()
            .filter_map(|(key, _)| key.into_string().ok())
            .filter(|key| key == "CARGO" || ABOUT_US.iter().any(|start| key.starts_with(start)))
            .fold(cargo, |cargo, key| cargo.env_remove(&key))
    }
}

/// How the variables begin that `cargo run` sets for the program that it runs.
const ABOUT_US: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];

/// Whether this process is root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Whether a build machine runs this: nobody is there to answer questions.
pub fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}
