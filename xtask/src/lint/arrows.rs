//! Which of our crates may depend on which: the drawing of the floors as a table. An arrow that is
//! not in the table is refused, for tests too: a test that needs a higher floor belongs there. Services'
//! tests may also use the agent, whose fake hosts behave.

use super::facts::Facts;

/// Who, and what it may depend on. The first row whose folder fits is the crate's; a trailing
/// slash means every crate below.
const ARROWS: &[(&str, &[&str])] = &[
    ("platform/base", &[]),
    ("platform/state", &["platform/base"]),
    ("platform/web", &["platform/base"]),
    ("platform/control", &["platform/base", "platform/state"]),
    ("node/orders", &["platform/base"]),
    ("node/carrier", &["platform/base", "node/orders"]),
    ("node/agent", &["platform/base", "node/orders"]),
    // Services call each other by function; nothing depends on compute.
    (
        "services/",
        &[
            "platform/",
            "node/orders",
            "services/identity",
            "services/image",
            "services/placement",
            "services/nodes",
            "services/volume",
            "services/network",
        ],
    ),
    ("product/", &["platform/", "node/", "services/"]),
    ("xtask", &[]),
];

/// What tests alone may depend on besides.
const FOR_TESTS: &[(&str, &str)] = &[("services/", "node/agent")];

/// Complaints about arrows that point up or sideways.
pub fn check(facts: &Facts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (folder, package) in facts.own() {
        let Some((_, allowed)) = ARROWS.iter().find(|(who, _)| fits(folder, who)) else {
            complaints
                .push(format!("{folder} stands on no floor: add a row to the table of arrows"));
            continue;
        };
        for dependency in &package.dependencies {
            let target = dependency.path.as_deref().and_then(|path| facts.folder(path));
            let Some(target) = target else { continue };
            let for_tests = dependency.kind.as_deref() == Some("dev")
                && FOR_TESTS.iter().any(|(who, what)| fits(folder, who) && fits(target, what));
            let known = for_tests || allowed.iter().any(|what| fits(target, what));
            if target != folder && !known {
                complaints.push(format!("{folder} must not depend on {target}"));
            }
        }
    }
    complaints
}

fn fits(folder: &str, pattern: &str) -> bool {
    if pattern.ends_with('/') { folder.starts_with(pattern) } else { folder == pattern }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Dependency, Facts, Package};
    use super::check;

    fn depends(who: &str, on: &str) -> Vec<String> {
        let package = Package {
            manifest_path: format!("/top/{who}/Cargo.toml").into(),
            dependencies: vec![Dependency { path: Some(format!("/top/{on}").into()), kind: None }],
            ..Package::default()
        };
        check(&Facts {
            root: "/top".into(),
            files: std::collections::BTreeMap::default(),
            packages: vec![package],
        })
    }

    #[test]
    fn down_is_allowed_and_up_is_not() {
        assert!(depends("services/compute", "platform/state").is_empty());
        assert!(depends("product/everstack", "services/compute").is_empty());
        for (who, on) in [
            ("platform/base", "platform/state"),
            ("platform/web", "services/identity"),
            ("node/agent", "platform/state"),
            ("node/agent", "services/nodes"),
            ("services/image", "services/compute"),
            ("services/image", "product/everstack"),
            ("services/image", "node/agent"),
            ("xtask", "platform/base"),
        ] {
            assert_eq!(depends(who, on).len(), 1, "{who} -> {on}");
        }
        assert_eq!(depends("elsewhere/new", "platform/base").len(), 1);
    }
}
