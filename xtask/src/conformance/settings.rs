//! tempest.conf: the project's template, with what the running cloud offers filled in. tempest
//! ignores options that it does not know, so nothing here may invent one.

use std::fs;

use crate::failure::{About, Failure, Result};
use crate::project::Project;

/// The lines of an INI file, and how to change them.
pub struct Settings {
    lines: Vec<String>,
}

/// A service of tempest and the types by which a catalog shows it.
const SERVICES: &[(&str, &[&str])] = &[
    ("nova", &["compute"]),
    ("glance", &["image"]),
    ("neutron", &["network"]),
    ("cinder", &["block-storage", "block-store", "volumev3"]),
    ("swift", &["object-store"]),
];

impl Settings {
    /// Reads the template.
    pub fn from_template(project: &Project) -> Result<Self> {
        let path = project.file("conformance/tempest.conf.template");
        Ok(Self::parse(&fs::read_to_string(&path).at(&path)?))
    }

    fn parse(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect() }
    }

    /// Replaces a word between @ signs.
    pub fn fill(&mut self, word: &str, value: &str) {
        let word = format!("@{word}@");
        for line in &mut self.lines {
            *line = line.replace(&word, value);
        }
    }

    /// Asks for the services that the catalog shows, and for nothing that needs another.
    pub fn follow_catalog(&mut self, types: &[&str]) {
        for (service, names) in SERVICES {
            let there = names.iter().any(|name| types.contains(name));
            self.set("service_available", service, if there { "true" } else { "false" });
        }
        if !types.contains(&"network") {
            self.set("auth", "create_isolated_networks", "false");
            self.set("validation", "run_validation", "false");
            self.set("network-feature-enabled", "floating_ips", "false");
            for (section, key) in [
                ("compute", "fixed_network_name"),
                ("network", "public_network_id"),
                ("network", "floating_network_name"),
            ] {
                self.remove(section, key);
            }
        }
    }

    /// Turns off what the project says does not work yet.
    pub fn not_yet(&mut self, project: &Project) -> Result<()> {
        let path = project.file("conformance/not-yet.toml");
        let table: toml::Table = toml::from_str(&fs::read_to_string(&path).at(&path)?).at(&path)?;
        for (section, keys) in &table {
            for (key, value) in keys.as_table().into_iter().flatten() {
                self.set(section, key, value.as_str().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The finished file; a word that nobody filled in is a mistake here.
    pub fn text(&self) -> Result<String> {
        let unfilled = self.lines.iter().find(|line| {
            !line.starts_with('#')
                && line.split('@').skip(1).any(|word| {
                    !word.is_empty()
                        && word
                            .bytes()
                            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                })
        });
        match unfilled {
            Some(line) => Err(Failure::new(format!("tempest.conf: nobody filled in `{line}`"))),
            None => Ok(self.lines.join("\n") + "\n"),
        }
    }

    /// Sets an option; a section or option that is not there is added.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        let line = format!("{key} = {value}");
        match (self.find(section, key), self.section_end(section)) {
            (Some(at), _) => self.lines[at] = line,
            (None, Some(end)) => self.lines.insert(end, line),
            (None, None) => self.lines.extend([format!("[{section}]"), line]),
        }
    }

    fn remove(&mut self, section: &str, key: &str) {
        if let Some(at) = self.find(section, key) {
            self.lines.remove(at);
        }
    }

    fn section_start(&self, section: &str) -> Option<usize> {
        let head = format!("[{section}]");
        self.lines.iter().position(|line| *line == head).map(|at| at + 1)
    }

    fn section_end(&self, section: &str) -> Option<usize> {
        let start = self.section_start(section)?;
        let length = self.lines[start..].iter().position(|line| line.starts_with('['));
        Some(length.map_or(self.lines.len(), |length| start + length))
    }

    fn find(&self, section: &str, key: &str) -> Option<usize> {
        let (start, end) = (self.section_start(section)?, self.section_end(section)?);
        (start..end)
            .find(|at| self.lines[*at].split_once('=').is_some_and(|(name, _)| name.trim() == key))
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    const TEXT: &str = "[auth]\n# a remark = kept\ncreate_isolated_networks = true\n\
        [network]\npublic_network_id = @PUBLIC_NET_ID@\n[service_available]\nneutron = true\n";

    #[test]
    fn follows_a_catalog_without_networks() {
        let mut settings = Settings::parse(TEXT);
        assert!(settings.text().is_err());
        settings.follow_catalog(&["compute", "identity", "volumev3"]);
        let text = settings.text().unwrap();
        for line in [
            "create_isolated_networks = false",
            "neutron = false",
            "nova = true",
            "cinder = true",
            "swift = false",
            "run_validation = false",
            "# a remark = kept",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(!text.contains("public_network_id"));
    }

    #[test]
    fn a_network_needs_to_be_filled_in() {
        let mut settings = Settings::parse(TEXT);
        settings.follow_catalog(&["network"]);
        assert!(settings.text().is_err());
        settings.fill("PUBLIC_NET_ID", "7");
        assert!(settings.text().unwrap().contains("public_network_id = 7"));
    }
}
