//! OpenStack's form: `openstack/<version>/<file>`.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{About, Found};

const GRIZZLY: &str = "2013-04-04";
const HAVANA: &str = "2013-10-17";
const LIBERTY: &str = "2015-10-15";
const NEWTON_ONE: &str = "2016-06-30";
const NEWTON_TWO: &str = "2016-10-06";
const VICTORIA: &str = "2020-10-14";

/// The versions, oldest first.
pub const VERSIONS: &[&str] = &[
    "2012-08-10",
    GRIZZLY,
    HAVANA,
    LIBERTY,
    NEWTON_ONE,
    NEWTON_TWO,
    "2017-02-22",
    "2018-08-27",
    VICTORIA,
];

/// Whether there is such a version.
pub(super) fn is_version(version: &str) -> bool {
    version == "latest" || VERSIONS.contains(&version)
}

/// Whether a version has what came with another one. Dates compare as text.
fn has(version: &str, since: &str) -> bool {
    version == "latest" || version >= since
}

/// The files of a version.
pub(super) fn names(about: &About<'_>, version: &str) -> Vec<&'static str> {
    let mut names = vec!["meta_data.json"];
    if about.user_data.is_some() {
        names.push("user_data");
    }
    if has(version, HAVANA) {
        names.push("vendor_data.json");
    }
    if has(version, LIBERTY) {
        names.push("network_data.json");
    }
    if has(version, NEWTON_TWO) {
        names.push("vendor_data2.json");
    }
    names
}

/// A file of a version.
pub(super) fn document(about: &About<'_>, version: &str, name: &str) -> Option<Found> {
    if !is_version(version) || !names(about, version).contains(&name) {
        return None;
    }
    let json = |value: Value| Found { bytes: value.to_string().into_bytes(), json: true };
    match name {
        "meta_data.json" => Some(json(meta_data(about, version))),
        "user_data" => Some(Found { bytes: about.user_data.clone()?, json: false }),
        "network_data.json" => Some(json(json!({"links": [], "networks": [], "services": []}))),
        // Nobody has given this cloud vendor data.
        _ => Some(json(json!({}))),
    }
}

fn meta_data(about: &About<'_>, version: &str) -> Value {
    let server = about.server;
    let mut data = json!({
        "uuid": about.id,
        "hostname": server.hostname,
        "name": server.name,
        "launch_index": server.launch_index,
        "availability_zone": about.zone,
    });
    if !server.metadata.is_empty() {
        data["meta"] = json!(server.metadata);
    }
    if !about.files.is_empty() {
        let file = |(number, (path, _)): (usize, &(String, Vec<u8>))| json!({"path": path, "content_path": format!("/content/{number:04}")});
        data["files"] = about.files.iter().enumerate().map(file).collect();
    }
    if let Some(key) = &server.key {
        data["public_keys"] = json!({ (key.name.clone()): key.public_key });
        data["keys"] = json!([{"name": key.name, "type": key.kind, "data": key.public_key}]);
    }
    if has(version, GRIZZLY) {
        data["random_seed"] = json!(random_seed(&server.seed, about.id));
    }
    if has(version, LIBERTY) {
        data["project_id"] = json!(server.project_id);
    }
    if has(version, NEWTON_ONE) {
        data["devices"] = json!([]);
    }
    if has(version, VICTORIA) {
        data["dedicated_cpus"] = json!([]);
    }
    data
}

/// 512 bytes that nobody outside can know, the same each time: from a random text made with the server.
fn random_seed(seed: &str, id: &str) -> String {
    let mut bytes = Vec::with_capacity(512);
    for block in 0..8u8 {
        let mut hash = Sha512::new();
        hash.update(seed.as_bytes());
        hash.update(id.as_bytes());
        hash.update([block]);
        bytes.extend_from_slice(&hash.finalize());
    }
    BASE64.encode(bytes)
}
