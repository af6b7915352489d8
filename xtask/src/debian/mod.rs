//! The Debian packages that the project's commands need: installs what is missing and nothing else.
//! It never removes, replaces or downgrades a package of the machine: where a plain installation
//! would, the programs are unpacked under `target/tools` instead (docs/decisions/0020).

mod apt;
mod data;
mod private;

pub use data::{BUILD, CLIENT, IMAGE, MACHINES, NAMESPACES, Purpose, STORE, all};

use std::collections::BTreeSet;

use crate::failure::{Failure, Result};
use crate::project::{self, Project};
use crate::say::{self, Step};

/// Makes sure that everything for these purposes is there.
pub fn ensure(project: &Project, purposes: &[&'static Purpose], yes: bool) -> Result<()> {
    let installed = apt::installed(project)?;
    let wanting: Vec<Missing> = purposes
        .iter()
        .filter(|purpose| !private::is_there(project, purpose))
        .map(|purpose| Missing::of(purpose, &installed))
        .filter(|missing| !missing.packages.is_empty())
        .collect();
    if wanting.is_empty() {
        return Ok(());
    }
    apt::refresh(project, false)?;
    let (system, apart) = match sort(project, &wanting) {
        // A candidate may be missing only because the lists are from before it was published.
        Err(_) if project::is_root() => {
            apt::refresh(project, true)?;
            sort(project, &wanting)?
        }
        sorted => sorted?,
    };

    say::line("Debian packages that are missing here:");
    for missing in &system {
        say::line(&format!("  {}  ({})", missing.packages.join(" "), missing.purpose.why));
    }
    for (missing, conflicts) in &apart {
        say::line(&format!(
            "  {}  ({})\n    not installed, because apt would remove or downgrade {}: a private \
             copy goes to {}",
            missing.packages.join(" "),
            missing.purpose.why,
            conflicts.join(", "),
            project.short(&project.tools())
        ));
    }
    if !system.is_empty() && !project::is_root() {
        let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
        let names: Vec<&str> = system.iter().map(|missing| missing.purpose.name).collect();
        return Err(Failure::new("Installing them needs root. Run this once, then repeat:")
            .hint(&format!("  sudo {} setup --yes {}", program.display(), names.join(" "))));
    }
    say::agree("Install them?", yes)?;

    if !system.is_empty() {
        let packages = joined(&system);
        let services: Vec<&str> = system
            .iter()
            .flat_map(|missing| missing.purpose.services)
            .filter(|(package, _)| packages.contains(package))
            .map(|(_, service)| *service)
            .collect();
        let step = Step::begin(format!("installing {}", packages.join(" ")));
        apt::install(project, &packages, &services)?;
        step.done("");
    }
    for (missing, conflicts) in &apart {
        let step = Step::begin(format!("unpacking a private copy: {}", missing.purpose.name));
        private::make(project, missing.purpose, conflicts)?;
        step.done(&project.short(&project.tools()));
    }
    Ok(())
}

/// A purpose and which of its packages are not installed.
struct Missing {
    purpose: &'static Purpose,
    packages: Vec<&'static str>,
}

impl Missing {
    fn of(purpose: &'static Purpose, installed: &BTreeSet<String>) -> Self {
        let packages =
            purpose.packages.iter().copied().filter(|name| !installed.contains(*name)).collect();
        Self { purpose, packages }
    }
}

type Sorted<'a> = (Vec<&'a Missing>, Vec<(&'a Missing, Vec<String>)>);

/// Asks apt which purposes can be installed harmlessly.
fn sort<'a>(project: &Project, wanting: &'a [Missing]) -> Result<Sorted<'a>> {
    let mut system = Vec::new();
    let mut apart = Vec::new();
    for missing in wanting {
        let harm = apt::simulate(project, &missing.packages)?;
        if harm.is_empty() {
            system.push(missing);
        } else {
            apart.push((missing, harm));
        }
    }
    // Each alone is harmless; together they must be too.
    let harm = apt::simulate(project, &joined(&system))?;
    if harm.is_empty() {
        return Ok((system, apart));
    }
    Err(Failure::new(format!(
        "apt would remove or downgrade {} to install {}. Nothing was changed.",
        harm.join(", "),
        joined(&system).join(" ")
    )))
}

fn joined(missing: &[&Missing]) -> Vec<&'static str> {
    missing.iter().flat_map(|missing| missing.packages.iter().copied()).collect()
}
