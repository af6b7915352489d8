//! Changes to an image as a list of operations, in the two forms that Glance takes.

use base::{Error, Result, Timestamp};
use serde_json::{Value, json};

use super::{
    ImageRecord, Status, Visibility,
    access::Asker,
    wire::{check, check_amounts, check_name, is_base, set},
};

pub(super) const OLD: &str = "application/openstack-images-v2.0-json-patch";
pub(super) const NEW: &str = "application/openstack-images-v2.1-json-patch";

const LOCATIONS: &str = "locations";

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    verb: Verb,
    name: String,
    value: Value,
    /// An `add` of what is there is refused.
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Replace,
}

const VERBS: [(&str, Verb); 3] =
    [("add", Verb::Add), ("remove", Verb::Remove), ("replace", Verb::Replace)];

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::bad_request(why))
}

/// Reads the operations.
pub(super) fn parse(body: &Value, media: &str) -> Result<Vec<Change>> {
    let Value::Array(operations) = body else {
        return bad("Request body must be a JSON array of operation objects.");
    };
    operations.iter().map(|operation| one(operation, media == OLD)).collect()
}

fn one(operation: &Value, old: bool) -> Result<Change> {
    let Value::Object(operation) = operation else {
        return bad("Operations must be JSON objects.");
    };
    let (verb, path) = if old {
        let mut named = VERBS.iter().filter(|(name, _)| operation.contains_key(*name));
        match (named.next(), named.next()) {
            (Some((name, verb)), None) => (*verb, operation.get(*name)),
            (None, _) => {
                return bad(
                    "Operation objects must contain exactly one member named \"add\", \"remove\", or \
                     \"replace\".",
                );
            }
            _ => {
                return bad(
                    "Operation objects must contain only one member named \"add\", \"remove\", or \
                     \"replace\".",
                );
            }
        }
    } else {
        let known = "It must be one of the following: add, remove, replace.";
        let Some(name) = operation.get("op") else {
            return bad(format!("Unable to find `op` in JSON Schema change. {known}"));
        };
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let Some((_, verb)) = VERBS.iter().find(|(known, _)| *known == name) else {
            return bad(format!("Invalid operation: `{name}`. {known}"));
        };
        let Some(path) = operation.get("path") else {
            return bad("Unable to find 'path' in JSON Schema change");
        };
        (*verb, Some(path))
    };
    let Some(path) = path.and_then(Value::as_str) else {
        return bad("A JSON pointer must be a text.");
    };
    let path = pointer(path)?;
    let depth = match (path.first().map(String::as_str), verb) {
        (Some(LOCATIONS), Verb::Add | Verb::Remove) => 2,
        _ => 1,
    };
    let (Some(name), true) = (path.first(), path.len() == depth) else {
        return bad(format!("Invalid JSON pointer for this resource: '/{}'", path.join("/")));
    };
    let value = match (verb, operation.get("value")) {
        (Verb::Remove, _) => Value::Null,
        (_, Some(value)) => value.clone(),
        (_, None) => {
            let name = VERBS.iter().find(|(_, v)| *v == verb).map_or("", |(name, _)| name);
            return bad(format!("Operation \"{name}\" requires a member named \"value\"."));
        }
    };
    check_name(name)?;
    if verb != Verb::Remove {
        let whole = if depth == 1 { value.clone() } else { json!([value]) };
        check(&json!({ name.as_str(): whole }))?;
    }
    Ok(Change { verb, name: name.clone(), value, strict: old })
}

/// The parts of a JSON pointer.
fn pointer(text: &str) -> Result<Vec<String>> {
    let Some(inner) = text.strip_prefix('/') else {
        return bad(format!("Pointer `{text}` does not start with \"/\"."));
    };
    let parts: Vec<&str> = inner.split('/').collect();
    let last = parts.len().saturating_sub(1);
    if matches!(inner.trim(), "" | "/") {
        return bad(format!("Pointer `{text}` does not contains valid token."));
    }
    if parts.iter().take(last).skip(1).any(|part| part.trim().is_empty()) {
        return bad(format!("Pointer `{text}` contains adjacent \"/\"."));
    }
    if text.len() > 1 && text.ends_with('/') {
        return bad(format!("Pointer `{text}` end with \"/\"."));
    }
    let mut escapes = inner.split('~').skip(1);
    if escapes.any(|after| !after.starts_with(['0', '1'])) {
        return bad(format!(
            "Pointer `{text}` contains \"~\" not part of a recognized escape sequence."
        ));
    }
    let decoded = inner.trim_start_matches('/').split('/');
    Ok(decoded.map(|part| part.replace("~1", "/").replace("~0", "~").trim().to_owned()).collect())
}

/// Carries the operations out on an image that is seen.
pub(super) fn apply(
    image: &mut ImageRecord,
    changes: &[Change],
    asker: &Asker,
    now: Timestamp,
) -> Result<()> {
    let properties = image.properties.len();
    for change in changes {
        change.apply(image, asker)?;
    }
    // As Glance: what has too many already may still be changed otherwise.
    if image.properties.len() > properties || changes.iter().any(|change| change.name == "tags") {
        check_amounts(image)?;
    }
    if !changes.is_empty() {
        image.updated_at = now;
    }
    Ok(())
}

impl Change {
    fn apply(&self, image: &mut ImageRecord, asker: &Asker) -> Result<()> {
        let name = self.name.as_str();
        if name == LOCATIONS {
            return Err(Error::forbidden(match self.verb {
                Verb::Replace if self.value.as_array().is_some_and(Vec::is_empty) => {
                    "Cannot set locations to empty list."
                }
                Verb::Replace => "It's not allowed to update locations if locations are invisible.",
                Verb::Add => "It's not allowed to add locations if locations are invisible.",
                Verb::Remove => "It's not allowed to remove locations if locations are invisible.",
            }));
        }
        if self.verb != Verb::Remove && name == "owner" && !asker.admin {
            return Err(Error::forbidden("Owner can't be updated by non admin."));
        }
        if name == "visibility"
            && let Some(visibility) = self.value.as_str().and_then(Visibility::named)
        {
            asker.may_show(image, visibility)?;
        }
        asker.may("modify_image", image)?;
        let there = is_base(name) || image.properties.contains_key(name);
        let missing = || Error::conflict(format!("Property {name} does not exist."));
        match self.verb {
            Verb::Add if there && self.strict => {
                Err(Error::conflict(format!("Property {name} already present.")))
            }
            Verb::Replace if !there => Err(missing()),
            Verb::Add | Verb::Replace => {
                let format = matches!(name, "container_format" | "disk_format");
                if format && !matches!(image.status, Status::Queued | Status::Importing) {
                    return Err(Error::forbidden(format!(
                        "Attribute {name} can be only replaced for a queued image."
                    )));
                }
                set(image, name, &self.value)
            }
            Verb::Remove if is_base(name) => {
                Err(Error::forbidden(format!("Property {name} may not be removed.")))
            }
            Verb::Remove => image.properties.remove(name).map(drop).ok_or_else(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers() {
        assert_eq!(pointer("/a").unwrap(), ["a"]);
        assert_eq!(pointer("/a~1b~0c").unwrap(), ["a/b~c"]);
        assert_eq!(pointer("/locations/-").unwrap(), ["locations", "-"]);
        for wrong in ["", "/", "a", "/a//b", "/a/", "/~2", "/a~"] {
            assert!(pointer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn operations_in_both_forms() {
        let change = |verb, strict| Change {
            verb,
            name: "x".to_owned(),
            value: if verb == Verb::Remove { Value::Null } else { json!("1") },
            strict,
        };
        let old = json!([{"add": "/x", "value": "1"}, {"remove": "/x"}]);
        let expected = [change(Verb::Add, true), change(Verb::Remove, true)];
        assert_eq!(parse(&old, OLD).unwrap(), expected);
        let new = json!([{"op": "replace", "path": "/x", "value": "1"}]);
        assert_eq!(parse(&new, NEW).unwrap(), [change(Verb::Replace, false)]);
        for (body, kind) in [
            (json!({}), base::Kind::BadRequest),
            (json!(["x"]), base::Kind::BadRequest),
            (json!([{"op": "move", "path": "/x"}]), base::Kind::BadRequest),
            (json!([{"op": "add", "path": "/x"}]), base::Kind::BadRequest),
            (json!([{"op": "add", "path": "/x", "value": 5}]), base::Kind::BadRequest),
            (json!([{"op": "add", "path": "/tags/-", "value": "t"}]), base::Kind::BadRequest),
            (json!([{"op": "add", "path": "/status", "value": "active"}]), base::Kind::Forbidden),
            (json!([{"op": "add", "path": "/os_glance_x", "value": "1"}]), base::Kind::Forbidden),
            (
                json!([{"op": "add", "path": "/disk_format", "value": "zip"}]),
                base::Kind::BadRequest,
            ),
        ] {
            assert_eq!(parse(&body, NEW).unwrap_err().kind(), kind, "{body}");
        }
    }
}
