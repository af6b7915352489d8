//! What all lists and members of this API have in common: links, filters, pages.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use web::{Query, Reply, Request};

use crate::words;

/// A member with its link: `{"project": {..., "links": {"self": ...}}}`.
pub(crate) fn member(request: &Request, collection: &str, name: &str, mut value: Value) -> Value {
    link(request, collection, &mut value);
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// Adds the link to itself.
pub(crate) fn link(request: &Request, collection: &str, value: &mut Value) {
    let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
    let href = request.link(&format!("/{collection}/{id}"));
    value["links"] = json!({"self": href});
}

/// A list of members with links, filtered and cut to a page as the query says.
///
/// `filters`: what may be asked for exactly or by comparison (`name__contains`).
pub(crate) fn list(
    request: &Request,
    collection: &str,
    items: impl IntoIterator<Item = Value>,
    filters: &[&str],
) -> Result<Reply> {
    let wanted = Filters::of(&request.query, filters);
    let items = items.into_iter().filter(|item| wanted.fit(item));
    let (mut items, next) = page(request, items.collect())?;
    for item in &mut items {
        link(request, collection, item);
    }
    Ok(Reply::ok(wrap(request, collection, items, next)))
}

/// A list around members that have their links.
pub(crate) fn wrap(
    request: &Request,
    collection: &str,
    items: Vec<Value>,
    next: Option<String>,
) -> Value {
    let name = collection.rsplit('/').next().unwrap_or(collection);
    let mut body = Map::new();
    body.insert(name.to_owned(), Value::Array(items));
    body.insert("links".to_owned(), json!({"next": next, "self": here(request), "previous": null}));
    Value::Object(body)
}

/// The whole URL of the request.
pub(crate) fn here(request: &Request) -> String {
    let path = request.root_link(&request.path);
    if request.query.is_empty() {
        return path;
    }
    // "%" names nothing: all stays as it is.
    format!("{path}?{}", request.query.with("%", None))
}

/// The page that `limit` and `marker` ask for, of items sorted by id, and the next page's URL.
fn page(request: &Request, mut items: Vec<Value>) -> Result<(Vec<Value>, Option<String>)> {
    let id = |item: &Value| item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(marker) = request.query.get("marker") {
        let at = items.iter().position(|item| id(item) == marker);
        let at =
            at.ok_or_else(|| Error::not_found(format!("Marker {marker} could not be found.")))?;
        items.drain(..=at);
    }
    let limit = match request.query.get("limit") {
        None => return Ok((items, None)),
        Some(text) => text.parse::<u32>().ok().filter(|limit| *limit > 0),
    };
    let limit = limit.ok_or_else(|| words::expecting("a positive integer", "limit"))? as usize;
    if items.len() <= limit {
        return Ok((items, None));
    }
    items.truncate(limit);
    let last = items.last().map(id).unwrap_or_default();
    let query = request.query.with("marker", Some(&last));
    Ok((items, Some(format!("{}?{query}", request.root_link(&request.path)))))
}

/// Filters of a list.
struct Filters(Vec<(String, Compare, String)>);

#[derive(Clone, Copy)]
enum Compare {
    Equal,
    Contains,
    Starts,
    Ends,
    FoldedEqual,
    FoldedContains,
    FoldedStarts,
    FoldedEnds,
}

impl Filters {
    fn of(query: &Query, known: &[&str]) -> Filters {
        let mut filters = Vec::new();
        for (name, value) in query.pairs() {
            let (name, compare) = match name.split_once("__") {
                None => (name, Compare::Equal),
                Some((name, "contains")) => (name, Compare::Contains),
                Some((name, "startswith")) => (name, Compare::Starts),
                Some((name, "endswith")) => (name, Compare::Ends),
                Some((name, "iexact")) => (name, Compare::FoldedEqual),
                Some((name, "icontains")) => (name, Compare::FoldedContains),
                Some((name, "istartswith")) => (name, Compare::FoldedStarts),
                Some((name, "iendswith")) => (name, Compare::FoldedEnds),
                // As in Keystone: what is not understood filters nothing.
                Some(_) => continue,
            };
            if known.contains(&name) {
                filters.push((name.to_owned(), compare, value.to_owned()));
            }
        }
        Filters(filters)
    }

    fn fit(&self, item: &Value) -> bool {
        self.0.iter().all(|(name, compare, wanted)| match item.get(name) {
            Some(Value::Bool(has)) => *has == is_true(wanted),
            Some(Value::String(has)) => compare.fits(has, wanted),
            _ => false,
        })
    }
}

impl Compare {
    fn fits(self, has: &str, wanted: &str) -> bool {
        match self {
            Compare::Equal => has == wanted,
            Compare::Contains => has.contains(wanted),
            Compare::Starts => has.starts_with(wanted),
            Compare::Ends => has.ends_with(wanted),
            Compare::FoldedEqual => has.to_lowercase() == wanted.to_lowercase(),
            Compare::FoldedContains => has.to_lowercase().contains(&wanted.to_lowercase()),
            Compare::FoldedStarts => has.to_lowercase().starts_with(&wanted.to_lowercase()),
            Compare::FoldedEnds => has.to_lowercase().ends_with(&wanted.to_lowercase()),
        }
    }
}

/// A yes-or-no of a query: anything but these, also nothing, is yes.
pub(crate) fn is_true(text: &str) -> bool {
    !["0", "false", "f", "no", "n", "off"].iter().any(|no| no.eq_ignore_ascii_case(text.trim()))
}

/// A yes-or-no parameter: absent is no.
pub(crate) fn flag(query: &Query, name: &str) -> bool {
    query.get(name).is_some_and(is_true)
}

/// The part of a checked body below its one name.
pub(crate) fn inner(mut body: Value, name: &str) -> Map<String, Value> {
    match body.get_mut(name).map(Value::take) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

/// Takes a text out of a body; null and absent are none.
pub(crate) fn take_text(body: &mut Map<String, Value>, name: &str) -> Option<String> {
    match body.shift_remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes a text that may be null out of a body: none when absent.
pub(crate) fn take_nullable(body: &mut Map<String, Value>, name: &str) -> Option<Option<String>> {
    match body.shift_remove(name)? {
        Value::String(text) => Some(Some(text)),
        _ => Some(None),
    }
}

/// Takes a boolean out of a body.
pub(crate) fn take_bool(body: &mut Map<String, Value>, name: &str) -> Option<bool> {
    body.shift_remove(name)?.as_bool()
}

/// Takes an object out of a body.
pub(crate) fn take_object(body: &mut Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match body.shift_remove(name)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A body may name the id only if it is the one in the path.
pub(crate) fn same_id(body: &mut Map<String, Value>, id: &str) -> Result<()> {
    match body.shift_remove("id") {
        None => Ok(()),
        Some(Value::String(given)) if given == id => Ok(()),
        Some(_) => Err(Error::bad_request("Cannot change ID")),
    }
}

/// Merges what a client adds to a resource; null takes an extra away, as Keystone shows none then.
pub(crate) fn merge_extra(extra: &mut Map<String, Value>, body: Map<String, Value>) {
    for (name, value) in body {
        extra.insert(name, value);
    }
}

/// A string that is not empty, of printable content: Keystone's names.
pub(crate) const ID_PATTERN: &str = "^[a-zA-Z0-9-]+$";
/// At least one character that is no white space.
pub(crate) const NAME_PATTERN: &str = r"[\S]+";
