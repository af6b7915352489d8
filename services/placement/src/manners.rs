//! What all routes of Placement share: media types, dates, ids. Knows no resource.

use base::{Error, Kind, Result, Timestamp};
use serde_json::Value;
use web::{Call, Reply, Request, Schema, v, validate};

use crate::Placement;

pub(crate) type PlacementCall = Call<Placement>;

/// Placement's codes of errors that clients act on.
pub(crate) mod code {
    pub(crate) const CONCURRENT_UPDATE: &str = "placement.concurrent_update";
    pub(crate) const DUPLICATE_NAME: &str = "placement.duplicate_name";
    pub(crate) const INVENTORY_INUSE: &str = "placement.inventory.inuse";
    pub(crate) const PROVIDER_IN_USE: &str = "placement.resource_provider.inuse";
    pub(crate) const PROVIDER_NOT_FOUND: &str = "placement.resource_provider.not_found";
    pub(crate) const CANNOT_DELETE_PARENT: &str =
        "placement.resource_provider.cannot_delete_parent";
    pub(crate) const DUPLICATE_KEY: &str = "placement.query.duplicate_key";
    pub(crate) const BAD_VALUE: &str = "placement.query.bad_value";
    pub(crate) const MISSING_VALUE: &str = "placement.query.missing_value";
}

/// Names of projects and users that requests before 1.8 did not give.
pub(crate) const UNKNOWN_OWNER: &str = "00000000-0000-0000-0000-000000000000";

/// What a resource class or a trait made by a client is called.
pub(crate) const CUSTOM: &str = "^CUSTOM_[A-Z0-9_]+$";
/// What any resource class is called.
pub(crate) const CLASS: &str = "^[A-Z0-9_]+$";
/// A UUID as a key of an object.
pub(crate) const UUID: &str = "^[0-9a-fA-F-]{36}$";

/// Whether a text is `CUSTOM_` and more, of at most 255 letters.
pub(crate) fn is_custom(name: &str) -> bool {
    let rest = name.strip_prefix("CUSTOM_").unwrap_or_default();
    let fine = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    !rest.is_empty() && name.len() <= 255 && rest.bytes().all(fine)
}

/// A UUID in its usual form, whatever form it came in.
pub(crate) fn dashed(text: &str) -> Option<String> {
    uuid::Uuid::parse_str(text).ok().map(|uuid| uuid.to_string())
}

/// 406 unless the client takes JSON.
pub(crate) fn gives_json(request: &Request) -> Result<()> {
    let Some(accept) = request.header("accept") else { return Ok(()) };
    let takes = accept.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let media = words.next().unwrap_or_default();
        let refused = words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        matches!(media, "" | "*/*" | "application/*" | "application/json") && !refused
    });
    match takes {
        true => Ok(()),
        false => Err(Error::new(Kind::NotAcceptable, "Only application/json is provided")),
    }
}

/// 415 unless the body is said to be JSON.
pub(crate) fn has_json(request: &Request) -> Result<()> {
    let media = request.header("content-type").unwrap_or_default();
    if media.is_empty() {
        return Err(match request.bytes().is_empty() {
            false => Error::bad_request("content-type header required when content-length > 0"),
            true => Error::new(
                Kind::UnsupportedMedia,
                "The media type None is not supported, use application/json",
            ),
        });
    }
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Error::new(
            Kind::UnsupportedMedia,
            format!("The media type {essence} is not supported, use application/json"),
        ));
    }
    Ok(())
}

/// The body as JSON that fits the schema at this microversion.
pub(crate) fn input(request: &Request, schema: &Schema) -> Result<Value> {
    has_json(request)?;
    let value = request.any_value()?;
    validate::check(schema, &value, request.version, validate::Style::Placement)?;
    Ok(value)
}

/// 400 unless the query fits the schema at this microversion.
pub(crate) fn check_query(request: &Request, schema: &Schema) -> Result<()> {
    const BEGIN: &str = "Invalid query string parameters:";
    let style = validate::Style::Placement;
    validate::check_query(schema, &request.query, request.version, style).map_err(|error| {
        match error.message().starts_with(BEGIN) {
            true => error,
            false => Error::bad_request(format!("{BEGIN} {}", error.message())),
        }
    })
}

/// Adds when the thing last changed, from 1.15 on.
pub(crate) fn dated(reply: Reply, request: &Request, modified: Option<Timestamp>) -> Reply {
    if request.version < v(1, 15) {
        return reply;
    }
    let modified = modified.unwrap_or_else(|| request.world.wall());
    reply.header("last-modified", http_date(modified)).header("cache-control", "no-cache")
}

fn http_date(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.seconds()) {
        Ok(time) => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        Err(_) => String::new(),
    }
}

/// A path of this service, with its prefix, without a host: Placement's own form of links.
pub(crate) fn path(request: &Request, below: &str) -> String {
    format!("{}{below}", request.service.prefix)
}

/// A whole number of a checked body.
pub(crate) fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// A text of a checked body.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let time = Timestamp::from_micros(784_111_777_000_000);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn names() {
        assert!(is_custom("CUSTOM_A_1"));
        for bad in ["CUSTOM_", "CUSTOM_a", "VCPU", "", "XCUSTOM_A", "CUSTOM_Ä"] {
            assert!(!is_custom(bad), "{bad}");
        }
        assert!(!is_custom(&format!("CUSTOM_{}", "A".repeat(249))));
        let dashed_form = "7d2590ae-fb85-4080-9306-058b4c915e3f";
        assert_eq!(dashed("7d2590aefb8540809306058b4c915e3f").as_deref(), Some(dashed_form));
        assert_eq!(dashed("7D2590AE-FB85-4080-9306-058B4C915E3F").as_deref(), Some(dashed_form));
        assert_eq!(dashed("x"), None);
    }
}
