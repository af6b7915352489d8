//! Pages of lists, as Nova has them: `limit` and `marker`, and a link to the next page when one is full.

use base::{Error, Result};
use serde_json::{Value, json};
use web::Request;

/// What a request asks of a list.
pub(crate) struct Page {
    /// At most so many; never more than the configured most.
    pub(crate) limit: usize,
    /// After this one.
    pub(crate) marker: Option<String>,
}

impl Page {
    /// Reads `limit` and `marker`.
    pub(crate) fn of(call: &Request, most: usize) -> Result<Page> {
        let limit = match call.query.get("limit") {
            None => most,
            Some(text) => whole(text, "limit")?.min(most),
        };
        Ok(Page { limit, marker: call.query.get("marker").map(str::to_owned) })
    }

    /// Takes the page out of a sorted list.
    pub(crate) fn cut<T>(&self, items: Vec<T>, id: impl Fn(&T) -> &str) -> Result<Vec<T>> {
        let start = match &self.marker {
            None => 0,
            Some(marker) => match items.iter().position(|item| id(item) == marker) {
                Some(at) => at + 1,
                None => return Err(no_marker(marker)),
            },
        };
        Ok(items.into_iter().skip(start).take(self.limit).collect())
    }
}

/// 400 for a marker that is not in the list.
pub(crate) fn no_marker(marker: &str) -> Error {
    Error::bad_request(format!("marker [{marker}] not found"))
}

fn whole(text: &str, name: &str) -> Result<usize> {
    match text.trim().parse::<i128>() {
        Ok(number) if number < 0 => {
            Err(Error::bad_request(format!("Invalid input received: {name} must be >= 0")))
        }
        Ok(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        Err(_) => {
            Err(Error::bad_request(format!("Invalid input received: {name} must be an integer")))
        }
    }
}

/// The link to the next page: there is one when this page is full.
pub(crate) fn next(
    call: &Request,
    page: &Page,
    collection: &str,
    count: usize,
    last: Option<&str>,
) -> Option<Value> {
    let last = last?;
    if page.limit == 0 || count < page.limit {
        return None;
    }
    let query = call.query.with("marker", Some(last));
    let href = format!("{}?{query}", call.link(&format!("/{collection}")));
    Some(json!([{"rel": "next", "href": href}]))
}
