//! Lists of images: which of them, in what order, how many at once.

use std::{cmp::Ordering, sync::Arc};

use base::{Error, Map, Result, Timestamp};
use state::{Entry, Snapshot};
use web::Query;

use super::{ImageRecord, MemberStatus, Visibility, access::Asker};

const DEFAULT_LIMIT: usize = 25;
const MOST: usize = 1000;

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    limit: usize,
    marker: Option<String>,
    sort: Vec<(Key, bool)>,
    member_status: Option<MemberStatus>,
    /// `None`: what the asker's list holds by default. `Some(None)`: everything that is seen.
    visibility: Option<Option<Visibility>>,
    hidden: bool,
    filters: Vec<Filter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Status,
    ContainerFormat,
    DiskFormat,
    Size,
    Id,
    CreatedAt,
    UpdatedAt,
}

const KEYS: [(&str, Key); 8] = [
    ("name", Key::Name),
    ("status", Key::Status),
    ("container_format", Key::ContainerFormat),
    ("disk_format", Key::DiskFormat),
    ("size", Key::Size),
    ("id", Key::Id),
    ("created_at", Key::CreatedAt),
    ("updated_at", Key::UpdatedAt),
];

#[derive(Debug)]
enum Filter {
    /// A text attribute is one of these.
    OneOf(&'static str, Vec<String>),
    /// A number is so much.
    Number(&'static str, Bound, i64),
    /// A time stands so to another.
    Time(&'static str, Bound, Timestamp),
    Protected(bool),
    Tag(String),
    Property(String, String),
    /// A value that nothing has.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Less,
    AtMost,
    Equal,
    Other,
    AtLeast,
    More,
}

impl Bound {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Bound::Less => ordering.is_lt(),
            Bound::AtMost => ordering.is_le(),
            Bound::Equal => ordering.is_eq(),
            Bound::Other => ordering.is_ne(),
            Bound::AtLeast => ordering.is_ge(),
            Bound::More => ordering.is_gt(),
        }
    }

    fn named(name: &str) -> Option<Bound> {
        Some(match name {
            "lt" => Bound::Less,
            "lte" => Bound::AtMost,
            "eq" => Bound::Equal,
            "neq" => Bound::Other,
            "gte" => Bound::AtLeast,
            "gt" => Bound::More,
            _ => return None,
        })
    }
}

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::bad_request(why))
}

/// Reads the query of a list.
pub(super) fn parse(query: &Query) -> Result<Wanted> {
    let mut wanted = Wanted {
        limit: DEFAULT_LIMIT,
        marker: query.get("marker").map(str::to_owned),
        sort: sorting(query)?,
        member_status: Some(MemberStatus::Accepted),
        visibility: None,
        hidden: false,
        filters: Vec::new(),
    };
    if let Some(text) = query.get("limit") {
        wanted.limit = match text.trim().parse::<i64>() {
            Err(_) => return bad("limit param must be an integer"),
            Ok(limit) => match usize::try_from(limit) {
                Err(_) => return bad("limit param must be positive"),
                Ok(limit) => limit.min(MOST),
            },
        };
    }
    // Of a name that repeats, the last counts; only tags are all meant.
    let mut single: Map<&str, &str> = Map::new();
    for (name, value) in query.pairs() {
        match name {
            "tag" => wanted.filters.push(Filter::Tag(value.trim().to_owned())),
            "limit" | "marker" | "sort" | "sort_key" | "sort_dir" => {}
            _ => drop(single.insert(name, value)),
        }
    }
    for (name, value) in single {
        wanted.filter(name, value)?;
    }
    Ok(wanted)
}

impl Wanted {
    fn filter(&mut self, name: &str, value: &str) -> Result<()> {
        let filter = match name {
            "member_status" => {
                self.member_status = match value {
                    "all" => None,
                    _ => match MemberStatus::named(value) {
                        Some(status) => Some(status),
                        None => return bad(format!("Invalid status: {value}")),
                    },
                };
                return Ok(());
            }
            "visibility" if value.is_empty() => return Ok(()),
            "visibility" => {
                self.visibility = match (value, Visibility::named(value)) {
                    ("all", _) => Some(None),
                    (_, Some(visibility)) => Some(Some(visibility)),
                    _ => return bad(format!("Invalid visibility value: {value}")),
                };
                return Ok(());
            }
            "os_hidden" => {
                self.hidden = boolean(name, &value.to_lowercase(), value)?;
                return Ok(());
            }
            "changes-since" => {
                return bad("The \"changes-since\" filter is no longer available on v2.");
            }
            "protected" => Filter::Protected(boolean(name, value, value)?),
            "name" | "id" | "status" | "container_format" | "disk_format" => {
                let values = match split_operator(value) {
                    ("in", list) => split_list(list)?,
                    ("eq", value) => vec![value.to_owned()],
                    (operator, _) => {
                        return bad(format!("Unable to filter by unknown operator '{operator}'."));
                    }
                };
                Filter::OneOf(attribute(name), values)
            }
            "owner" | "checksum" | "os_hash_value" | "os_hash_algo" => {
                Filter::OneOf(attribute(name), vec![value.to_owned()])
            }
            "created_at" | "updated_at" => {
                let (operator, time) = split_operator(value);
                let Some(bound) = Bound::named(operator) else {
                    return bad("Unable to filter on a unknown operator.");
                };
                let Some(time) = Timestamp::parse(time) else {
                    return bad(format!(
                        "Bad \"{name}\" query filter format. Use ISO 8601 DateTime notation."
                    ));
                };
                Filter::Time(attribute(name), bound, time)
            }
            _ => match number(name) {
                Some((attribute, bound)) => match (value.trim().parse(), bound) {
                    (Ok(number), _) => Filter::Number(attribute, bound, number),
                    (Err(_), Bound::Equal) => Filter::Nothing,
                    (Err(_), _) => {
                        return bad("Unable to filter on a range with a non-numeric value.");
                    }
                },
                None => Filter::Property(name.to_owned(), value.to_owned()),
            },
        };
        self.filters.push(filter);
        Ok(())
    }

    /// The images of one page, and whether there may be more.
    pub(super) fn page(
        &self,
        snapshot: &Snapshot,
        asker: &Asker,
    ) -> Result<(Vec<Entry<ImageRecord>>, bool)> {
        let marker = match &self.marker {
            None => None,
            Some(id) => match asker.find(snapshot, id) {
                Ok(image) => Some(image),
                Err(error) if error.kind() == base::Kind::NotFound => {
                    return bad(error.message());
                }
                Err(error) => return Err(error),
            },
        };
        let mut images: Vec<_> = self
            .candidates(snapshot, asker)
            .filter(|image| self.wants(image, asker))
            .filter(|image| marker.as_ref().is_none_or(|m| self.order(m, image).is_lt()))
            .collect();
        let more = images.len() >= self.limit && self.limit > 0;
        if images.len() > self.limit {
            if self.limit > 0 {
                images.select_nth_unstable_by(self.limit - 1, |a, b| self.order(a, b));
            }
            images.truncate(self.limit);
        }
        images.sort_unstable_by(|a, b| self.order(a, b));
        Ok((images, more))
    }

    /// Those that can be in the asker's list at all.
    fn candidates<'s>(
        &self,
        snapshot: &'s Snapshot,
        asker: &Asker,
    ) -> Box<dyn Iterator<Item = Entry<ImageRecord>> + 's> {
        if asker.admin {
            return Box::new(snapshot.all::<ImageRecord>());
        }
        let mut ids: base::Set<Arc<str>> = base::Set::new();
        for visibility in [Visibility::Public, Visibility::Community] {
            if self.visibility.is_none_or(|only| only.is_none_or(|only| only == visibility)) {
                ids.extend(snapshot.index_ids::<ImageRecord>("visibility", visibility.name()));
            }
        }
        if let Some(project) = asker.project() {
            ids.extend(snapshot.index_ids::<ImageRecord>("owner", project));
            ids.extend(snapshot.index_ids::<ImageRecord>("member", project));
        }
        Box::new(ids.into_iter().filter_map(|id| snapshot.get::<ImageRecord>(&id)))
    }

    fn wants(&self, image: &Entry<ImageRecord>, asker: &Asker) -> bool {
        let viewer = asker.viewer();
        let visible = match self.visibility {
            // Other projects' community images are seen, but not in anybody's list unasked.
            None => image.visibility != Visibility::Community || viewer.owns(image),
            Some(None) => true,
            Some(Some(visibility)) => image.visibility == visibility,
        };
        let shared_with = || {
            let member = asker.project().and_then(|project| image.members.get(project));
            member.is_some_and(|member| {
                self.member_status.is_none_or(|status| member.status == status)
            })
        };
        let listed = match image.visibility {
            Visibility::Public | Visibility::Community => true,
            Visibility::Private => asker.admin || viewer.owns(image),
            Visibility::Shared => asker.admin || viewer.owns(image) || shared_with(),
        };
        visible
            && listed
            && image.hidden == self.hidden
            && self.filters.iter().all(|filter| filter.fits(image))
            && asker.allows("get_image", image)
    }

    fn order(&self, a: &Entry<ImageRecord>, b: &Entry<ImageRecord>) -> Ordering {
        let ordered = |key: Key, descending: bool| {
            let ordering = match key {
                Key::Name => a.name.cmp(&b.name),
                Key::Status => a.status.name().cmp(b.status.name()),
                Key::ContainerFormat => a.container_format.cmp(&b.container_format),
                Key::DiskFormat => a.disk_format.cmp(&b.disk_format),
                Key::Size => a.size().cmp(&b.size()),
                Key::Id => a.id.cmp(&b.id),
                Key::CreatedAt => a.created_at.cmp(&b.created_at),
                Key::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            };
            if descending { ordering.reverse() } else { ordering }
        };
        let mut keys = self.sort.iter().map(|(key, descending)| ordered(*key, *descending));
        keys.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Filter {
    fn fits(&self, image: &Entry<ImageRecord>) -> bool {
        match self {
            Filter::OneOf(attribute, values) => {
                let usable = image.usable();
                let has = match *attribute {
                    "name" => image.name.as_deref(),
                    "id" => Some(&*image.id),
                    "status" => Some(image.status.name()),
                    "container_format" => image.container_format.as_deref(),
                    "disk_format" => image.disk_format.as_deref(),
                    "owner" => image.owner.as_deref(),
                    "checksum" => usable.map(|data| data.md5.as_str()),
                    "os_hash_value" => usable.map(|data| data.sha512.as_str()),
                    "os_hash_algo" => usable.map(|_| "sha512"),
                    _ => None,
                };
                has.is_some_and(|has| values.iter().any(|value| value == has))
            }
            Filter::Number(attribute, bound, number) => {
                let signed = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
                let has = match *attribute {
                    "size" => image.size().map(signed),
                    "virtual_size" => image.usable().and_then(|data| data.virtual_size).map(signed),
                    "min_ram" => Some(image.min_ram),
                    "min_disk" => Some(image.min_disk),
                    _ => None,
                };
                has.is_some_and(|has| bound.holds(has.cmp(number)))
            }
            Filter::Time(attribute, bound, time) => {
                let has =
                    if *attribute == "created_at" { image.created_at } else { image.updated_at };
                // To the second, which is all that is shown.
                bound.holds(has.seconds().cmp(&time.seconds()))
            }
            Filter::Protected(protected) => image.protected == *protected,
            Filter::Tag(tag) => image.tags.contains(tag),
            Filter::Property(name, value) => image.properties.get(name) == Some(value),
            Filter::Nothing => false,
        }
    }
}

fn boolean(name: &str, value: &str, given: &str) -> Result<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => bad(format!(
            "Invalid value '{given}' for '{name}' filter. Valid values are 'true' or 'false'."
        )),
    }
}

/// A name of ours for a name that was sent.
fn attribute(name: &str) -> &'static str {
    const NAMES: [&str; 15] = [
        "name",
        "id",
        "status",
        "container_format",
        "disk_format",
        "owner",
        "checksum",
        "os_hash_value",
        "os_hash_algo",
        "created_at",
        "updated_at",
        "size",
        "virtual_size",
        "min_ram",
        "min_disk",
    ];
    NAMES.into_iter().find(|known| *known == name).unwrap_or_default()
}

fn number(name: &str) -> Option<(&'static str, Bound)> {
    let (base, bound) = match name {
        "size" | "virtual_size" | "min_ram" | "min_disk" => (name, Bound::Equal),
        _ => match (name.strip_suffix("_min"), name.strip_suffix("_max")) {
            (Some(base), _) => (base, Bound::AtLeast),
            (_, Some(base)) => (base, Bound::AtMost),
            _ => return None,
        },
    };
    matches!(base, "size" | "virtual_size" | "min_ram" | "min_disk")
        .then(|| (attribute(base), bound))
}

/// `operator:value`. A time without an operator has colons of its own.
fn split_operator(expression: &str) -> (&str, &str) {
    match expression.split_once(':') {
        Some((operator, value)) if Timestamp::parse(expression).is_none() => (operator, value),
        _ => ("eq", expression),
    }
}

/// `a,"b,c",d`: quotes keep commas together.
fn split_list(list: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    Some((at, '"')) => break at + 1,
                    Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                    Some((_, c)) => value.push(c),
                    None => {
                        return bad(format!(
                            "Invalid filter value {list}. There is no comma before opening quotation mark."
                        ));
                    }
                }
            };
            rest = quoted.get(end..).unwrap_or_default();
            values.push(value);
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None if rest.is_empty() => {}
                None => {
                    return bad(format!(
                        "Invalid filter value {list}. There is no comma after closing quotation mark."
                    ));
                }
            }
        } else {
            let (value, after) = rest.split_once(',').unwrap_or((rest, ""));
            values.push(value.to_owned());
            rest = after;
        }
    }
    Ok(values)
}

fn sorting(query: &Query) -> Result<Vec<(Key, bool)>> {
    let descending = |text: &str| match text.trim() {
        "asc" => Ok(false),
        "desc" => Ok(true),
        other => bad(format!("Invalid sort direction: {other}")),
    };
    let mut keys = Vec::new();
    let mut directions = Vec::new();
    if let Some(sort) = query.get("sort") {
        if query.has("sort_key") || query.has("sort_dir") {
            return bad("Old and new sorting syntax cannot be combined");
        }
        for part in sort.trim().split(',') {
            let (key, direction) = part.split_once(':').unwrap_or((part, ""));
            keys.push(sort_key(key.trim())?);
            directions.push(if direction.is_empty() { true } else { descending(direction)? });
        }
    } else {
        for key in query.all("sort_key") {
            keys.push(sort_key(key.trim())?);
        }
        for direction in query.all("sort_dir") {
            directions.push(descending(direction)?);
        }
        if directions.len() > 1 && directions.len() != keys.len() {
            return bad("Number of sort dirs does not match the number of sort keys");
        }
    }
    if keys.is_empty() {
        keys.push(Key::CreatedAt);
    }
    let default = match directions.as_slice() {
        [] => true,
        [one] => *one,
        _ => true,
    };
    let mut sort: Vec<_> = keys
        .into_iter()
        .enumerate()
        .map(|(at, key)| {
            let direction = if directions.len() > 1 { directions.get(at).copied() } else { None };
            (key, direction.unwrap_or(default))
        })
        .collect();
    for key in [Key::CreatedAt, Key::Id] {
        if !sort.iter().any(|(known, _)| *known == key) {
            sort.push((key, default));
        }
    }
    Ok(sort)
}

fn sort_key(name: &str) -> Result<Key> {
    match KEYS.into_iter().find(|(known, _)| *known == name) {
        Some((_, key)) => Ok(key),
        None => {
            let available: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
            bad(format!(
                "Invalid sort key: {name}. It must be one of the following: {}.",
                available.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_at_commas_outside_quotes() {
        assert_eq!(split_list("a,b").unwrap(), ["a", "b"]);
        assert_eq!(split_list(r#"a,"b,c",d"#).unwrap(), ["a", "b,c", "d"]);
        assert_eq!(split_list(r#""say \"x\"""#).unwrap(), [r#"say "x""#]);
        assert!(split_list(r#""open"#).is_err());
        assert!(split_list(r#""a"b"#).is_err());
        assert_eq!(split_list("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn operators_are_told_from_values() {
        assert_eq!(split_operator("gt:2026-01-01T00:00:00Z"), ("gt", "2026-01-01T00:00:00Z"));
        assert_eq!(split_operator("2026-01-01T00:00:00Z"), ("eq", "2026-01-01T00:00:00Z"));
        assert_eq!(split_operator("in:a,b"), ("in", "a,b"));
        // As Glance has it: then an operator that is not known.
        assert_eq!(split_operator("debian:12"), ("debian", "12"));
    }
}
