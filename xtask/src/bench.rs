//! `cargo xtask bench`: measures a cloud of release programs over real sockets, keeps the figures under
//! `target/bench/` and compares them with the run before. A figure out of reach is no failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::args::Args;
use crate::debian;
use crate::failure::{About, Failure, Result};
use crate::project::Project;
use crate::say::{self, Step};

/// Runs the command; its words are the scenarios to run, none: all.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let as_json = args.flag("--json");
    let mut scenarios = Vec::new();
    while let Some(scenario) = args.next() {
        scenarios.push(scenario);
    }
    args.end()?;
    debian::ensure(project, &[&debian::BUILD, &debian::MACHINES], yes)?;

    let step = Step::begin("building for release");
    project
        .cargo()
        .args(["build", "--release", "--package", "everstack", "--package", "bench"])
        .logged(&project.log("bench-build"))?;
    step.done("");

    let folder = project.file("target/bench");
    fs::create_dir_all(&folder).at(&folder)?;
    let before = newest(&folder)?;
    let figures = folder.join("figures");
    let status = project
        .run(project.file("target/release/bench"))
        .arg(project.file("target/release/everstack"))
        .arg(folder.join("clouds"))
        .arg(&figures)
        .args(&scenarios)
        .into_command()
        .status()
        .about("start the measuring program")?;
    if !status.success() {
        return Err(Failure::new("the measuring program failed: nothing is kept of this run"));
    }
    let text = fs::read_to_string(&figures).at(&figures)?;
    let measured: Value = serde_json::from_str(&text).about("read the figures")?;
    if let Some(before) = &before {
        compare(&measured, before);
    }
    let commit = project.run("git").args(["rev-parse", "HEAD"]).read()?;
    let date = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let kept = json!({
        "seconds_since_1970": date,
        "commit": commit.trim(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "figures": measured,
    });
    let file = folder.join(format!("{date}.json"));
    fs::write(&file, format!("{kept:#}\n")).at(&file)?;
    if as_json {
        say::line(&format!("{kept:#}"));
    }
    say::line(&format!("Kept in {}", project.short(&file)));
    Ok(())
}

/// The figures of the last run that was kept.
fn newest(folder: &Path) -> Result<Option<Value>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .at(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let Some(last) = files.last() else { return Ok(None) };
    let text = fs::read_to_string(last).at(last)?;
    let run: Value = serde_json::from_str(&text).about("read the run before")?;
    Ok(Some(run["figures"].clone()))
}

fn compare(now: &Value, before: &Value) {
    let rows = |run: &Value| run.as_array().cloned().unwrap_or_default();
    let before = rows(before);
    say::line("Against the run before:");
    for figure in rows(now) {
        let same = before.iter().find(|other| other["name"] == figure["name"]);
        let values = (figure["value"].as_f64(), same.and_then(|other| other["value"].as_f64()));
        if let (Some(now), Some(then)) = values
            && then != 0.0
        {
            let name = figure["name"].as_str().unwrap_or_default();
            say::line(&format!("  {name}: {:.2} times", now / then));
        }
    }
}
