//! The links of things: `self` within this version of the API, `bookmark` outside of any version.

use serde_json::{Value, json};
use web::Request;

/// Where the service stands, without its version.
pub(crate) const ROOT: &str = "/compute";

/// `self` and `bookmark`, such as of `servers` and an id.
pub(crate) fn links(call: &Request, collection: &str, id: &str) -> Value {
    json!([
        {"rel": "self", "href": call.link(&format!("/{collection}/{id}"))},
        {"rel": "bookmark", "href": bookmark(call, collection, id)},
    ])
}

/// The address outside of any version.
pub(crate) fn bookmark(call: &Request, collection: &str, id: &str) -> String {
    call.root_link(&format!("{ROOT}/{collection}/{id}"))
}
