//! The query string: a list of decoded pairs in their order, since names may repeat.

use base::{Error, Result};
use percent_encoding::percent_decode;

/// The decoded query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=1&b=x%20y&c`. Text that is not UTF-8 is a 400.
    pub fn parse(raw: &str) -> Result<Query> {
        if raw.is_empty() {
            return Ok(Query::default());
        }
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Query(pairs))
    }

    /// The value of a name; the last one when it repeats, as in Nova.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name, in their order.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the name is there, even without a value: `?unassigned`.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All pairs, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Text after `?` again.
    pub fn render(&self) -> String {
        render(self.pairs())
    }

    /// Text after `?` again, with one name's values replaced (or removed, by none): for links to other pages.
    pub fn with(&self, name: &str, value: Option<&str>) -> String {
        let kept = self.0.iter().filter(|(n, _)| n != name);
        render(kept.map(|(n, v)| (n.as_str(), v.as_str())).chain(value.map(|v| (name, v))))
    }
}

fn render<'q>(pairs: impl Iterator<Item = (&'q str, &'q str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.extend(encode(name));
        out.push('=');
        out.extend(encode(value));
    }
    out
}

/// Percent-encodes one name or value of a query.
pub fn encode(text: &str) -> impl Iterator<Item = &str> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT)
}

/// Percent-decodes one name or value of a query, `+` being a space.
fn decode(text: &str) -> Result<String> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.to_owned());
    }
    let spaced = text.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Error::bad_request("Query string is not UTF-8 encoded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let query = Query::parse("a=1&b=x%20y+z&a=2&&c&=d").expect("query");
        assert_eq!(query.get("a"), Some("2"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!(query.get("c"), Some(""));
        assert!(query.has("c") && !query.has("e"));
        assert_eq!(Query::parse("a=%ff").map_err(|e| e.kind()), Err(base::Kind::BadRequest));
        assert_eq!(Query::parse("a=%zz").expect("kept").get("a"), Some("%zz"));
    }

    #[test]
    fn renders_for_links() {
        let query = Query::parse("limit=2&marker=old&name=a%26b").expect("query");
        assert_eq!(query.with("marker", Some("x/y")), "limit=2&name=a%26b&marker=x%2Fy");
        assert_eq!(query.with("marker", None), "limit=2&name=a%26b");
    }
}
