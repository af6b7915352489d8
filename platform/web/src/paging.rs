//! Pages of lists: `limit`, `marker`, `sort`, and the links to the next page, as each service has them.
//!
//! A room filters and sorts its records, cuts the page out ([`Page::cut`]) and adds the links of its service:
//!
//! ```
//! use web::paging::{Page, Sort};
//! let query = web::Query::parse("limit=2&marker=b&sort_key=name&sort_dir=asc").unwrap();
//! let page = Page::nova(&query).unwrap();
//! let sort = Sort::nova(&query, &["name", "created_at"], ("created_at", "desc")).unwrap();
//! assert_eq!(sort.keys(), [("name", web::paging::Direction::Ascending)]);
//! let cut = page.cut(vec!["a", "b", "c", "d", "e"], |name| name).unwrap();
//! assert_eq!((cut.items, cut.more), (vec!["c", "d"], true));
//! ```

use std::cmp::Ordering;

use base::{Error, Result};
use serde_json::{Value, json};

use crate::{Query, Request};

/// Longest page, whatever is asked for.
pub const MAX: usize = 1000;
/// Glance's page when nothing is asked for.
pub const GLANCE_DEFAULT: usize = 25;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: usize,
    /// After this one.
    pub marker: Option<String>,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Nova,
    Keystone,
    Glance,
}

/// A page that was cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// There is more after it.
    pub more: bool,
}

impl Page {
    /// Nova's: at most 1000, by default so many.
    pub fn nova(query: &Query) -> Result<Page> {
        Page::of(query, Style::Nova, MAX)
    }

    /// Glance's: 25 unless asked for more, at most 1000.
    pub fn glance(query: &Query) -> Result<Page> {
        Page::of(query, Style::Glance, GLANCE_DEFAULT)
    }

    /// Keystone's: everything unless asked for less.
    pub fn keystone(query: &Query) -> Result<Page> {
        let page = Page::of(query, Style::Keystone, usize::MAX)?;
        // Nothing on a page would have no last one to go on from.
        let limit = if page.limit == 0 { usize::MAX } else { page.limit };
        Ok(Page { limit, ..page })
    }

    fn of(query: &Query, style: Style, default: usize) -> Result<Page> {
        let limit = match query.get("limit") {
            None => default,
            Some(text) => {
                let number = text
                    .trim()
                    .parse::<i128>()
                    .map_err(|_| Error::bad_request("limit param must be an integer"))?;
                if number < 0 {
                    return Err(Error::bad_request("limit param must be positive"));
                }
                usize::try_from(number).unwrap_or(MAX).min(MAX)
            }
        };
        Ok(Page { limit, marker: query.get("marker").map(str::to_owned), style })
    }

    /// The part of a sorted list that this page is. The marker is the last item of the page before; one that
    /// is not there is a 400 in the service's words.
    pub fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        id: impl Fn(&T) -> &str,
    ) -> Result<Cut<T>> {
        let mut items = items.into_iter();
        if let Some(marker) = &self.marker
            && !items.any(|item| id(&item) == marker)
        {
            return Err(Error::bad_request(match self.style {
                Style::Nova => format!("marker [{marker}] not found"),
                Style::Glance => format!("No image found with ID {marker}"),
                Style::Keystone => format!("Marker {marker} could not be found"),
            }));
        }
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        Ok(Cut { items: page, more: items.next().is_some() })
    }

    /// Nova's `servers_links`: there when the page is full, even if nothing comes after it. `path` is the
    /// collection's, `count` how many are on the page, `last` the last one's id.
    pub fn nova_links(
        &self,
        call: &Request,
        path: &str,
        count: usize,
        last: Option<&str>,
    ) -> Option<Value> {
        let last = last.filter(|_| count > 0 && count == self.limit)?;
        let href = format!("{}?{}", call.link(path), call.query.with("marker", Some(last)));
        Some(json!([{"rel": "next", "href": href}]))
    }

    /// Keystone's `links`; together with `"truncated": true` when there is more.
    pub fn keystone_links(&self, call: &Request, more: bool, last: Option<&str>) -> Value {
        let here = call.root_link(&call.path);
        let next = last.filter(|_| more).map(|last| {
            let query = call.query.with("marker", Some(last));
            format!("{here}?{query}")
        });
        let query = call.query.render();
        let this = if query.is_empty() { here } else { format!("{here}?{query}") };
        json!({"next": next, "self": this, "previous": null})
    }

    /// Glance's `next` (none on the last page) and `first`, without host and prefix: `/v2/images?limit=2`.
    pub fn glance_links(
        &self,
        call: &Request,
        path: &str,
        more: bool,
        last: Option<&str>,
    ) -> (Option<String>, String) {
        let query = call.query.with("marker", None);
        let first = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let next = last
            .filter(|_| more)
            .map(|last| format!("{path}?{}", call.query.with("marker", Some(last))));
        (next, first)
    }
}

/// Upwards or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

impl Direction {
    fn of(text: &str) -> Option<Direction> {
        match text {
            "asc" => Some(Direction::Ascending),
            "desc" => Some(Direction::Descending),
            _ => None,
        }
    }

    /// Turns a comparison round when downwards.
    pub fn apply(self, ordering: Ordering) -> Ordering {
        match self {
            Direction::Ascending => ordering,
            Direction::Descending => ordering.reverse(),
        }
    }
}

/// By what a list is sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort<'k>(Vec<(&'k str, Direction)>);

impl<'k> Sort<'k> {
    /// Nova's `sort_key` and `sort_dir`, which may repeat. Which keys a caller may name is the schema's affair;
    /// one outside `known` is a 400 here too.
    pub fn nova(
        query: &Query,
        known: &[&'k str],
        (default, direction): (&'k str, &str),
    ) -> Result<Sort<'k>> {
        let mut keys = Vec::new();
        for key in query.all("sort_key") {
            keys.push(find(known, key).ok_or_else(|| {
                Error::bad_request(format!(
                    "Invalid input received: Sort key supplied is invalid: {key}"
                ))
            })?);
        }
        let mut directions = Vec::new();
        for word in query.all("sort_dir") {
            directions.push(Direction::of(word).ok_or_else(|| {
                Error::bad_request(
                    "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'",
                )
            })?);
        }
        let fallback = Direction::of(direction).unwrap_or(Direction::Descending);
        if keys.is_empty() {
            keys.push(default);
        }
        if directions.len() > keys.len() {
            return Err(Error::bad_request(
                "Invalid input received: Sort direction size exceeds sort key size",
            ));
        }
        let rest = directions.first().copied().unwrap_or(fallback);
        directions.resize(keys.len(), rest);
        Ok(Sort(keys.into_iter().zip(directions).collect()))
    }

    /// Glance's: `sort=name:asc,size`, or the older `sort_key` and `sort_dir`.
    pub fn glance(query: &Query, known: &[&'k str]) -> Result<Sort<'k>> {
        let key = |key: &str| {
            find(known, key.trim()).ok_or_else(|| {
                Error::bad_request(format!(
                    "Invalid sort key: {}. It must be one of the following: {}.",
                    key.trim(),
                    known.join(", ")
                ))
            })
        };
        let direction = |word: &str| {
            Direction::of(word.trim()).ok_or_else(|| {
                Error::bad_request(format!("Invalid sort direction: {}", word.trim()))
            })
        };
        if let Some(sort) = query.get("sort") {
            if query.has("sort_key") || query.has("sort_dir") {
                return Err(Error::bad_request("Old and new sorting syntax cannot be combined"));
            }
            let mut keys = Vec::new();
            for part in sort.trim().split(',') {
                let (name, word) = part.split_once(':').unwrap_or((part, ""));
                keys.push((key(name)?, direction(if word.is_empty() { "desc" } else { word })?));
            }
            return Ok(Sort(keys));
        }
        let mut keys = query.all("sort_key").map(key).collect::<Result<Vec<_>>>()?;
        let mut directions = query.all("sort_dir").map(direction).collect::<Result<Vec<_>>>()?;
        if directions.len() > 1 && directions.len() != keys.len() {
            return Err(Error::bad_request(
                "Number of sort dirs does not match the number of sort keys",
            ));
        }
        if keys.is_empty() {
            keys.push(key("created_at")?);
        }
        let rest = directions.first().copied().unwrap_or(Direction::Descending);
        directions.resize(keys.len(), rest);
        Ok(Sort(keys.into_iter().zip(directions).collect()))
    }

    /// Keys and directions, most important first.
    pub fn keys(&self) -> &[(&'k str, Direction)] {
        &self.0
    }

    /// Sorts by these keys; what is equal in all of them, by id in the first key's direction, so that pages
    /// never overlap. `compare` compares two items by one key.
    pub fn sort<T>(
        &self,
        items: &mut [T],
        compare: impl Fn(&str, &T, &T) -> Ordering,
        id: impl Fn(&T) -> &str,
    ) {
        let last = self.0.first().map_or(Direction::Ascending, |(_, direction)| *direction);
        items.sort_by(|a, b| {
            for (key, direction) in &self.0 {
                match direction.apply(compare(key, a, b)) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            last.apply(id(a).cmp(id(b)))
        });
    }
}

fn find<'k>(known: &[&'k str], key: &str) -> Option<&'k str> {
    known.iter().copied().find(|known| *known == key)
}

/// Keystone's filters by name: `name`, `name__contains`, `name__startswith`, `name__endswith`, and these with an
/// `i` (`name__icontains`), which do not look at case. Whether the value passes all that the query asks.
pub fn keystone_matches(query: &Query, name: &str, value: Option<&str>) -> bool {
    query.pairs().all(|(asked, wanted)| {
        let (base, operator) = asked.split_once("__").unwrap_or((asked, ""));
        if base != name {
            return true;
        }
        let Some(value) = value else { return operator.is_empty() && wanted.is_empty() };
        let lower = || (value.to_lowercase(), wanted.to_lowercase());
        match operator {
            "" => value == wanted,
            "contains" => value.contains(wanted),
            "startswith" => value.starts_with(wanted),
            "endswith" => value.ends_with(wanted),
            "iexact" => lower().0 == lower().1,
            "icontains" => lower().0.contains(&lower().1),
            "istartswith" => lower().0.starts_with(&lower().1),
            "iendswith" => lower().0.ends_with(&lower().1),
            // An operator that is unknown is no filter, as in Keystone.
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).expect("query")
    }

    #[test]
    fn limits() {
        assert_eq!(Page::nova(&query("")).map(|p| p.limit).ok(), Some(1000));
        assert_eq!(Page::nova(&query("limit=5000")).map(|p| p.limit).ok(), Some(1000));
        assert_eq!(Page::nova(&query("limit=0")).map(|p| p.limit).ok(), Some(0));
        assert_eq!(Page::glance(&query("")).map(|p| p.limit).ok(), Some(25));
        assert_eq!(Page::keystone(&query("")).map(|p| p.limit).ok(), Some(usize::MAX));
        for (text, expected) in [
            ("limit=x", "limit param must be an integer"),
            ("limit=", "limit param must be an integer"),
            ("limit=-1", "limit param must be positive"),
        ] {
            let error = Page::glance(&query(text)).expect_err(text);
            assert_eq!(error.message(), expected);
        }
        assert!(Page::nova(&query("limit=99999999999999999999999999")).is_ok());
    }

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<String> = (0..10).map(|n| format!("{n:02}")).collect();
        let mut seen = Vec::new();
        let mut text = "limit=3".to_owned();
        loop {
            let page = Page::nova(&query(&text)).expect("page");
            let cut = page.cut(all.iter().map(String::as_str), |id| id).expect("cut");
            seen.extend(cut.items.iter().map(|id| (*id).to_owned()));
            match cut.items.last() {
                Some(last) if cut.more => text = format!("limit=3&marker={last}"),
                _ => break,
            }
        }
        assert_eq!(seen, all);
        let page = Page::nova(&query("marker=nope")).expect("page");
        let error = page.cut(["a"], |id| id).expect_err("no such marker");
        assert_eq!(error.message(), "marker [nope] not found");
    }

    #[test]
    fn sorts_as_nova() {
        let known = ["name", "size"];
        let sort = |text: &str| Sort::nova(&query(text), &known, ("name", "desc")).map(|s| s.0);
        use Direction::{Ascending as Up, Descending as Down};
        assert_eq!(sort("").ok(), Some(vec![("name", Down)]));
        assert_eq!(sort("sort_dir=asc").ok(), Some(vec![("name", Up)]));
        assert_eq!(
            sort("sort_key=size&sort_dir=asc&sort_key=name").ok(),
            Some(vec![("size", Up), ("name", Up)])
        );
        assert!(sort("sort_key=colour").is_err());
        assert!(sort("sort_dir=up").is_err());
        assert!(sort("sort_key=name&sort_dir=asc&sort_dir=asc").is_err());
    }

    #[test]
    fn sorts_as_glance() {
        let known = ["created_at", "name", "size"];
        let sort = |text: &str| {
            Sort::glance(&query(text), &known)
                .map(|s| s.0)
                .map_err(|error| error.message().to_owned())
        };
        use Direction::{Ascending as Up, Descending as Down};
        assert_eq!(sort(""), Ok(vec![("created_at", Down)]));
        assert_eq!(sort("sort=name:asc,size"), Ok(vec![("name", Up), ("size", Down)]));
        assert_eq!(
            sort("sort_key=name&sort_key=size&sort_dir=asc"),
            Ok(vec![("name", Up), ("size", Up)])
        );
        assert_eq!(
            sort("sort=name&sort_key=size"),
            Err("Old and new sorting syntax cannot be combined".into())
        );
        assert_eq!(sort("sort=name:up"), Err("Invalid sort direction: up".into()));
        assert_eq!(
            sort("sort_key=x"),
            Err("Invalid sort key: x. It must be one of the following: created_at, name, size."
                .into())
        );
        assert_eq!(
            sort("sort_key=name&sort_dir=asc&sort_dir=asc"),
            Err("Number of sort dirs does not match the number of sort keys".into())
        );
    }

    #[test]
    fn ties_go_by_id() {
        let mut items = vec![("b", 1), ("a", 1), ("c", 0)];
        let sort =
            Sort::nova(&query("sort_key=n&sort_dir=asc"), &["n"], ("n", "asc")).expect("sort");
        sort.sort(&mut items, |_, a, b| a.1.cmp(&b.1), |item| item.0);
        assert_eq!(items, [("c", 0), ("a", 1), ("b", 1)]);
    }

    #[test]
    fn keystone_filters() {
        let passes = |text: &str| keystone_matches(&query(text), "name", Some("Demo"));
        assert!(passes("") && passes("other=x") && passes("name=Demo"));
        assert!(!passes("name=demo"));
        assert!(passes("name__contains=em") && passes("name__icontains=DE"));
        assert!(passes("name__startswith=De") && !passes("name__startswith=de"));
        assert!(passes("name__iendswith=MO") && passes("name__iexact=dEMO"));
        assert!(!passes("name=Demo&name__contains=x"));
        assert!(!keystone_matches(&query("name=x"), "name", None));
    }
}
