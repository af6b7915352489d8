//! What apt and dpkg are asked and told. Nothing here removes or downgrades: the simulation refuses
//! first, and the real call says `--no-remove` and never allows a downgrade.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use crate::failure::{Failure, Result};
use crate::project::{self, Project};
use crate::say::Step;
use crate::shell::Run;

/// Package lists older than this are fetched again before something is installed.
const LISTS_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Keeps services from starting while a command runs, by Debian's own way (policy-rc.d), and puts
/// everything back whatever happens. What a killed run left is put back by the next one.
const QUIETLY: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
aside=$policy.aside
mark='# written by cargo xtask while it installs packages'
exec 9>/run/everstack-xtask.lock
flock 9
restore() {
    if [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then rm -f "$policy"; fi
    if [ -e "$aside" ]; then mv -f "$aside" "$policy"; fi
}
restore
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
denied=0
if [ -x "$policy" ]; then "$policy" everstack-question start >/dev/null 2>&1 || denied=$?; fi
if [ "$denied" != 101 ]; then
    if [ -e "$policy" ]; then mv -f "$policy" "$aside"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi
"$@" 9>&-
"#;

/// The names of all installed packages.
pub fn installed(project: &Project) -> Result<BTreeSet<String>> {
    let listed = project
        .run("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .read()
        .map_err(|e| e.hint("The project's commands know Debian 12; on another system install the packages yourself."))?;
    Ok(listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect())
}

/// Fetches the package lists when they are missing or old, or when told to.
pub fn refresh(project: &Project, always: bool) -> Result<()> {
    if !project::is_root() || !(always || lists_are_old()) {
        return Ok(());
    }
    let step = Step::begin("fetching the package lists");
    // A third-party source that is down must not stop us: what we need may be in the others.
    let updated = apt(project).arg("update").logged(&project.log("apt-update"));
    match updated {
        Ok(()) => step.done(""),
        Err(failure) if lists().next().is_none() => return Err(failure),
        Err(_) => step.done("some sources did not answer, going on with what there is"),
    }
    Ok(())
}

fn lists() -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn lists_are_old() -> bool {
    if lists().next().is_none() {
        return true;
    }
    // The files carry the mirror's times; the folder's is when apt last fetched something.
    let fetched = ["/var/lib/apt/lists", "/var/lib/apt/lists/partial"]
        .iter()
        .filter_map(|folder| fs::metadata(folder).and_then(|data| data.modified()).ok())
        .max();
    let age = fetched.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_none_or(|age| age > LISTS_AGE)
}

/// Which installed packages would be removed or downgraded by installing these.
pub fn simulate(project: &Project, packages: &[&str]) -> Result<Vec<String>> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let plan = apt(project).args(["-s", "install"]).args(packages).read()?;
    let mut harmed = Vec::new();
    for change in plan.lines().filter_map(Change::read) {
        let harmful = match change.kind {
            Kind::Removed => true,
            Kind::Installed { old: Some(old), new } => !is_newer(project, new, old),
            Kind::Installed { old: None, .. } => false,
        };
        if harmful {
            harmed.push(change.package.to_owned());
        }
    }
    Ok(harmed)
}

fn is_newer(project: &Project, new: &str, old: &str) -> bool {
    project.run("dpkg").args(["--compare-versions", new, "ge", old]).accepts("")
}

/// Installs these, with services kept from starting now and at the next boot.
pub fn install(project: &Project, packages: &[&str], services: &[&str]) -> Result<()> {
    let log = project.log("apt-install");
    let once = || {
        project
            .run("sh")
            .args(["-c", QUIETLY, "sh", "apt-get"])
            .args(OPTIONS)
            .args(["install", "-y", "--no-remove"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .logged(&log)
    };
    if once().is_err() {
        // Old lists name files that the mirror no longer has.
        refresh(project, true)?;
        once()?;
    }
    if fs::metadata("/run/systemd/system").is_ok() {
        for service in services {
            project.run("systemctl").args(["disable", "--quiet", service]).read()?;
        }
    }
    Ok(())
}

const OPTIONS: [&str; 4] = ["-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];

/// `apt-get` with the options that every call wants.
pub fn apt(project: &Project) -> Run {
    project.run("apt-get").args(OPTIONS).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C")
}

/// One line of `apt-get -s`.
#[derive(Debug, PartialEq)]
struct Change<'a> {
    package: &'a str,
    kind: Kind<'a>,
}

#[derive(Debug, PartialEq)]
enum Kind<'a> {
    Removed,
    Installed { old: Option<&'a str>, new: &'a str },
}

impl<'a> Change<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let (package, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        // A foreign architecture is part of the name: libc6:i386.
        match word {
            "Remv" | "Purg" => Some(Self { package, kind: Kind::Removed }),
            "Inst" => {
                let old = rest.strip_prefix('[').and_then(|rest| rest.split(']').next());
                let new = rest.split_once('(')?.1.split([' ', ')']).next()?;
                Some(Self { package, kind: Kind::Installed { old, new } })
            }
            _ => None,
        }
    }
}

/// The failure when a private copy cannot be made.
pub fn nothing_to_unpack(packages: &[&str]) -> Failure {
    Failure::new(format!("apt offers no files for {}", packages.join(" ")))
        .hint("Run `apt-get update` and try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apt_plans() {
        let plan = "Reading package lists...\n\
            Remv tool-utils [1:10.0+b1]\n\
            Inst tool (1:7.2-7 Debian:12.15/oldstable [amd64]) []\n\
            Inst libtool [2.0-1] (1.9-4+b3 Debian:12.15/oldstable [amd64])\n\
            Conf tool (1:7.2-7 Debian:12.15/oldstable [amd64])\n";
        let changes: Vec<_> = plan.lines().filter_map(Change::read).collect();
        assert_eq!(
            changes,
            [
                Change { package: "tool-utils", kind: Kind::Removed },
                Change { package: "tool", kind: Kind::Installed { old: None, new: "1:7.2-7" } },
                Change {
                    package: "libtool",
                    kind: Kind::Installed { old: Some("2.0-1"), new: "1.9-4+b3" }
                },
            ]
        );
    }
}
