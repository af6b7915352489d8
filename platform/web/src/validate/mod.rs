//! Checks JSON and queries against schemas that are data, with the words of the real services.
//!
//! A room writes a table; a property may have a `since` and an `until`, so that one table serves all
//! microversions. Outside its versions a property is unknown, as in Nova.
//!
//! ```
//! use web::validate::{self, Schema, Style, prop};
//! use web::v;
//!
//! const FLAVOR: Schema = Schema::object(&[
//!     prop("name", Schema::name(1, 255)).required(),
//!     prop("ram", Schema::number_or_text().min(1)).required(),
//!     prop("description", Schema::string().len(0, 65_535).nullable()).since("2.55"),
//! ]);
//! const CREATE: Schema = Schema::object(&[prop("flavor", FLAVOR).required()]);
//!
//! let body = serde_json::json!({"flavor": {"name": 5, "ram": "64"}});
//! let error = validate::check(&CREATE, &body, v(2, 96), Style::Nova).unwrap_err();
//! assert_eq!(
//!     error.message(),
//!     "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'"
//! );
//!
//! let body = serde_json::json!({"flavor": {"name": "x", "ram": 1, "description": null}});
//! assert!(validate::check(&CREATE, &body, v(2, 55), Style::Nova).is_ok());
//! let error = validate::check(&CREATE, &body, v(2, 54), Style::Nova).unwrap_err();
//! assert!(error.message().ends_with(
//!     "Additional properties are not allowed ('description' was unexpected)"
//! ));
//! ```

mod check;
mod format;
mod python;
mod query;
mod schema;

use base::{Error, Result};
use serde_json::Value;

use self::check::{Failure, Step};
pub use self::{
    format::Format,
    query::check_query,
    schema::{Additional, Literal, Prop, Schema, prop},
};
use crate::{Envelope, Microversion};

/// Whose words a wrong body is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// "Invalid input for field/attribute NAME. Value: X. X is not …"
    Nova,
    /// "Invalid input for field 'identity/password': X is not …"
    Keystone,
    /// "Provided object does not match schema …"
    Glance,
    /// "JSON does not validate: X is not …"
    Placement,
}

impl From<Envelope> for Style {
    fn from(envelope: Envelope) -> Style {
        match envelope {
            Envelope::Nova | Envelope::Plain => Style::Nova,
            Envelope::Keystone => Style::Keystone,
            Envelope::Glance => Style::Glance,
            Envelope::Placement => Style::Placement,
        }
    }
}

/// Checks a body. The first thing that is wrong, in the order of the schema, makes a 400.
pub fn check(schema: &Schema, value: &Value, version: Microversion, style: Style) -> Result<()> {
    check::check(schema, value, version)
        .map_err(|failure| Error::bad_request(body(schema, *failure, style)))
}

fn body(schema: &Schema, failure: Failure, style: Style) -> String {
    if let Some(whole) = failure.instead {
        return whole;
    }
    let Failure { path, message, value, .. } = failure;
    match style {
        Style::Nova => match path.last() {
            None => message,
            Some(last) => {
                let value = python::text(&value);
                format!("Invalid input for field/attribute {last}. Value: {value}. {message}")
            }
        },
        Style::Keystone if path.is_empty() => message,
        Style::Keystone => {
            let path: Vec<String> = path.iter().map(Step::to_string).collect();
            format!("Invalid input for field '{}': {message}", path.join("/"))
        }
        Style::Glance => {
            format!("Provided object does not match schema '{}': {message}", schema.title)
        }
        Style::Placement => format!("JSON does not validate: {message}"),
    }
}

/// A value as Python writes it: how messages quote.
pub fn repr(value: &Value) -> String {
    python::repr(value)
}

/// What a boolean or one of Nova's words for it means: `true`, `"yes"`, `"On"`, `"1"`, …
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => boolean_word(text),
        _ => None,
    }
}

/// What one of oslo's words for a boolean means.
pub fn boolean_word(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
    if is(&["1", "t", "true", "on", "y", "yes"]) {
        Some(true)
    } else if is(&["0", "f", "false", "off", "n", "no"]) {
        Some(false)
    } else {
        None
    }
}

/// What an integer, or a text that is one, means.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        // 2.0 is an integer to JSON Schema.
        #[expect(clippy::cast_possible_truncation, reason = "has no fraction and is in range")]
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
