//! The bootable test image: made once, and again when its files or Debian's packages change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::failure::{About, Failure, Result};
use crate::project::Project;
use crate::say::Step;

/// A package whose new version means a new image.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The image as qcow2; made if needed.
pub fn ensure(project: &Project) -> Result<PathBuf> {
    let folder = project.made("image");
    let image = folder.join("tiny.qcow2");
    let stamp = folder.join("made-from");
    let key = key(project)?;
    if image.exists() && fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == key) {
        return Ok(image);
    }
    let step = Step::begin("making the test image");
    fs::create_dir_all(&folder).at(&folder)?;
    project
        .run("bash")
        .arg(project.file("images/test/build.sh"))
        .arg(&folder)
        .logged(&project.log("image"))?;
    if !image.exists() {
        return Err(Failure::new("images/test/build.sh succeeded but made no image"));
    }
    fs::write(&stamp, key).at(&stamp)?;
    step.done(&project.short(&image));
    Ok(image)
}

/// What the image is made from, in one word.
fn key(project: &Project) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let mut files = Vec::new();
    collect(&project.file("images/test"), &mut files)?;
    files.sort();
    for file in files {
        file.file_name().hash(&mut hasher);
        fs::read(&file).at(&file)?.hash(&mut hasher);
    }
    let policy = project.run("apt-cache").args(["policy", KERNEL]).env("LC_ALL", "C").read()?;
    let candidate = policy.lines().find(|line| line.trim_start().starts_with("Candidate:"));
    candidate.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}
