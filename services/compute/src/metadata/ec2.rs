//! EC2's form: a tree of texts below `<version>/meta-data`, and `<version>/user-data`.

use serde_json::{Map, Value, json};

use super::{About, Found};

const VERSIONS: &[&str] = &[
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
];

/// An id as EC2 has them.
fn short(kind: &str, id: &str) -> String {
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{kind}-{digits:0>8}")
}

fn meta_data(about: &About<'_>) -> Value {
    let server = about.server;
    let image = server.image.as_ref().map_or("", |image| image.id.as_str());
    let mut data = json!({
        "ami-id": short("ami", image),
        "ami-launch-index": server.launch_index,
        "ami-manifest-path": "FIXME",
        "instance-id": short("i", about.id),
        "hostname": server.hostname,
        "local-hostname": server.hostname,
        "public-hostname": server.hostname,
        "local-ipv4": Value::Null,
        "public-ipv4": "",
        "reservation-id": server.reservation_id,
        "security-groups": [],
        "instance-type": server.flavor.name,
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "placement": {"availability-zone": about.zone},
        "instance-action": "none",
    });
    if let Some(key) = &server.key {
        data["public-keys"] =
            json!({"0": {"_name": format!("0={}", key.name), "openssh-key": key.public_key}});
    }
    data
}

/// For the config drive.
pub(super) fn json(about: &About<'_>) -> Vec<u8> {
    let mut data = meta_data(about);
    if let Some(key) = data.pointer_mut("/public-keys/0").and_then(Value::as_object_mut) {
        key.remove("_name");
    }
    data.to_string().into_bytes()
}

/// For the metadata address.
pub(super) fn lookup(about: &About<'_>, path: &[&str]) -> Option<Found> {
    let Some((version, rest)) = path.split_first() else {
        let mut versions = VERSIONS.to_vec();
        versions.push("latest");
        return Some(Found::list(&versions));
    };
    if *version != "latest" && !VERSIONS.contains(version) {
        return None;
    }
    match rest {
        [] => {
            let mut names = vec!["meta-data/"];
            if about.user_data.is_some() {
                names.push("user-data");
            }
            Some(Found::list(&names))
        }
        ["user-data"] => Some(Found { bytes: about.user_data.clone()?, json: false }),
        ["meta-data", rest @ ..] => {
            let data = meta_data(about);
            let mut value = &data;
            for part in rest {
                value = value.as_object()?.get(*part)?;
            }
            Some(printed(value))
        }
        _ => None,
    }
}

fn printed(value: &Value) -> Found {
    match value {
        Value::Object(map) => Found::list(&names(map)),
        Value::Array(list) => {
            let lines: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            Found::list(&lines)
        }
        Value::String(text) => Found::text(text.clone()),
        Value::Null => Found::text(""),
        other => Found::text(other.to_string()),
    }
}

fn names(map: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = map
        .iter()
        .filter(|(name, _)| *name != "_name")
        .map(|(name, value)| match value {
            Value::Object(inner) => match inner.get("_name").and_then(Value::as_str) {
                Some(own) => own.to_owned(),
                None => format!("{name}/"),
            },
            _ => name.clone(),
        })
        .collect();
    names.sort();
    names
}
