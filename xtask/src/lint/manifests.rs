//! The crates' own manifests: dependencies are described in the root alone, and tests of the real
//! thing are declared so that plain `cargo test` neither builds nor runs them.

use std::path::Path;

use super::facts::Facts;

/// Versions and features stand in the root: building one crate alone then builds the same
/// dependencies as building all, and nothing is compiled twice.
pub fn dependencies(facts: &Facts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in facts.texts("/Cargo.toml") {
        let manifest: toml::Table = match toml::from_str(text) {
            Ok(manifest) => manifest,
            Err(e) => {
                complaints.push(format!("{path}: {e}"));
                continue;
            }
        };
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = manifest.get(section).and_then(toml::Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                let inherits = entry.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                let more = entry.as_table().is_some_and(|table| {
                    table.keys().any(|key| key != "workspace" && key != "optional")
                });
                if !inherits || more {
                    complaints.push(format!(
                        "{path}: write `{name}.workspace = true` and the rest in the root"
                    ));
                }
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            complaints.push(format!("{path}: `[lints] workspace = true` is missing"));
        }
    }
    complaints
}

/// The variable that only the wrapper of real tests sets.
const REAL: &str = "EVERSTACK_REAL";

/// Real tests: `test = false` (or a feature) in the manifest, and a look at the wrapper's variable in the file.
pub fn real_tests(facts: &Facts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (folder, package) in facts.own() {
        for target in package.targets.iter().filter(|target| target.is_real_test()) {
            if target.test && target.required_features.is_empty() {
                complaints.push(format!(
                    "{folder}/Cargo.toml: add `[[test]] name = \"{}\" test = false`",
                    target.name
                ));
            }
            if !asks_for_the_wrapper(facts, &target.src_path) {
                complaints.push(format!(
                    "{folder}: {} does not look at {REAL}; outside the wrapper it must fail and \
                     name `cargo xtask test`",
                    target.name
                ));
            }
        }
    }
    complaints
}

/// The file itself or one beside it that the tests share.
fn asks_for_the_wrapper(facts: &Facts, file: &Path) -> bool {
    let Some(folder) = file.parent().and_then(|folder| facts.folder(folder)) else { return false };
    facts.texts(".rs").any(|(path, text)| path.starts_with(folder) && text.contains(REAL))
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Facts, Package, Target};
    use super::{dependencies, real_tests};

    fn facts(path: &str, text: &str) -> Facts {
        Facts {
            root: "/top".into(),
            files: [(path.to_owned(), text.as_bytes().to_vec())].into(),
            packages: Vec::new(),
        }
    }

    #[test]
    fn a_version_in_a_member_is_refused() {
        let manifest = |line: &str| format!("[dependencies]\n{line}\n[lints]\nworkspace = true\n");
        let complaints = |line: &str| dependencies(&facts("a/Cargo.toml", &manifest(line))).len();
        assert_eq!(complaints("serde.workspace = true"), 0);
        assert_eq!(complaints("serde = { workspace = true, optional = true }"), 0);
        assert_eq!(complaints("serde = \"1\""), 1);
        assert_eq!(complaints("serde = { workspace = true, features = [\"rc\"] }"), 1);
        assert_eq!(dependencies(&facts("a/Cargo.toml", "[package]\n")).len(), 1);
    }

    #[test]
    fn real_tests_must_be_declared_and_guarded() {
        let with = |test: bool, text: &str| {
            let mut facts = facts("a/tests/real_x.rs", text);
            facts.packages.push(Package {
                manifest_path: "/top/a/Cargo.toml".into(),
                targets: vec![Target {
                    name: "real_x".into(),
                    kind: vec!["test".into()],
                    src_path: "/top/a/tests/real_x.rs".into(),
                    test,
                    required_features: Vec::new(),
                }],
                ..Package::default()
            });
            real_tests(&facts).len()
        };
        assert_eq!(with(false, "EVERSTACK_REAL"), 0);
        assert_eq!(with(true, "EVERSTACK_REAL"), 1);
        assert_eq!(with(true, ""), 2);
    }
}
