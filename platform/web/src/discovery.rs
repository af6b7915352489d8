//! Version documents, in each service's own shape. All are public and rendered once, when the router is built.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{BaseUrl, MicroversionScheme};

/// The version documents of a service.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Whose shapes.
    pub style: DiscoveryStyle,
    /// Where the list stands: `/compute`.
    pub root: &'static str,
    /// The versions, newest first.
    pub versions: Vec<VersionDoc>,
}

/// Whose shapes the documents have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryStyle {
    /// `/compute` (200, `versions` is a list) and `/compute/v2.1` (`version`).
    Nova,
    /// `/identity` (300, `versions.values`, `Location`) and `/identity/v3` (`version`).
    Keystone,
    /// `/image` (300) and `/image/versions` (200): a list each.
    Glance,
    /// `/placement` (200): a list.
    Placement,
}

/// One version.
#[derive(Clone, Debug)]
pub struct VersionDoc {
    /// `v2.1`
    pub id: &'static str,
    /// `CURRENT`, `SUPPORTED`, `stable`.
    pub status: &'static str,
    /// When it last changed, where the service says so.
    pub updated: &'static str,
    /// Its path: `/compute/v2.1`.
    pub path: &'static str,
    /// Its microversions.
    pub microversions: Option<MicroversionScheme>,
}

/// A document that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// Keystone's list says which version it prefers.
    pub(crate) location: Option<String>,
}

impl Discovery {
    /// Renders all documents.
    pub(crate) fn documents(&self, base: &BaseUrl) -> Vec<Document> {
        let mut documents = Vec::new();
        let mut add = |path: &str, status, body: Value| {
            let body = body.to_string().into();
            let preferred =
                self.versions.first().filter(|_| self.style == DiscoveryStyle::Keystone);
            let location =
                preferred.filter(|_| status == 300).map(|doc| format!("{}/", base.join(doc.path)));
            documents.push(Document { path: path.to_owned(), status, body, location });
        };
        let all: Vec<Value> = self.versions.iter().map(|doc| self.version(doc, base)).collect();
        match self.style {
            DiscoveryStyle::Nova => {
                add(self.root, 200, json!({"versions": all}));
                for doc in &self.versions {
                    let mut one = self.version(doc, base);
                    if let Some(links) = one["links"].as_array_mut() {
                        links.push(json!({
                            "rel": "describedby",
                            "type": "text/html",
                            "href": "http://docs.openstack.org/",
                        }));
                    }
                    one["media-types"] = media(doc);
                    add(doc.path, 200, json!({"version": one}));
                }
            }
            DiscoveryStyle::Keystone => {
                add(self.root, 300, json!({"versions": {"values": all}}));
                for doc in &self.versions {
                    add(doc.path, 200, json!({"version": self.version(doc, base)}));
                }
            }
            DiscoveryStyle::Glance => {
                add(self.root, 300, json!({"versions": all}));
                add(&format!("{}/versions", self.root), 200, json!({"versions": all}));
            }
            DiscoveryStyle::Placement => add(self.root, 200, json!({"versions": all})),
        }
        documents
    }

    /// What an unknown path below the root is answered with, by the services that do so.
    pub(crate) fn choices(&self, base: &BaseUrl) -> Option<Bytes> {
        let body = match self.style {
            DiscoveryStyle::Keystone | DiscoveryStyle::Placement => return None,
            DiscoveryStyle::Glance => json!({
                "versions": self.versions.iter().map(|doc| self.version(doc, base)).collect::<Vec<_>>(),
            }),
            DiscoveryStyle::Nova => json!({
                "choices": self.versions.iter().map(|doc| json!({
                    "id": doc.id,
                    "status": doc.status,
                    "links": [{"rel": "self", "href": base.join(doc.path)}],
                    "media-types": media(doc),
                })).collect::<Vec<_>>(),
            }),
        };
        Some(body.to_string().into())
    }

    fn version(&self, doc: &VersionDoc, base: &BaseUrl) -> Value {
        let (min, max) = match &doc.microversions {
            Some(scheme) => (scheme.min.to_string(), scheme.max.to_string()),
            None => (String::new(), String::new()),
        };
        let href = format!("{}/", base.join(doc.path));
        let links = json!([{"rel": "self", "href": href}]);
        match self.style {
            DiscoveryStyle::Nova => json!({
                "id": doc.id,
                "status": doc.status,
                "version": max,
                "min_version": min,
                "updated": doc.updated,
                "links": links,
            }),
            DiscoveryStyle::Keystone => json!({
                "id": doc.id,
                "status": doc.status,
                "updated": doc.updated,
                "links": links,
                "media-types": [{
                    "base": "application/json",
                    "type": "application/vnd.openstack.identity-v3+json",
                }],
            }),
            DiscoveryStyle::Glance => {
                json!({"id": doc.id, "status": doc.status, "links": links})
            }
            DiscoveryStyle::Placement => json!({
                "id": doc.id,
                "max_version": max,
                "min_version": min,
                "status": doc.status,
                "links": [{"rel": "self", "href": ""}],
            }),
        }
    }
}

fn media(doc: &VersionDoc) -> Value {
    let version = doc.id.trim_start_matches('v');
    json!([{
        "base": "application/json",
        "type": format!("application/vnd.openstack.compute+json;version={version}"),
    }])
}
