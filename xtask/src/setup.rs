//! `cargo xtask setup`: installs what the other commands need, and nothing else.

use crate::args::Args;
use crate::debian::{self, Purpose};
use crate::failure::{Failure, Result};
use crate::project::Project;
use crate::say;

/// Runs the command.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let mut purposes: Vec<&'static Purpose> = Vec::new();
    while let Some(word) = args.next() {
        let found = debian::all().into_iter().find(|purpose| purpose.name == word);
        purposes.push(found.ok_or_else(|| {
            let names: Vec<&str> = debian::all().iter().map(|purpose| purpose.name).collect();
            Failure::new(format!("`{word}` is no purpose; there are: {}", names.join(" ")))
        })?);
    }
    args.end()?;
    if purposes.is_empty() {
        purposes = everything().to_vec();
    }
    debian::ensure(project, &purposes, yes)?;
    say::line("Everything is there.");
    Ok(())
}

/// What the demo and the tests need together.
pub fn everything() -> [&'static Purpose; 6] {
    [
        &debian::BUILD,
        &debian::MACHINES,
        &debian::IMAGE,
        &debian::CLIENT,
        &debian::STORE,
        &debian::NAMESPACES,
    ]
}
