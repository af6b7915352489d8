//! Tests of the real thing: programs named `real_*` under a crate's `tests/`, which start QEMU or
//! etcd. Each runs in a wrapper with its own network, process and mount namespaces: ports never
//! clash, and when it ends, however it ends, the kernel stops everything it started.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{report, tally::Tally, watch};
use crate::failure::{About, Failure, Result};
use crate::image;
use crate::project::Project;
use crate::say::{self, Step};

/// One program may not take longer than this.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What the wrapper does inside: a private /run/netns, so that `ip netns add` leaves nothing
/// behind, and loopback. The shell stays as the first process: it takes in orphans.
const INSIDE: &str =
    "mount -t tmpfs none /run/netns && ip link set lo up || exit 1; \"$@\"; exit $?";

/// A test program, built.
struct Program {
    name: String,
    file: PathBuf,
    package: PathBuf,
}

/// Builds and runs them all.
pub fn run(project: &Project, filter: Option<&str>) -> Result<Tally> {
    let mut sum = Tally::default();
    let names = names(project)?;
    if names.is_empty() {
        say::line("There are no real tests.");
        return Ok(sum);
    }
    let image = image::ensure(project)?;
    let step = Step::begin("building the real tests");
    let programs = build(project)?;
    step.done("");
    fs::create_dir_all("/run/netns").about("make /run/netns")?;
    for program in programs {
        let step = Step::begin(format!("running {}", program.name));
        let log = project.log(&format!("test-{}", program.name));
        let command = wrapped(project, &program, filter)
            .env("EVERSTACK_REAL", "1")
            .env("EVERSTACK_TEST_IMAGE", &image)
            .env("CARGO_MANIFEST_DIR", &program.package)
            .directory(&program.package)
            .into_command();
        let (mut tally, status) = watch(command, &log)?;
        if !status.success() && tally.failed == 0 {
            tally.fail(format!("{} ended with {status} and no result", program.name));
        }
        report(step, &tally, &log);
        sum.add(tally);
    }
    Ok(sum)
}

fn wrapped(project: &Project, program: &Program, filter: Option<&str>) -> crate::shell::Run {
    project
        .run("timeout")
        .args(["--signal=KILL", &LIMIT.as_secs().to_string()])
        .args(["unshare", "-n", "-p", "-m", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", INSIDE, "sh"])
        .arg(&program.file)
        // They share two cores with the machines that they start.
        .arg("--test-threads=1")
        .args(filter)
}

/// The names of all real tests, from the manifests.
pub fn names(project: &Project) -> Result<Vec<String>> {
    let text = project.cargo().args(["metadata", "--no-deps", "--format-version", "1"]).read()?;
    let metadata: Value = serde_json::from_str(&text).about("read cargo's metadata")?;
    let mut names = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let name = target["name"].as_str().unwrap_or_default();
            if target["kind"][0] == "test" && name.starts_with("real_") {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}

fn build(project: &Project) -> Result<Vec<Program>> {
    let command: Command = project
        .cargo()
        .args(["test", "--workspace", "--no-run", "--test", "real_*"])
        .args(["--message-format", "json-render-diagnostics"])
        .into_command();
    let mut command = command;
    let output = command.output().about("build the real tests")?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let (Some(file), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        if name.starts_with("real_") {
            programs.push(Program {
                name: name.to_owned(),
                file: file.into(),
                package: PathBuf::from(manifest).parent().map(PathBuf::from).unwrap_or_default(),
            });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
