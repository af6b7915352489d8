//! A valid body of `POST /servers` to what it asks for. Refuses what the body alone shows to be wrong.

use base::{Error, Map, Result, Set};
use serde_json::Value;
use web::{Microversion, v, validate};

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// Asked for by itself, not made from the name.
    pub(super) hostname: Option<String>,
    pub(super) image: Option<String>,
    pub(super) flavor: String,
    pub(super) admin_pass: Option<String>,
    pub(super) metadata: Map<String, String>,
    pub(super) tags: Set<String>,
    pub(super) networks: Networks,
    pub(super) auto_disk_config: Option<bool>,
    pub(super) access_ip_v4: Option<String>,
    pub(super) access_ip_v6: Option<String>,
    pub(super) personality: Vec<Value>,
    pub(super) zone: Zone,
    /// `host` and `hypervisor_hostname` of 2.74.
    pub(super) host: Option<String>,
    pub(super) hypervisor_hostname: Option<String>,
    pub(super) mapped: bool,
    pub(super) config_drive: bool,
    pub(super) key_name: Option<String>,
    pub(super) min_count: u32,
    pub(super) max_count: u32,
    pub(super) return_reservation_id: bool,
    pub(super) security_groups: Value,
    pub(super) user_data: Option<String>,
    pub(super) certificates: bool,
    pub(super) hints: serde_json::Map<String, Value>,
}

/// What networks it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Networks {
    /// None, or none were asked for.
    None,
    /// One of the cloud's choice.
    Auto,
    /// This network.
    Network(String),
    /// This port.
    Port(String),
}

/// `availability_zone`, which may force a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: Option<String>,
    pub(super) host: Option<String>,
    pub(super) node: Option<String>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn count(value: &Value) -> Option<u32> {
    validate::integer(value).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

impl Asked {
    pub(super) fn parse(body: &Value, version: Microversion) -> Result<Asked> {
        let server = &body["server"];
        let name = text(&server["name"]).unwrap_or_default().trim().to_owned();
        let min_count = count(&server["min_count"]).unwrap_or(1);
        let max_count = count(&server["max_count"]).unwrap_or(min_count);
        if min_count > max_count {
            return Err(Error::bad_request("min_count must be <= max_count"));
        }
        let hostname = text(&server["hostname"]);
        let hints = ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"]
            .iter()
            .find_map(|key| body[*key].as_object().cloned())
            .unwrap_or_default();
        // Before 2.19 the name was the description.
        let description = match version >= v(2, 19) {
            true => text(&server["description"]),
            false => Some(name.clone()),
        };
        let security_groups = match &server["security_groups"] {
            Value::Null => serde_json::json!([{"name": "default"}]),
            given => given.clone(),
        };
        let strings = |value: &Value| -> Set<String> {
            value.as_array().into_iter().flatten().filter_map(text).collect()
        };
        Ok(Asked {
            description,
            hostname,
            image: text(&server["imageRef"]).filter(|id| !id.is_empty()),
            flavor: flavor_id(&server["flavorRef"]),
            admin_pass: text(&server["adminPass"]),
            metadata: server["metadata"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
                .collect(),
            tags: strings(&server["tags"]),
            networks: networks(&server["networks"])?,
            auto_disk_config: server["OS-DCF:diskConfig"].as_str().map(|word| word == "AUTO"),
            access_ip_v4: server["accessIPv4"].as_str().map(super::super::api::canonical_address),
            access_ip_v6: server["accessIPv6"].as_str().map(super::super::api::canonical_address),
            personality: server["personality"].as_array().cloned().unwrap_or_default(),
            zone: zone(server["availability_zone"].as_str())?,
            host: text(&server["host"]),
            hypervisor_hostname: text(&server["hypervisor_hostname"]),
            mapped: mappings(server)?,
            config_drive: validate::boolean(&server["config_drive"]).unwrap_or(false),
            key_name: text(&server["key_name"]),
            min_count,
            max_count,
            return_reservation_id: validate::boolean(&server["return_reservation_id"])
                .unwrap_or(false),
            security_groups,
            user_data: text(&server["user_data"]).filter(|data| !data.is_empty()),
            certificates: server["trusted_image_certificates"].is_array(),
            hints,
            name,
        })
    }
}

/// An id, also at the end of an address.
fn flavor_id(reference: &Value) -> String {
    match reference {
        Value::String(text) => {
            let path = text.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
        other => other.to_string(),
    }
}

fn zone(text: Option<&str>) -> Result<Zone> {
    let Some(text) = text else { return Ok(Zone::default()) };
    let some = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    let parts: Vec<&str> = text.split(':').collect();
    Ok(match parts.as_slice() {
        [name] => Zone { name: some(name), ..Zone::default() },
        [name, host] => Zone { name: some(name), host: some(host), node: None },
        [name, host, node] => Zone { name: some(name), host: some(host), node: some(node) },
        _ => {
            return Err(Error::bad_request(
                "Invalid input received: Unable to parse availability_zone",
            ));
        }
    })
}

fn networks(value: &Value) -> Result<Networks> {
    let list = match value {
        Value::String(word) if word == "auto" => return Ok(Networks::Auto),
        Value::Array(list) => list,
        _ => return Ok(Networks::None),
    };
    let mut ports = Set::new();
    for network in list {
        if let Some(port) = network["port"].as_str() {
            if !ports.insert(port) {
                return Err(Error::bad_request(format!(
                    "Port ID '{port}' was specified twice: you cannot attach a port multiple times."
                )));
            }
            if let Some(address) = network["fixed_ip"].as_str() {
                return Err(Error::bad_request(format!(
                    "Specified Fixed IP '{address}' cannot be used with port '{port}': the two cannot \
                     be specified together."
                )));
            }
        } else {
            let Some(id) = network["uuid"].as_str() else {
                return Err(Error::bad_request("Bad network format: missing 'uuid'"));
            };
            if !validate::Format::Uuid.fits(id) {
                return Err(Error::bad_request(format!(
                    "Bad networks format: network uuid is not in proper format ({id})"
                )));
            }
        }
    }
    Ok(match list.first() {
        None => Networks::None,
        Some(first) => match first["port"].as_str() {
            Some(port) => Networks::Port(port.to_owned()),
            None => Networks::Network(first["uuid"].as_str().unwrap_or_default().to_owned()),
        },
    })
}

fn invalid_mapping(details: &str) -> Error {
    Error::bad_request(format!("Block Device Mapping is Invalid: {details}"))
}

/// There are no volumes yet: the only mapping is the image to the local root disk.
fn mappings(server: &Value) -> Result<bool> {
    let list = |name: &str| server[name].as_array().cloned().unwrap_or_default();
    let (old, new) = (list("block_device_mapping"), list("block_device_mapping_v2"));
    if !old.is_empty() && !new.is_empty() {
        return Err(Error::bad_request(
            "Using different block_device_mapping syntaxes is not allowed in the same request.",
        ));
    }
    let no_volumes = || {
        Error::bad_request(
            "Block Device Mapping is Invalid: there is no volume service in this cloud, boot from an \
             image to the local disk.",
        )
    };
    if !old.is_empty() {
        return Err(no_volumes());
    }
    let image = server["imageRef"].as_str().unwrap_or_default();
    for mapping in &new {
        let source = mapping["source_type"].as_str();
        let id = mapping["uuid"].as_str();
        let index = validate::integer(&mapping["boot_index"]).unwrap_or(-1);
        match (source, id) {
            (Some("blank"), Some(_)) => return Err(invalid_mapping("Invalid device UUID.")),
            (Some("blank"), None) => return Err(no_volumes()),
            (_, None) => return Err(invalid_mapping("Missing device UUID.")),
            (Some("image"), Some(id)) if mapping["destination_type"] == "local" => {
                if image.is_empty() || index != 0 {
                    return Err(invalid_mapping("Mapping image to local is not supported."));
                }
                if id != image {
                    return Err(invalid_mapping("the mapped image is not the one of imageRef."));
                }
                if mapping["volume_type"].is_string() {
                    return Err(invalid_mapping(
                        "Specifying a volume_type with destination_type=local is not supported.",
                    ));
                }
            }
            _ => return Err(no_volumes()),
        }
    }
    if new.len() > 1 {
        return Err(invalid_mapping(
            "Boot sequence for the instance and image/block device mapping combination is not valid.",
        ));
    }
    Ok(!new.is_empty())
}

/// A name as a host name, as Nova makes it; empty when nothing is left.
pub(super) fn sanitized(name: &str) -> String {
    let latin = name.chars().filter(|c| u32::from(*c) <= 0xFF).take(63);
    let dashed = latin.map(|c| if matches!(c, ' ' | '_' | '.') { '-' } else { c });
    let kept: String = dashed.filter(|c| c.is_alphanumeric() || *c == '-').collect();
    kept.to_lowercase().trim_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zones() {
        let parse = |text| zone(Some(text)).map_err(|e| e.message().to_owned());
        let of = |name: &str, host: &str, node: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Ok(Zone { name: some(name), host: some(host), node: some(node) })
        };
        assert_eq!(parse("nova"), of("nova", "", ""));
        assert_eq!(parse("nova:h"), of("nova", "h", ""));
        assert_eq!(parse("nova:h:n"), of("nova", "h", "n"));
        assert_eq!(parse("nova::n"), of("nova", "", "n"));
        assert_eq!(
            parse("a:b:c:d"),
            Err("Invalid input received: Unable to parse availability_zone".to_owned())
        );
    }

    #[test]
    fn host_names() {
        for (name, expected) in [
            ("Test Server", "test-server"),
            ("a_b.c", "a-b-c"),
            ("--x--", "x"),
            ("名前", ""),
            ("server@1!", "server1"),
        ] {
            assert_eq!(sanitized(name), expected);
        }
        assert_eq!(sanitized(&"x".repeat(100)).len(), 63);
    }

    #[test]
    fn mapped_images() {
        let id = "7c5b1b9e-7b0e-4f0e-8f0e-1b9e7c5b0e7b";
        let one = |mapping: Value, image: &str| {
            mappings(&json!({"imageRef": image, "block_device_mapping_v2": [mapping]}))
                .map_err(|e| e.message().to_owned())
        };
        let local = json!({"uuid": id, "source_type": "image", "destination_type": "local",
                           "boot_index": 0});
        assert_eq!(one(local.clone(), id), Ok(true));
        assert_eq!(
            one(local, ""),
            Err("Block Device Mapping is Invalid: Mapping image to local is not supported.".into())
        );
        let volume = json!({"uuid": id, "source_type": "volume", "destination_type": "volume"});
        assert!(one(volume, id).unwrap_err().contains("no volume service"));
        assert_eq!(mappings(&json!({})).ok(), Some(false));
    }

    #[test]
    fn flavors_by_address() {
        assert_eq!(flavor_id(&json!("http://x/flavors/42?x=1")), "42");
        assert_eq!(flavor_id(&json!(42)), "42");
    }
}
