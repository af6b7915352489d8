//! What came of each selected test. A test without a result of its own takes its class's: when
//! `setUpClass` fails or skips, tempest reports the class and none of its tests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::{About, Result};

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, or never came to an end.
    Failed,
    /// It did not apply.
    Skipped,
}

/// One selected test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its whole name, with ids and attributes in brackets.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// One line, unless it passed.
    pub reason: String,
}

/// Everything.
pub struct Outcome {
    /// Each selected test once.
    pub tests: Vec<Test>,
    /// Whether something was left behind in the cloud.
    pub leaked: bool,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    status: String,
    reason: String,
}

impl Outcome {
    /// A run that came to nothing counts as one failure.
    pub fn broken() -> Self {
        let test =
            Test { name: "the run itself".into(), verdict: Verdict::Failed, reason: String::new() };
        Self { tests: vec![test], leaked: false }
    }

    /// Joins the results with the tests that were selected.
    pub fn read(results: &str, selected: &[String]) -> Result<Self> {
        let mut found: BTreeMap<String, (Verdict, String)> = BTreeMap::new();
        for line in results.lines().filter(|line| line.starts_with('{')) {
            let line: Line = serde_json::from_str(line).about("read the results")?;
            let verdict = match line.status.as_str() {
                "success" | "xfail" => Verdict::Passed,
                "skip" => Verdict::Skipped,
                _ => Verdict::Failed,
            };
            // A class may fail after its tests passed (tearDownClass); the worst word counts.
            let key = class_of_fixture(&line.name).unwrap_or(&line.name).to_owned();
            let entry = found.entry(key).or_insert((verdict, line.reason.clone()));
            if verdict == Verdict::Failed {
                *entry = (verdict, line.reason);
            }
        }
        let tests = selected
            .iter()
            .map(|name| {
                let own = found.get(name);
                let class = found.get(class_of_test(name));
                let (verdict, reason) = own
                    .or(class)
                    .cloned()
                    .unwrap_or((Verdict::Failed, "it gave no result".to_owned()));
                Test { name: name.clone(), verdict, reason }
            })
            .collect();
        let mut outcome = Self { tests, leaked: false };
        outcome.add_fixtures(&found, selected);
        Ok(outcome)
    }

    /// A class that failed although its tests have results of their own is a failure too.
    fn add_fixtures(&mut self, found: &BTreeMap<String, (Verdict, String)>, selected: &[String]) {
        for (key, (verdict, reason)) in found {
            let is_test = selected.contains(key);
            let counted = self
                .tests
                .iter()
                .any(|test| class_of_test(&test.name) == key && test.verdict == Verdict::Failed);
            if *verdict == Verdict::Failed && !is_test && !counted {
                self.tests.push(Test {
                    name: format!("{key} (setting up or tearing down the class)"),
                    verdict: Verdict::Failed,
                    reason: reason.clone(),
                });
            }
        }
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.count(Verdict::Passed)
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.count(Verdict::Failed)
    }

    /// How many were skipped.
    pub fn skipped(&self) -> usize {
        self.count(Verdict::Skipped)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.tests.iter().filter(|test| test.verdict == verdict).count()
    }

    /// The failed tests.
    pub fn failures(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.verdict == Verdict::Failed)
    }

    /// How many of these ids pass: all tests that carry the id did.
    pub fn ids_passed(&self, ids: &[String]) -> usize {
        ids.iter()
            .filter(|id| {
                let mut carrying = self.tests.iter().filter(|test| test.name.contains(id.as_str()));
                let mut any = false;
                let all = carrying.all(|test| {
                    any = true;
                    test.verdict == Verdict::Passed
                });
                any && all
            })
            .count()
    }
}

/// `tempest.api.image.v2.test_x.Class.test_y[id-…]`: everything before the test's own name.
fn class_of_test(name: &str) -> &str {
    let path = name.split('[').next().unwrap_or(name);
    path.rsplit_once('.').map_or(path, |(class, _)| class)
}

/// `setUpClass (tempest.api.image.v2.test_x.Class)`.
fn class_of_fixture(name: &str) -> Option<&str> {
    let rest =
        name.strip_prefix("setUpClass (").or_else(|| name.strip_prefix("tearDownClass ("))?;
    rest.strip_suffix(')')
}

/// Whether a line of a list is an id and not an expression.
pub fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// What tempest's dry run of a cleanup would remove: kind and name.
pub fn leaks(report: &Value) -> Vec<String> {
    let mut left = Vec::new();
    for (kind, things) in report.as_object().into_iter().flatten() {
        match things {
            Value::Object(things) => {
                left.extend(things.iter().map(|(id, about)| format!("{kind}: {id} {about}")));
            }
            Value::Array(things) => {
                left.extend(things.iter().map(|about| format!("{kind}: {about}")))
            }
            _ => {}
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "tempest.api.image.t.A.test_1[id-11111111-1111-1111-1111-111111111111]";
    const B: &str = "tempest.api.image.t.B.test_1[id-22222222-2222-2222-2222-222222222222]";
    const B2: &str = "tempest.api.image.t.B.test_2[id-22222222-2222-2222-2222-222222222222,smoke]";

    fn read(lines: &[Value], selected: &[&str]) -> Outcome {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let selected: Vec<String> = selected.iter().map(|name| (*name).to_owned()).collect();
        Outcome::read(&text, &selected).unwrap()
    }

    fn line(name: &str, status: &str) -> Value {
        json!({"name": name, "status": status, "reason": "because"})
    }

    #[test]
    fn tests_take_the_result_of_their_class() {
        let class = "setUpClass (tempest.api.image.t.B)";
        let outcome = read(&[line(A, "success"), line(class, "skip")], &[A, B, B2]);
        assert_eq!((outcome.passed(), outcome.failed(), outcome.skipped()), (1, 0, 2));
        let outcome = read(&[line(A, "success"), line(class, "fail")], &[A, B, B2]);
        assert_eq!((outcome.passed(), outcome.failed(), outcome.skipped()), (1, 2, 0));
    }

    #[test]
    fn silence_and_a_failing_tear_down_are_failures() {
        assert_eq!(read(&[], &[A]).failed(), 1);
        let torn = "tearDownClass (tempest.api.image.t.A)";
        let outcome = read(&[line(A, "success"), line(torn, "fail")], &[A]);
        assert_eq!((outcome.passed(), outcome.failed()), (1, 1));
    }

    #[test]
    fn an_id_passes_when_all_its_tests_do() {
        let ids: Vec<String> =
            ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
                .map(str::to_owned)
                .to_vec();
        let good = [line(A, "success"), line(B, "success"), line(B2, "success")];
        assert_eq!(read(&good, &[A, B, B2]).ids_passed(&ids), 2);
        let half = [line(A, "success"), line(B, "success"), line(B2, "fail")];
        assert_eq!(read(&half, &[A, B, B2]).ids_passed(&ids), 1);
        assert_eq!(read(&[line(A, "success")], &[A]).ids_passed(&ids), 1);
        assert!(ids.iter().all(|id| is_id(id)) && !is_id("tempest.api"));
    }

    #[test]
    fn leaks_are_named() {
        let clean = json!({"_projects_to_clean": {}, "flavors": {}, "servers": []});
        assert!(leaks(&clean).is_empty());
        assert_eq!(leaks(&json!({"flavors": {"1": "x"}, "servers": [{"id": "2"}]})).len(), 2);
    }
}
