//! The project's own commands: `cargo xtask demo`, `test`, `lint`, `conformance`, `setup`.
//! One file a command; what they share is named after the thing it handles. This program needs
//! nothing but Rust and gcc to be built, because it is what installs the rest.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the person at the keyboard: it has no World, and talking is its work"
)]

mod args;
mod bench;
mod cloud;
mod conformance;
mod debian;
mod demo;
mod failure;
mod image;
mod lint;
mod project;
mod say;
mod setup;
mod shell;
mod test;
mod venv;

use std::process::ExitCode;

use args::Args;
use failure::{Failure, Result};
use project::Project;

const HELP: &str = "\
cargo xtask <command>

  demo [--yes] [--once]       from nothing to a virtual machine at its login prompt;
                              --once stops everything afterwards
  test [filter] [--yes] [--group unit|real]
                              all tests; the real ones start QEMU and etcd and need root
  lint [--guards]             the guards, formatting and clippy
  bench [scenario…] [--json] [--yes]
                              how fast and how big: start, tokens, servers, candidates;
                              kept under target/bench/
  conformance <list or regex> [--keep] [--yes]
                              OpenStack's own tests against a fresh cloud of fake nodes;
                              writes docs/compatibility.md
  setup [--yes] [purpose…]    installs the Debian packages that the other commands need
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next();
    match run(command.as_deref(), Args::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("{failure}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<&str>, args: Args) -> Result<()> {
    let project = Project::find()?;
    match command {
        Some("bench") => bench::run(&project, args),
        Some("conformance") => conformance::run(&project, args),
        Some("demo") => demo::run(&project, args),
        Some("test") => test::run(&project, args),
        Some("lint") => lint::run(&project, args),
        Some("setup") => setup::run(&project, args),
        None | Some("help" | "--help" | "-h") => {
            say::line(HELP.trim_end());
            Ok(())
        }
        Some(other) => Err(Failure::new(format!("there is no command `{other}`\n{HELP}"))),
    }
}
