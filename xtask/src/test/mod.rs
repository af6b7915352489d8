//! `cargo xtask test`: all tests. The ordinary ones run as `cargo test` runs them; the real ones,
//! which start QEMU and etcd, each in a wrapper of its own (`real.rs`). The last line is always
//! the sum: `N passed, N failed`.

pub mod real;
mod tally;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::args::Args;
use crate::debian::{self, Purpose};
use crate::failure::{About, Failure, Result};
use crate::project::{self, Project};
use crate::say::{self, Step};
use crate::shell;
use tally::Tally;

/// Which tests run.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Unit,
    Real,
    All,
}

/// Runs the command.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let group = match args.value("--group")?.as_deref() {
        None => Group::All,
        Some("unit") => Group::Unit,
        Some("real") => Group::Real,
        Some(other) => {
            return Err(Failure::new(format!("`{other}` is no group; there are: unit, real")));
        }
    };
    let filter = args.next();
    args.end()?;

    let mut needs: Vec<&'static Purpose> = vec![&debian::BUILD];
    let real_possible = project::is_root();
    if group != Group::Unit && real_possible {
        needs.extend([&debian::MACHINES, &debian::IMAGE, &debian::STORE, &debian::NAMESPACES]);
    }
    debian::ensure(project, &needs, yes)?;

    let mut sum = Tally::default();
    if group != Group::Real {
        sum.add(counted(unit(project, filter.as_deref())));
    }
    let mut left_out = Vec::new();
    if group != Group::Unit {
        if real_possible {
            sum.add(counted(real::run(project, filter.as_deref())));
        } else {
            left_out = real::owners(project)?.into_iter().flat_map(|owner| owner.names).collect();
        }
    }
    let verdict = verdict(&sum, &left_out);
    say::line(&sum.to_string());
    verdict
}

/// A group that could not run at all is one failure: the sum is printed whatever happens.
fn counted(group: Result<Tally>) -> Tally {
    group.unwrap_or_else(|failure| {
        say::line(&failure.to_string());
        let mut tally = Tally::default();
        tally.fail("a group of tests could not run, see above");
        tally
    })
}

fn verdict(sum: &Tally, left_out: &[String]) -> Result<()> {
    for name in &sum.broken {
        say::line(&format!("failed: {name}"));
    }
    if !left_out.is_empty() {
        say::line(&format!(
            "Left out, because they need root: {}. Run `sudo env PATH=\"$PATH\" cargo xtask test`.",
            left_out.join(", ")
        ));
    }
    if sum.failed > 0 || !left_out.is_empty() { Err(Failure::silent()) } else { Ok(()) }
}

/// The tests that need nothing but this program's own process.
fn unit(project: &Project, filter: Option<&str>) -> Result<Tally> {
    let step = Step::begin("building the tests");
    project
        .cargo()
        .args(["test", "--workspace", "--no-run"])
        .logged(&project.log("test-build"))
        .map_err(|e| e.hint("`cargo test --workspace --no-run` repeats it."))?;
    step.done("");

    let step = Step::begin("running the tests");
    let log = project.log("test-unit");
    let command =
        project.cargo().args(["test", "--workspace", "--no-fail-fast"]).args(filter).into_command();
    let (mut tally, status) = watch(command, &log)?;
    if !status.success() && tally.failed == 0 {
        tally.fail("a test program ended without a result; see the log");
    }
    report(step, &tally, &log);
    Ok(tally)
}

/// Says how a group went; with failures, what they said.
fn report(step: Step, tally: &Tally, log: &Path) {
    step.done(&tally.to_string());
    if tally.failed > 0 {
        for text in &tally.said {
            say::line(text);
        }
        // Rust's harness repeats what a failed test said; another only names it.
        if !tally.said.iter().any(|text| text.contains(" stdout ----")) {
            say::line(&shell::tail(log, 60));
        }
        say::line(&format!("The whole output is in {}", log.display()));
    }
}

/// Runs a test program, or cargo with many, and reads its results as they come.
fn watch(command: Command, log: &Path) -> Result<(Tally, ExitStatus)> {
    let mut both = Command::new("sh");
    // One pipe for both streams keeps their lines in order.
    both.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        both.current_dir(folder);
    }
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => both.env(key, value),
            None => both.env_remove(key),
        };
    }
    let mut child =
        both.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().about("start the tests")?;
    let mut file = shell::fresh(log)?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.about("read the tests' output")?;
            file.write_all(&line).and_then(|()| file.write_all(b"\n")).at(log)?;
            tally.read(&String::from_utf8_lossy(&line));
        }
    }
    let status = child.wait().about("wait for the tests")?;
    tally.end();
    Ok((tally, status))
}
