//! What a guest is told about itself: the files of a config drive and, by the same builder, the answers of
//! the metadata address. Pure functions of the server's record and of texts kept apart from it.
//!
//! The forms are those that cloud-init, cloudbase-init and Ignition read: OpenStack's, in dated versions,
//! and EC2's.

mod ec2;
mod openstack;
#[cfg(test)]
mod tests;

use base::Map;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use crate::servers::ServerRecord;

pub use openstack::VERSIONS;

/// A server, as a guest may know it.
pub struct About<'a> {
    id: &'a str,
    server: &'a ServerRecord,
    zone: &'a str,
    user_data: Option<Vec<u8>>,
    /// Path and content.
    files: Vec<(String, Vec<u8>)>,
}

impl<'a> About<'a> {
    /// `user_data` is base64, `files` the JSON of injected files, as the API took them.
    pub fn new(
        id: &'a str,
        server: &'a ServerRecord,
        zone: &'a str,
        user_data: Option<&str>,
        files: Option<&str>,
    ) -> About<'a> {
        let files = files.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        let file = |file: Value| {
            let path = file["path"].as_str().unwrap_or_default().to_owned();
            (path, decoded(file["contents"].as_str().unwrap_or_default()))
        };
        About {
            id,
            server,
            zone,
            user_data: user_data.map(decoded),
            files: files.unwrap_or_default().into_iter().map(file).collect(),
        }
    }
}

/// Base64 as the API takes it: with line breaks, if need be.
fn decoded(text: &str) -> Vec<u8> {
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    // It was checked when it was taken in; what is none would be the guest's to see.
    BASE64.decode(&plain).unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// The versions that are written to a drive: what guests look for, the long user data not eleven times.
const ON_DRIVE: &[&str] = &["2012-08-10", "2015-10-15", "2018-08-27", "2020-10-14", "latest"];

/// The files of a config drive, by path.
pub fn drive(about: &About<'_>) -> Map<String, Vec<u8>> {
    let mut files = Map::new();
    for version in ON_DRIVE {
        for name in openstack::names(about, version) {
            if let Some(found) = openstack::document(about, version, name) {
                files.insert(format!("openstack/{version}/{name}"), found.bytes);
            }
        }
    }
    for (number, (_, content)) in about.files.iter().enumerate() {
        files.insert(format!("openstack/content/{number:04}"), content.clone());
    }
    files.insert("ec2/latest/meta-data.json".to_owned(), ec2::json(about));
    if let Some(data) = &about.user_data {
        files.insert("ec2/latest/user-data".to_owned(), data.clone());
    }
    files
}

/// An answer of the metadata address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// JSON, else text.
    pub json: bool,
}

impl Found {
    fn text(text: impl Into<String>) -> Found {
        Found { bytes: text.into().into_bytes(), json: false }
    }

    fn list<T: AsRef<str>>(lines: &[T]) -> Found {
        let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        Found::text(lines.join("\n"))
    }
}

/// What stands at a path of the metadata address. `today` hides versions that are yet to come.
pub fn lookup(about: &About<'_>, path: &str, today: &str) -> Option<Found> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["openstack"] => {
            let mut versions: Vec<&str> =
                VERSIONS.iter().copied().filter(|version| *version <= today).collect();
            versions.push("latest");
            Some(Found::list(&versions))
        }
        ["openstack", "content", number] => {
            let number: usize = number.parse().ok()?;
            let (_, content) = about.files.get(number)?;
            Some(Found { bytes: content.clone(), json: false })
        }
        ["openstack", version] => {
            openstack::is_version(version).then(|| Found::list(&openstack::names(about, version)))
        }
        ["openstack", version, name] => openstack::document(about, version, name),
        ["openstack", ..] => None,
        ["ec2", rest @ ..] => ec2::lookup(about, rest),
        rest => ec2::lookup(about, rest),
    }
}
