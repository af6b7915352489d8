//! Tests of the real thing: programs named `real_*` under a crate's `tests/`, which start QEMU or
//! etcd. Each runs in a wrapper with its own network, process and mount namespaces: ports never
//! clash, and when it ends, however it ends, the kernel stops everything it started.

use std::fs;
use std::path::{Path, PathBuf};
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
    let owners = owners(project)?;
    if owners.is_empty() {
        say::line("There are no real tests.");
        return Ok(sum);
    }
    let image = image::ensure(project)?;
    let step = Step::begin("building the real tests");
    let mut programs = Vec::new();
    for owner in &owners {
        programs.extend(build(project, owner)?);
    }
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
        if !tally.has_result() || (!status.success() && tally.failed == 0) {
            tally.fail(format!("{} ended ({status}) without a result", program.name));
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

/// A crate with real tests, from the manifests.
pub struct Owner {
    /// The crate.
    pub package: String,
    /// Its real tests.
    pub names: Vec<String>,
    /// Features that they say they need.
    pub features: Vec<String>,
}

impl Owner {
    /// The options by which cargo builds these tests and nothing else.
    pub fn options(&self) -> Vec<String> {
        let mut options = vec!["--package".to_owned(), self.package.clone()];
        if !self.features.is_empty() {
            options.extend(["--features".to_owned(), self.features.join(",")]);
        }
        for name in &self.names {
            options.extend(["--test".to_owned(), name.clone()]);
        }
        options
    }
}

/// All crates with real tests.
pub fn owners(project: &Project) -> Result<Vec<Owner>> {
    let text = project.cargo().args(["metadata", "--no-deps", "--format-version", "1"]).read()?;
    let metadata: Value = serde_json::from_str(&text).about("read cargo's metadata")?;
    let mut owners = Vec::new();
    for package in list(&metadata["packages"]) {
        let real: Vec<&Value> = list(&package["targets"])
            .filter(|target| {
                target["kind"][0] == "test" && word(&target["name"]).starts_with("real_")
            })
            .collect();
        let mut features: Vec<String> =
            real.iter().flat_map(|target| list(&target["required-features"])).map(word).collect();
        features.sort();
        features.dedup();
        if !real.is_empty() {
            owners.push(Owner {
                package: word(&package["name"]),
                names: real.iter().map(|target| word(&target["name"])).collect(),
                features,
            });
        }
    }
    Ok(owners)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn build(project: &Project, owner: &Owner) -> Result<Vec<Program>> {
    let output = project
        .cargo()
        .args(["test", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(owner.options())
        .output()?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let name = word(&message["target"]["name"]);
        let (Some(file), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        if owner.names.contains(&name) {
            let package = Path::new(manifest).parent().map(PathBuf::from).unwrap_or_default();
            programs.push(Program { name, file: file.into(), package });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
