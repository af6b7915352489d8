//! `docs/compatibility.md`: one section a list, between markers. The rest of the page is prose that
//! this program leaves alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use super::outcome::{Outcome, Verdict};
use crate::failure::{About, Result};
use crate::project::Project;

const PAGE: &str = "docs/compatibility.md";
const NEW_PAGE: &str = "\
# Compatibility: what OpenStack's own tests say

Each section is written by `cargo xtask conformance LIST`: a fresh cloud of fake nodes, tempest
unmodified. A skip is a gap too: its service or feature does not exist yet, or its flag is off
(`conformance/not-yet.toml`).
";

/// Writes the section of one list, in place of the one of an earlier run.
pub fn record(
    project: &Project,
    title: &str,
    suite: &str,
    ids: &[String],
    outcome: &Outcome,
) -> Result<()> {
    let path = project.file(PAGE);
    let day = project.run("date").args(["-u", "+%F"]).read()?;
    let page = fs::read_to_string(&path).unwrap_or_else(|_| NEW_PAGE.to_owned());
    let section = section(title, suite, day.trim(), ids, outcome);
    fs::write(&path, replaced(&page, title, &section)).at(&path)
}

fn section(title: &str, suite: &str, day: &str, ids: &[String], outcome: &Outcome) -> String {
    let mut text = format!("## {title}\n\n{day}, {}.", suite.replace("==", " "));
    if !ids.is_empty() {
        let _ = write!(text, " **{} of {} ids pass.**", outcome.ids_passed(ids), ids.len());
    }
    text.push_str("\n\n| service | passed | failed | skipped |\n| --- | ---: | ---: | ---: |\n");
    let mut services: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for test in &outcome.tests {
        let row = services.entry(service(&test.name)).or_default();
        row[match test.verdict {
            Verdict::Passed => 0,
            Verdict::Failed => 1,
            Verdict::Skipped => 2,
        }] += 1;
    }
    for (name, [passed, failed, skipped]) in &services {
        let _ = writeln!(text, "| {name} | {passed} | {failed} | {skipped} |");
    }
    let _ = writeln!(
        text,
        "| **all** | **{}** | **{}** | **{}** |",
        outcome.passed(),
        outcome.failed(),
        outcome.skipped()
    );
    let open: Vec<String> = outcome
        .failures()
        .map(|test| format!("- `{}`: {}", short(&test.name), in_prose(&test.reason)))
        .collect();
    if !open.is_empty() {
        let _ = write!(text, "\nFailing:\n\n{}\n", open.join("\n"));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for test in outcome.tests.iter().filter(|test| test.verdict == Verdict::Skipped) {
        *reasons.entry(&test.reason).or_default() += 1;
    }
    if !reasons.is_empty() {
        text.push_str("\nSkipped:\n\n");
        for (reason, count) in reasons {
            let _ = writeln!(text, "- {count}: {}", in_prose(reason));
        }
    }
    text
}

/// `tempest.api.compute.servers.…` → `compute`.
fn service(name: &str) -> String {
    let mut words = name.split('.').skip(1);
    match (words.next(), words.next()) {
        (Some("api"), Some(service)) => service.replace('_', " "),
        (Some(kind), _) => kind.replace('_', " "),
        _ => name.to_owned(),
    }
}

fn short(name: &str) -> &str {
    let name = name.split('[').next().unwrap_or(name);
    name.strip_prefix("tempest.").unwrap_or(name)
}

/// One line that Markdown leaves as it is, without what changes from run to run.
fn in_prose(reason: &str) -> String {
    let line =
        reason.replace("tempest.lib.exceptions.", "").replace(['\n', '|', '<', '>', '`'], " ");
    if line.chars().count() <= 160 {
        return line;
    }
    line.chars().take(160).chain(['…']).collect()
}

fn replaced(page: &str, title: &str, section: &str) -> String {
    let begin = format!("<!-- begin {title} -->");
    let end = format!("<!-- end {title} -->");
    let whole = format!("{begin}\n{}\n{end}", section.trim_end());
    match (page.find(&begin), page.find(&end)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{whole}{}", &page[..from], &page[to + end.len()..])
        }
        _ => format!("{}\n\n{whole}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Test;
    use super::*;

    #[test]
    fn only_its_own_section_is_replaced() {
        let page = replaced("# Page\n\nprose\n", "a", "one");
        let page = replaced(&page, "b", "two");
        let page = replaced(&page, "a", "three");
        assert!(page.starts_with("# Page\n\nprose\n\n<!-- begin a -->\nthree\n<!-- end a -->"));
        assert!(page.contains("two") && !page.contains("one"));
    }

    #[test]
    fn counts_by_service() {
        let test = |name: &str, verdict| Test {
            name: name.into(),
            verdict,
            reason: "Details: {'a': 1} | x".into(),
        };
        let outcome = Outcome {
            tests: vec![
                test("tempest.api.image.v2.A.test_1[id-1]", Verdict::Passed),
                test("tempest.api.image.v2.A.test_2[id-2]", Verdict::Failed),
                test("tempest.api.object_storage.B.test[id-3]", Verdict::Skipped),
                test("tempest.scenario.C.test[id-4]", Verdict::Passed),
            ],
            leaked: false,
        };
        let text = section("list", "tempest==1.0", "2030-01-02", &[], &outcome);
        for line in [
            "| image | 1 | 1 | 0 |",
            "| object storage | 0 | 0 | 1 |",
            "| scenario | 1 | 0 | 0 |",
            "| **all** | **2** | **1** | **1** |",
            "- `api.image.v2.A.test_2`: Details: {'a': 1}   x",
            "2030-01-02, tempest 1.0.",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
