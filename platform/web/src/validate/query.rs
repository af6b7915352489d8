//! Queries against a schema: each property is a parameter, whose schema each of its values must fit.

use base::{Error, Result};
use serde_json::Value;

use super::{Failure, Schema, Style, check, python};
use crate::{Microversion, Query};

/// Checks a query against an object's schema. A parameter that is [`super::Prop::single`] may stand there once.
pub fn check_query(
    schema: &Schema,
    query: &Query,
    version: Microversion,
    style: Style,
) -> Result<()> {
    for prop in schema.props.iter().filter(|prop| prop.holds(version)) {
        let mut count = 0;
        for value in query.all(prop.name) {
            count += 1;
            let value = Value::String(value.to_owned());
            check::check(&prop.schema, &value, version)
                .map_err(|failure| refuse(prop.name, *failure, style))?;
        }
        if prop.single && count > 1 {
            let value: Vec<&str> = query.all(prop.name).collect();
            let value = Value::from(value);
            let message = format!("{} is too long", python::repr(&value));
            let failure = Failure { path: Vec::new(), message, instead: None, value };
            return Err(refuse(prop.name, failure, style));
        }
        if prop.required && count == 0 {
            return Err(Error::bad_request(format!("'{}' is a required property", prop.name)));
        }
    }
    // Unknown names: as for an object, with the values out of sight.
    let names = query.pairs().map(|(name, _)| (name.to_owned(), Value::Null));
    let unknown = names.filter(|(name, _)| {
        !schema.props.iter().any(|prop| prop.name == name && prop.holds(version))
    });
    let unknown = Value::Object(unknown.collect());
    let bare = Schema { props: &[], ..*schema };
    check::check(&bare, &unknown, version)
        .map_err(|failure| Error::bad_request(failure.instead.unwrap_or(failure.message)))
}

fn refuse(name: &str, failure: Failure, style: Style) -> Error {
    if let Some(whole) = failure.instead {
        return Error::bad_request(whole);
    }
    let Failure { message, value, .. } = failure;
    Error::bad_request(match style {
        Style::Nova => format!(
            "Invalid input for query parameters {name}. Value: {}. {message}",
            python::text(&value)
        ),
        Style::Keystone => format!("Invalid input for field '{name}': {message}"),
        Style::Glance => message,
        Style::Placement => format!("Invalid query string parameters: {message}"),
    })
}
