//! The rules of `deny.toml` that matter most, checked without cargo-deny: banned crates, licences,
//! sources. The file is the data; what it says here and there is the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::facts::Facts;
use super::licence;

#[derive(Deserialize)]
struct Rules {
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// Complaints about crates that are in the dependency graph.
pub fn check(facts: &Facts) -> Vec<String> {
    let text = facts.files.get("deny.toml").map(|bytes| String::from_utf8_lossy(bytes));
    let rules: Rules = match toml::from_str(&text.unwrap_or_default()) {
        Ok(rules) => rules,
        Err(e) => return vec![format!("deny.toml: {e}")],
    };
    let allow: Vec<&str> = rules.licenses.allow.iter().map(String::as_str).collect();
    let mut complaints = Vec::new();
    for package in &facts.packages {
        let who = format!("{} {}", package.name, package.version);
        for banned in rules.bans.deny.iter().filter(|banned| banned.name == package.name) {
            complaints.push(format!("{who} is banned: {}", banned.reason));
        }
        let licence = package.license.as_deref().unwrap_or_default();
        if !licence::allowed(licence, &allow) {
            complaints.push(format!("{who} has the licence {licence:?}, which is not allowed"));
        }
        if let Some(source) = &package.source
            && !rules.sources.allow_registry.iter().any(|url| source.ends_with(url.as_str()))
        {
            complaints.push(format!("{who} comes from {source}"));
        }
    }
    complaints
}

/// Crates that are built in several versions.
pub fn duplicates(facts: &Facts) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &facts.packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| format!("{name} is built as {}", versions.join(" and ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Facts, Package};
    use super::{check, duplicates};

    const RULES: &str = r#"
        [bans]
        deny = [{ crate = "evil", reason = "it is" }]
        [licenses]
        allow = ["MIT"]
        [sources]
        allow-registry = ["https://good.example/index"]
    "#;

    fn facts(package: Package) -> Facts {
        Facts {
            root: "/top".into(),
            files: [("deny.toml".to_owned(), RULES.as_bytes().to_vec())].into(),
            packages: vec![package],
        }
    }

    fn package(name: &str, licence: &str, source: &str) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some(licence.into()),
            source: Some(source.into()),
            ..Package::default()
        }
    }

    #[test]
    fn bad_ones_are_named() {
        let good = "registry+https://good.example/index";
        assert!(check(&facts(package("fine", "MIT", good))).is_empty());
        assert_eq!(check(&facts(package("evil", "MIT", good))).len(), 1);
        assert_eq!(check(&facts(package("fine", "GPL-3.0", good))).len(), 1);
        assert_eq!(check(&facts(package("fine", "MIT", "git+https://else.example"))).len(), 1);
    }

    #[test]
    fn two_versions_are_seen() {
        let mut twice = facts(package("fine", "MIT", ""));
        twice.packages.push(Package { version: "2.0.0".into(), ..package("fine", "MIT", "") });
        assert_eq!(duplicates(&twice), ["fine is built as 1.0.0 and 2.0.0"]);
    }
}
