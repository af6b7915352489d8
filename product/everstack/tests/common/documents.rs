//! OpenStack's OpenAPI documents, from the package of the crate `openstack_types`, and which of their schemas
//! belongs to a request or a response. Each document is read once, when first asked for.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use base::Map;
use serde_json::Value;

use super::schema::resolve;

/// A service's document, and what its paths begin with here.
pub struct Document {
    /// `/compute` of `/compute/v2.1/servers`: not in the document.
    prefix: &'static str,
    /// All of it.
    pub value: Value,
}

/// The document of a service by the first part of its paths.
static DOCUMENTS: LazyLock<Map<&'static str, Document>> = LazyLock::new(|| {
    let folder = folder();
    let all = [
        ("identity", "/identity", "identity/v3.14.yaml"),
        ("image", "/image", "image/v2.16.yaml"),
        ("placement", "/placement", "placement/v1.39.yaml"),
        ("compute", "/compute", "compute/v2.104.yaml"),
    ];
    let read = |(service, prefix, file): (&'static str, &'static str, &str)| {
        let text = std::fs::read_to_string(folder.join(file)).expect(file);
        let value = serde_yaml_ng::from_str(&text).expect(file);
        (service, Document { prefix, value })
    };
    all.into_iter().map(read).collect()
});

/// Where cargo keeps the documents. Asks nobody when the package is there, as after any `cargo fetch`.
fn folder() -> PathBuf {
    let asked = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo");
    let words = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success(), "cargo metadata: {words}");
    let metadata: Value = serde_json::from_slice(&asked.stdout).expect("metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let package =
        packages.iter().find(|package| package["name"] == "openstack_types").expect("the package");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").join("data")
}

/// The document for a path, if its service has one.
pub fn document(path: &str) -> Option<&'static Document> {
    DOCUMENTS.get(path.split('/').nth(1)?)
}

impl Document {
    /// The operation that a request is, as `METHOD /its/{path}` and its description.
    pub fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let path = path.split('?').next()?.strip_prefix(self.prefix)?;
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let wanted: Vec<&str> = template.split('/').collect();
            let same = |(have, want): (&&str, &&str)| want.starts_with('{') || have == want;
            wanted.len() == parts.len() && parts.iter().zip(&wanted).all(same)
        };
        let paths = self.value["paths"].as_object()?;
        let found = paths.iter().filter(|(template, _)| fits(template));
        // The one that leaves least open.
        let (template, item) = found.min_by_key(|(template, _)| template.matches('{').count())?;
        let operation = item.get(method.to_ascii_lowercase())?;
        Some((format!("{method} {template}"), operation))
    }

    /// The schemas one of which a body must fit.
    pub fn schemas(&self, part: &Value, media: &str, version: &str, action: &str) -> Vec<&Value> {
        let content = part.get("content").and_then(|content| content.get(media));
        let Some(schema) = content.and_then(|content| content.get("schema")) else {
            return Vec::new();
        };
        // A reference into the document, so that what is found lives as long as it.
        let mut found = Vec::new();
        if let Some(reference) = schema.get("$ref") {
            self.choose(resolve(&self.value, reference), version, action, &mut found);
        } else if let Some(all) = schema.get("oneOf").and_then(Value::as_array) {
            for one in all.iter().filter_map(|one| one.get("$ref")) {
                self.choose(resolve(&self.value, one), version, action, &mut found);
            }
        }
        found
    }

    fn choose<'d>(
        &'d self,
        schema: &'d Value,
        version: &str,
        action: &str,
        found: &mut Vec<&'d Value>,
    ) {
        if let Some(reference) = schema.get("$ref") {
            return self.choose(resolve(&self.value, reference), version, action, found);
        }
        let words = &schema["x-openstack"];
        let bound = |name: &str| words[name].as_str().map(number);
        let asked = number(version);
        let (min, max) = (bound("min-ver"), bound("max-ver"));
        // The documents compare versions as texts, so that a newest schema ends before it begins.
        let max = max.filter(|max| min.is_none_or(|min| min <= *max));
        if min.is_some_and(|min| asked < min) || max.is_some_and(|max| asked > max) {
            return;
        }
        if words["action-name"].as_str().is_some_and(|name| name != action) {
            return;
        }
        let alternatives = schema.get("oneOf").and_then(Value::as_array);
        match alternatives.filter(|_| words.get("discriminator").is_some()) {
            Some(all) => all.iter().for_each(|one| self.choose(one, version, action, found)),
            None => found.push(schema),
        }
    }
}

/// A version as two numbers; nothing asked for is the oldest.
fn number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or(("0", "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}
