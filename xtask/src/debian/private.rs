//! A private copy of Debian programs under `target/tools`: resolved by apt against a copy of the
//! machine's package state that lacks what stands in the way, unpacked, and started by small
//! scripts in `target/tools/bin`. The machine itself is not touched, and root is not needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::apt;
use super::data::Purpose;
use crate::failure::{About, Failure, Result};
use crate::project::Project;

/// Whether a whole copy for this purpose is there and works.
pub fn is_there(project: &Project, purpose: &Purpose) -> bool {
    let folder = project.tools().join(purpose.name);
    fs::read_to_string(folder.join("packages")).is_ok_and(|text| text == stamp(purpose))
        && works(project, purpose)
}

fn stamp(purpose: &Purpose) -> String {
    purpose.packages.join("\n")
}

fn works(project: &Project, purpose: &Purpose) -> bool {
    purpose.proofs.iter().all(|proof| project.run(proof[0]).args(&proof[1..]).accepts("quit\n"))
}

/// Makes the copy; `conflicts` are the installed packages that rule out a plain installation.
pub fn make(project: &Project, purpose: &Purpose, conflicts: &[String]) -> Result<()> {
    let folder = project.tools().join(purpose.name);
    let _ = fs::remove_dir_all(&folder);
    let archives = folder.join("archives");
    fs::create_dir_all(archives.join("partial")).at(&archives)?;

    let status = folder.join("status");
    let machine = fs::read_to_string("/var/lib/dpkg/status").about("read dpkg's status")?;
    fs::write(&status, without(&machine, conflicts)).at(&status)?;

    // apt's own caches were made from the real status; none are read or written here.
    apt::apt(project)
        .args(["-y", "--download-only"])
        .args(["-o", "Debug::NoLocking=1"])
        .args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="])
        .arg("-o")
        .arg(format!("Dir::State::status={}", status.display()))
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", archives.display()))
        .arg("install")
        .args(purpose.packages)
        .logged(&project.log(&format!("private-{}", purpose.name)))?;

    let root = folder.join("root");
    fs::create_dir_all(&root).at(&root)?;
    let mut unpacked = 0;
    for file in files(&archives)? {
        if file.extension().is_some_and(|ending| ending == "deb") {
            project.run("dpkg-deb").arg("-x").arg(&file).arg(&root).read()?;
            unpacked += 1;
        }
    }
    if unpacked == 0 {
        return Err(apt::nothing_to_unpack(purpose.packages));
    }
    fs::remove_dir_all(&archives).at(&archives)?;

    write_starters(project, purpose, &root)?;
    if !works(project, purpose) {
        return Err(Failure::new(format!(
            "the private copy of {} in {} does not run",
            purpose.packages.join(" "),
            folder.display()
        ))
        .hint("Try one of its programs by hand; `ldd` shows libraries that are missing."));
    }
    let done = folder.join("packages");
    fs::write(&done, stamp(purpose)).at(&done)
}

/// dpkg's status file without some packages.
fn without(status: &str, names: &[String]) -> String {
    let unwanted = |entry: &str| {
        names.iter().any(|name| entry.lines().any(|l| l == format!("Package: {name}")))
    };
    status.split("\n\n").filter(|entry| !unwanted(entry)).collect::<Vec<_>>().join("\n\n")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).at(folder)?.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

/// A script for each program of the copy. `exec` keeps the process id, so that whoever starts the
/// program watches the program and not the script.
fn write_starters(project: &Project, purpose: &Purpose, root: &Path) -> Result<()> {
    let bin = project.tools().join("bin");
    fs::create_dir_all(&bin).at(&bin)?;
    let base = format!("${{0%/*}}/../{}/root", purpose.name);
    let mut libraries = Vec::new();
    for lib in ["usr/lib", "lib"] {
        let folder = root.join(lib);
        for path in if folder.is_dir() { files(&folder)? } else { Vec::new() } {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.contains("-linux-") {
                libraries.push(format!("{base}/{lib}/{name}"));
            }
        }
    }
    for place in ["usr/bin", "usr/sbin", "bin", "sbin"] {
        let folder = root.join(place);
        for path in if folder.is_dir() { files(&folder)? } else { Vec::new() } {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let script = bin.join(&name);
            let text = format!(
                "#!/bin/sh\n\
                 # Made by `cargo xtask`: starts a private copy, because installing the package\n\
                 # would have removed another one.\n\
                 LD_LIBRARY_PATH={}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n\
                 export LD_LIBRARY_PATH\n\
                 exec \"{base}/{place}/{name}\" \"$@\"\n",
                libraries.join(":")
            );
            fs::write(&script, text).at(&script)?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).at(&script)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn only_the_named_packages_leave_the_status() {
        let status = "Package: a\nVersion: 1\n\nPackage: a-utils\nVersion: 1\n\nPackage: b\n";
        assert_eq!(
            without(status, &["a".to_owned()]),
            "Package: a-utils\nVersion: 1\n\nPackage: b\n"
        );
    }
}
