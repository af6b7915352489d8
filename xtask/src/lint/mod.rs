//! `cargo xtask lint`: formatting, clippy, and the guards: what a reader would otherwise have to
//! watch for in every change. A guard is a function from facts to complaints.

mod arrows;
mod deny;
mod facts;
mod files;
mod licence;
mod manifests;

use crate::args::Args;
use crate::debian;
use crate::failure::{Failure, Result};
use crate::project::Project;
use crate::say::{self, Step};
use crate::test;
use facts::Facts;

type Guard = fn(&Facts) -> Vec<String>;

/// Every guard: its name in the output, and the function.
const GUARDS: &[(&str, Guard)] = &[
    ("arrows point down only", arrows::check),
    ("dependencies are welcome", deny::check),
    ("dependencies are described once", manifests::dependencies),
    ("real tests stay out of plain `cargo test`", manifests::real_tests),
    ("nothing about one machine", files::no_machine),
    ("no version of a Debian package", files::no_debian_versions),
    ("each file says what it is", files::opened),
    ("no test is skipped", files::no_skipped_tests),
    ("no big file", files::small),
];

/// Runs the command.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let guards_only = args.flag("--guards");
    args.end()?;

    let mut failed = guards(project)?;
    if !guards_only {
        debian::ensure(project, &[&debian::BUILD], yes)?;
        failed.extend(tools(project)?);
    }
    if failed.is_empty() {
        say::line("lint: clean");
        return Ok(());
    }
    Err(Failure::new(format!("lint: {}", failed.join("; "))))
}

/// What the project watches for by itself.
fn guards(project: &Project) -> Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    let facts = Facts::gather(project)?;
    for (name, guard) in GUARDS {
        let complaints = guard(&facts);
        say::line(&format!("{} {name}", if complaints.is_empty() { "✓" } else { "✗" }));
        for complaint in &complaints {
            say::line(&format!("    {complaint}"));
        }
        if !complaints.is_empty() {
            failed.push(*name);
        }
    }
    for remark in files::long(&facts).iter().chain(&deny::duplicates(&facts)) {
        say::line(&format!("  remark: {remark}"));
    }
    Ok(failed)
}

/// What Rust's own tools watch for.
fn tools(project: &Project) -> Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    let step = Step::begin("cargo fmt");
    match project.cargo().args(["fmt", "--all", "--check"]).read() {
        Ok(_) => step.done(""),
        Err(difference) => {
            drop(step);
            say::line(&difference.hint("`cargo fmt --all` mends it.").to_string());
            failed.push("cargo fmt");
        }
    }
    let mut targets = vec![vec!["--workspace".to_owned(), "--all-targets".to_owned()]];
    // Real tests are not among "all targets": plain `cargo test` must not run them.
    targets.extend(test::real::owners(project)?.iter().map(test::real::Owner::options));
    for target in targets {
        let step = Step::begin(format!("cargo clippy {}", target.join(" ")));
        let clippy =
            project.cargo().args(["clippy", "--quiet"]).args(target).args(["--", "-D", "warnings"]);
        match clippy.logged(&project.log("clippy")) {
            Ok(()) => step.done(""),
            Err(complaints) => {
                drop(step);
                say::line(&complaints.to_string());
                failed.push("cargo clippy");
            }
        }
    }
    Ok(failed)
}
