//! The route table of one service: a tree of path segments. Knows nothing of what it finds.

use http::Method;
use percent_encoding::percent_decode_str;

/// A tree of segments; fixed ones win over parameters.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment.
    fixed: Vec<(&'static str, Node)>,
    parameter: Option<Box<Node>>,
    /// Places of cards, in the order in which they were added.
    cards: Vec<(Method, usize)>,
}

/// What stands at a path.
pub(crate) struct Found<'r> {
    pub(crate) cards: &'r [(Method, usize)],
    /// Values of the parameters, as sent.
    pub(crate) values: Vec<String>,
}

/// Deepest path that any card has, and more.
const DEEPEST: usize = 16;

impl Routes {
    /// Adds a card's path; gives the parameters' names in their order.
    pub(crate) fn add(
        &mut self,
        method: Method,
        path: &'static str,
        card: usize,
    ) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut node = &mut self.root;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            node = match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(name) => {
                    names.push(name);
                    node.parameter.get_or_insert_default()
                }
                None => {
                    let at = match node.fixed.binary_search_by_key(&segment, |(s, _)| *s) {
                        Ok(at) => at,
                        Err(at) => {
                            node.fixed.insert(at, (segment, Node::default()));
                            at
                        }
                    };
                    &mut node.fixed[at].1
                }
            };
        }
        node.cards.push((method, card));
        names
    }

    /// What stands at this path (below the service's prefix). One slash at the end does not matter.
    pub(crate) fn find(&self, path: &str) -> Option<Found<'_>> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = [""; DEEPEST];
        let mut count = 0;
        if !path.is_empty() {
            for segment in path.split('/') {
                // An empty segment is no id.
                if segment.is_empty() {
                    return None;
                }
                *segments.get_mut(count)? = segment;
                count += 1;
            }
        }
        let mut taken = [""; DEEPEST];
        let (node, taken_count) = descend(&self.root, segments.get(..count)?, &mut taken, 0)?;
        let mut values = Vec::with_capacity(taken_count);
        for value in taken.get(..taken_count)? {
            values.push(decode(value)?);
        }
        Some(Found { cards: &node.cards, values })
    }
}

fn descend<'r, 'p>(
    node: &'r Node,
    segments: &[&'p str],
    taken: &mut [&'p str; DEEPEST],
    count: usize,
) -> Option<(&'r Node, usize)> {
    let Some((first, rest)) = segments.split_first() else {
        return (!node.cards.is_empty()).then_some((node, count));
    };
    if let Ok(at) = node.fixed.binary_search_by(|(segment, _)| (*segment).cmp(first))
        && let Some((_, next)) = node.fixed.get(at)
        && let Some(found) = descend(next, rest, taken, count)
    {
        return Some(found);
    }
    let next = node.parameter.as_deref()?;
    *taken.get_mut(count)? = first;
    descend(next, rest, taken, count + 1)
}

/// Percent-decodes a segment; none when it is not UTF-8: then no card can mean it.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds() {
        let mut routes = Routes::default();
        let paths = [
            "/servers",
            "/servers/detail",
            "/servers/{server_id}",
            "/servers/{server_id}/action",
            "/servers/{server_id}/metadata/{key}",
            "/{project}/thing",
            "/servers/detail/x/{id}",
            "/",
        ];
        for (index, path) in paths.into_iter().enumerate() {
            routes.add(Method::GET, path, index);
        }
        let find = |path: &str| routes.find(path).map(|found| (found.cards[0].1, found.values));
        let values = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        assert_eq!(find("/servers"), Some((0, vec![])));
        assert_eq!(find("/servers/"), Some((0, vec![])));
        assert_eq!(find("/servers/detail"), Some((1, vec![])));
        assert_eq!(find("/servers/a%20b"), Some((2, values(&["a b"]))));
        assert_eq!(find("/servers/x/metadata/a%2Fb"), Some((4, values(&["x", "a/b"]))));
        assert_eq!(find("/servers/thing"), Some((2, values(&["thing"]))));
        assert_eq!(find("/p/thing"), Some((5, values(&["p"]))));
        // Back from a fixed segment that leads nowhere.
        assert_eq!(find("/servers/detail/action"), Some((3, values(&["detail"]))));
        assert_eq!(find(""), Some((7, vec![])));
        assert_eq!(find("/"), Some((7, vec![])));
        for nowhere in [
            "/nope",
            "/servers//action",
            "//servers",
            "/servers/a/b/c",
            "/servers/%ff",
            "/servers/x/metadata/",
            "/p",
            &"/a".repeat(40),
        ] {
            assert_eq!(find(nowhere), None, "{nowhere}");
        }
    }
}
