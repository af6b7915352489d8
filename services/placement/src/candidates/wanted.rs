//! The query of `GET /allocation_candidates`: groups of wants, and what binds them together.

use base::{Error, Map, Result, Set};
use web::{Microversion, Query, v};

use crate::{
    manners::code,
    query::{self, Member, Traits},
};

/// What one group wants. Groups with a suffix are satisfied by one provider.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) resources: Map<String, u64>,
    pub(super) traits: Traits,
    pub(super) member: Member,
    pub(super) in_tree: Option<String>,
}

/// What a request wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// By suffix; the empty one may be satisfied by many providers.
    pub(super) groups: Map<String, Group>,
    pub(super) limit: Option<usize>,
    /// Groups with a suffix are satisfied by providers of their own.
    pub(super) isolate: bool,
    /// What the root of the tree must have.
    pub(super) root: Traits,
    /// Of each of these sets of groups, one's provider is above all others'.
    pub(super) subtrees: Vec<Set<String>>,
}

const PARTS: [(&str, Microversion); 4] = [
    ("resources", v(1, 10)),
    ("required", v(1, 17)),
    ("member_of", v(1, 21)),
    ("in_tree", v(1, 31)),
];

/// A parameter's part and suffix, if this version has such.
fn split(name: &str, version: Microversion) -> Option<(&'static str, &str)> {
    let (part, since) = PARTS.into_iter().find(|(part, _)| name.starts_with(part))?;
    let suffix = &name[part.len()..];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let fits = if suffix.is_empty() {
        true
    } else if version >= v(1, 33) {
        suffix.len() <= 64 && suffix.bytes().all(plain)
    } else {
        version >= v(1, 25)
            && suffix.bytes().all(|b| b.is_ascii_digit())
            && !suffix.starts_with('0')
    };
    (version >= since && fits).then_some((part, suffix))
}

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("Invalid query string parameters: {why}"))
}

impl Wanted {
    /// Reads a query.
    pub(super) fn read(query: &Query, version: Microversion) -> Result<Wanted> {
        check_names(query, version)?;
        let mut wanted = Wanted { limit: limit(query)?, ..Wanted::default() };
        match query.all("group_policy").next() {
            None | Some("none") => {}
            Some("isolate") => wanted.isolate = true,
            Some(other) => {
                return Err(wrong(format!("'{other}' is not one of ['none', 'isolate']")));
            }
        }
        wanted.root = root(query)?;
        wanted.subtrees = subtrees(query)?;
        for (name, _) in query.pairs() {
            if let Some((_, suffix)) = split(name, version)
                && !wanted.groups.contains_key(suffix)
            {
                wanted.groups.insert(suffix.to_owned(), group(query, suffix, version)?);
            }
        }
        wanted.check_groups(version)?;
        let granular = wanted.groups.keys().filter(|suffix| !suffix.is_empty()).count();
        if granular > 1 && !query.has("group_policy") {
            return Err(Error::bad_request(
                "The \"group_policy\" parameter is required when specifying more than one \
                 \"resources{N}\" parameter.",
            ));
        }
        Ok(wanted)
    }

    fn check_groups(&self, version: Microversion) -> Result<()> {
        if version >= v(1, 36) {
            self.check_subtrees()?;
        } else {
            self.check_orphans()?;
        }
        let mut conflicts = Vec::new();
        for (suffix, group) in &self.groups {
            for any in &group.traits.required {
                if any.is_subset(&group.traits.forbidden) {
                    let names: Vec<&str> = any.iter().map(String::as_str).collect();
                    conflicts.push(format!("required{suffix}: ({})", names.join(", ")));
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(Error::bad_request(format!(
            "Conflicting required and forbidden traits found in the following traits keys: {}",
            conflicts.join(", ")
        )))
    }

    fn check_subtrees(&self) -> Result<()> {
        let empty: Vec<&str> = self
            .groups
            .iter()
            .filter(|(_, group)| group.resources.is_empty())
            .map(|(suffix, _)| suffix.as_str())
            .collect();
        if empty.len() == self.groups.len() {
            return Err(Error::bad_request(
                "There must be at least one resources or resources[$S] parameter.",
            )
            .with_code(code::MISSING_VALUE));
        }
        let named: Set<&str> = self.subtrees.iter().flatten().map(String::as_str).collect();
        let lonely: Vec<&str> =
            empty.into_iter().filter(|suffix| !named.contains(suffix)).collect();
        if !lonely.is_empty() {
            return Err(Error::bad_request(format!(
                "Resourceless suffixed group request should be specified in `same_subtree` query param: \
                 bad group(s) - {}.",
                listed(&lonely)
            ))
            .with_code(code::BAD_VALUE));
        }
        let unknown: Vec<&str> =
            named.into_iter().filter(|suffix| !self.groups.contains_key(*suffix)).collect();
        if !unknown.is_empty() {
            let all: Vec<&str> = self.groups.keys().map(String::as_str).collect();
            return Err(Error::bad_request(format!(
                "Real suffixes should be specified in `same_subtree`: {} not found in {}.",
                listed(&unknown),
                listed(&all)
            ))
            .with_code(code::BAD_VALUE));
        }
        Ok(())
    }

    fn check_orphans(&self) -> Result<()> {
        let orphans = |part: &str, has: fn(&Group) -> bool| -> Vec<String> {
            self.groups
                .iter()
                .filter(|(_, group)| group.resources.is_empty() && has(group))
                .map(|(suffix, _)| format!("{part}{suffix}"))
                .collect()
        };
        let traits = orphans("required", |group| !group.traits.required.is_empty());
        if !traits.is_empty() {
            return Err(Error::bad_request(format!(
                "All traits parameters must be associated with resources.  Found the following orphaned \
                 traits keys: {}",
                traits.join(", ")
            )));
        }
        let members = orphans("member_of", |group| !group.member.is_empty());
        if !members.is_empty() {
            return Err(Error::bad_request(format!(
                "All member_of parameters must be associated with resources. Found the following \
                 orphaned member_of keys: {}",
                members.join(", ")
            )));
        }
        if self.groups.values().any(|group| group.resources.is_empty()) {
            return Err(Error::bad_request("All request groups must specify resources."));
        }
        if self.groups.is_empty() {
            return Err(Error::bad_request(
                "At least one request group (`resources` or `resources{$S}`) is required.",
            ));
        }
        Ok(())
    }
}

/// As Python shows a list of texts.
fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", names.join(", "))
}

/// The names that this version takes, as Placement shows them.
fn patterns(version: Microversion) -> Option<String> {
    let suffix = match version {
        version if version >= v(1, 33) => "([a-zA-Z0-9_-]{1,64})?$",
        version if version >= v(1, 25) => "([1-9][0-9]*)?$",
        _ => return None,
    };
    let mut names: Vec<&str> =
        PARTS.iter().filter(|(_, since)| version >= *since).map(|(name, _)| *name).collect();
    names.sort_unstable();
    let names: Vec<String> = names.iter().map(|name| format!("'^{name}{suffix}'")).collect();
    Some(names.join(", "))
}

fn check_names(query: &Query, version: Microversion) -> Result<()> {
    for (name, _) in query.pairs() {
        let known = match name {
            "limit" => version >= v(1, 16),
            "group_policy" => version >= v(1, 25),
            "root_required" => version >= v(1, 35),
            "same_subtree" => version >= v(1, 36),
            _ => split(name, version).is_some(),
        };
        if !known {
            return Err(wrong(match patterns(version) {
                Some(patterns) => {
                    format!("'{name}' does not match any of the regexes: {patterns}")
                }
                None => {
                    format!("Additional properties are not allowed ('{name}' was unexpected)")
                }
            }));
        }
    }
    if version < v(1, 25) && !query.has("resources") {
        return Err(wrong("'resources' is a required property"));
    }
    Ok(())
}

fn limit(query: &Query) -> Result<Option<usize>> {
    let mut values = query.all("limit");
    for value in query.all("limit") {
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        if !digits || value.starts_with('0') {
            return Err(wrong(format!("'{value}' does not match '^[1-9][0-9]*$'")));
        }
    }
    // What is larger than any number limits nothing.
    Ok(values.next().map(|value| value.parse().unwrap_or(usize::MAX)))
}

fn root(query: &Query) -> Result<Traits> {
    let mut values = query.all("root_required");
    let Some(text) = values.next() else { return Ok(Traits::default()) };
    if values.next().is_some() {
        return Err(Error::bad_request(
            "Query parameter 'root_required' may be specified only once.",
        )
        .with_code(code::DUPLICATE_KEY));
    }
    let traits = query::trait_list(text, true, false)?;
    let both: Vec<&str> = traits
        .required
        .iter()
        .flatten()
        .filter(|name| traits.forbidden.contains(*name))
        .map(String::as_str)
        .collect();
    if both.is_empty() {
        return Ok(traits);
    }
    Err(Error::bad_request(format!(
        "Conflicting required and forbidden traits found in root_required: {}",
        both.join(", ")
    ))
    .with_code(code::BAD_VALUE))
}

fn subtrees(query: &Query) -> Result<Vec<Set<String>>> {
    let mut all = Vec::new();
    for value in query.all("same_subtree") {
        let suffixes: Set<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
        if suffixes.contains("") {
            return Err(Error::bad_request(
                "Empty string (unsuffixed group) can not be specified in `same_subtree` ",
            )
            .with_code(code::BAD_VALUE));
        }
        all.push(suffixes);
    }
    Ok(all)
}

fn group(query: &Query, suffix: &str, version: Microversion) -> Result<Group> {
    let value = |part: &str| query.get(&format!("{part}{suffix}"));
    Ok(Group {
        resources: match value("resources") {
            Some(text) => query::resources(text)?,
            None => Map::new(),
        },
        traits: query::traits(query, suffix, version)?,
        member: query::members(query, suffix, version)?,
        in_tree: value("in_tree").map(query::in_tree).transpose()?,
    })
}
