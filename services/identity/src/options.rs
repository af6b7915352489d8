//! Resource options: a small map of known names beside a resource. Null takes one away.

use serde_json::{Map, Value};

/// Whether a yes-or-no option is set.
pub(crate) fn is_set(options: &Map<String, Value>, name: &str) -> bool {
    options.get(name) == Some(&Value::Bool(true))
}

/// Changes options by a checked request.
pub(crate) fn apply(options: &mut Map<String, Value>, change: &Map<String, Value>) {
    for (name, value) in change {
        if value.is_null() {
            options.shift_remove(name);
        } else {
            options.insert(name.clone(), value.clone());
        }
    }
}

/// Whether a change takes `immutable` away, without which an immutable thing takes no change.
pub(crate) fn lifts_immutable(change: Option<&Map<String, Value>>) -> bool {
    let immutable = change.and_then(|options| options.get("immutable"));
    matches!(immutable, Some(Value::Bool(false) | Value::Null))
}
