//! Who may do what: rules in oslo.policy's language, their defaults from the cards, overrides from a file.
//!
//! One [`Rulebook`] per service, compiled when the router is built: a wrong rule, an unknown name or a
//! circle stops the start, never a request. The words of a refusal are the envelope's.

mod evaluate;
mod file;
mod parse;

use std::borrow::Cow;

use base::{Error, Map, Result};

pub use self::file::Overrides;
use self::parse::Check;
use crate::Actor;

/// Which policy guards a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nobody is asked who they are: discovery, `POST /auth/tokens`.
    Public,
    /// Any valid token.
    AnyToken,
    /// A name and its default rule, checked before the handler runs, against a target that holds the
    /// actor's own `project_id` and `user_id`, and every parameter of the path by its name.
    Rule(&'static str, &'static str),
    /// Names and default rules that the *handler* checks with [`crate::Call::allow`], once it has loaded
    /// what they speak of. A handler that succeeds without having asked is answered with a 500.
    Checked(&'static [(&'static str, &'static str)]),
}

impl Policy {
    /// The names and default rules that it brings along.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (one, many): (_, &'static [(&'static str, &'static str)]) = match *self {
            Policy::Public | Policy::AnyToken => (None, &[]),
            Policy::Rule(name, rule) => (Some((name, rule)), &[]),
            Policy::Checked(rules) => (None, rules),
        };
        one.into_iter().chain(many.iter().copied())
    }
}

/// What a rule is checked against: attributes of the thing that is asked for, under the names that rules
/// use in `%(name)s`. A name that is absent (or none) equals nothing.
#[derive(Clone, Debug, Default)]
pub struct Target<'t>(Vec<(Cow<'t, str>, Cow<'t, str>)>);

impl<'t> Target<'t> {
    /// Without attributes.
    pub fn new() -> Target<'t> {
        Target::default()
    }

    /// Of a project: `project_id`, and `tenant_id` as old rules call it.
    pub fn project(id: &'t str) -> Target<'t> {
        Target::new().with("project_id", id).with("tenant_id", id)
    }

    /// Of a project and a user.
    pub fn owned(project_id: &'t str, user_id: &'t str) -> Target<'t> {
        Target::project(project_id).with("user_id", user_id)
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'t, str>>, value: impl Into<Cow<'t, str>>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Adds an attribute when there is one.
    #[must_use]
    pub fn with_some(
        self,
        name: impl Into<Cow<'t, str>>,
        value: Option<impl Into<Cow<'t, str>>>,
    ) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The attribute of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

/// Longest chain of rules that refer to rules; checking one recurses that deep.
const LONGEST_CHAIN: u32 = 32;

/// The rules of one service, compiled.
#[derive(Debug, Default)]
pub struct Rulebook {
    rules: Vec<Rule>,
    names: Map<String, usize>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    text: String,
    check: Check,
}

/// A rule's place in its [`Rulebook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleId(usize);

impl Rulebook {
    /// Compiles default rules and overrides. Refuses rules that cannot be read, two defaults for one name,
    /// overrides of unknown names, references to unknown rules, circles.
    pub fn compile<'d>(
        service: &str,
        defaults: impl IntoIterator<Item = (&'d str, &'d str)>,
        overrides: &Overrides,
    ) -> Result<Rulebook> {
        let mut texts: Map<&str, &str> = Map::new();
        for (name, text) in defaults {
            if let Some(other) = texts.insert(name, text)
                && other != text
            {
                return Err(Error::internal(format!(
                    "the policy {name} of {service} has two default rules: {other:?} and {text:?}"
                )));
            }
        }
        for (name, text) in overrides.iter() {
            match texts.get_mut(name) {
                Some(default) => *default = text,
                None => {
                    return Err(Error::bad_request(format!(
                        "the policy file of {service} names {name:?}, which is no policy of {service}"
                    )));
                }
            }
        }
        let mut book = Rulebook::default();
        for (name, text) in &texts {
            let check = parse::parse(text).map_err(|why| {
                Error::bad_request(format!("the policy {name} of {service}, {text:?}: {why}"))
            })?;
            book.names.insert((*name).to_owned(), book.rules.len());
            book.rules.push(Rule { name: (*name).to_owned(), text: (*text).to_owned(), check });
        }
        for index in 0..book.rules.len() {
            let Some(rule) = book.rules.get_mut(index) else { continue };
            let mut check = std::mem::replace(&mut rule.check, Check::False);
            let resolved = check.resolve(&book.names);
            if let Some(rule) = book.rules.get_mut(index) {
                rule.check = check;
                resolved.map_err(|unknown| {
                    Error::bad_request(format!(
                        "the policy {} of {service} refers to rule:{unknown}, which does not exist",
                        rule.name
                    ))
                })?;
            }
        }
        book.refuse_circles(service)?;
        Ok(book)
    }

    /// Follows references from every rule, without recursion: a file may chain thousands of rules. Refuses
    /// circles and chains that checking should not recurse through.
    fn refuse_circles(&self, service: &str) -> Result<()> {
        /// What is known of a rule.
        #[derive(Clone, Copy)]
        enum Mark {
            Unseen,
            Open,
            /// With the length of the longest chain from here.
            Done(u32),
        }
        let mut marks = vec![Mark::Unseen; self.rules.len()];
        let references = |index: usize| {
            let mut found = Vec::new();
            if let Some(rule) = self.rules.get(index) {
                rule.check.references(&mut found);
            }
            found
        };
        let refuse = |index: usize, why: &str| {
            let name = self.rules.get(index).map_or("", |rule| &rule.name);
            Err(Error::bad_request(format!("the policy {name} of {service} {why}")))
        };
        for start in 0..self.rules.len() {
            let mut stack = vec![(start, false)];
            while let Some((index, leaving)) = stack.pop() {
                let mark = marks.get(index).copied().unwrap_or(Mark::Done(0));
                if leaving {
                    let below = references(index).into_iter().filter_map(|r| marks.get(r));
                    let longest = below.map(|mark| match mark {
                        Mark::Done(length) => *length,
                        Mark::Unseen | Mark::Open => 0,
                    });
                    let length = 1 + longest.max().unwrap_or(0);
                    if length > LONGEST_CHAIN {
                        return refuse(index, "refers to too long a chain of other rules");
                    }
                    if let Some(mark) = marks.get_mut(index) {
                        *mark = Mark::Done(length);
                    }
                    continue;
                }
                match mark {
                    Mark::Done(_) => continue,
                    Mark::Open => return refuse(index, "refers to itself"),
                    Mark::Unseen => {}
                }
                if let Some(mark) = marks.get_mut(index) {
                    *mark = Mark::Open;
                }
                stack.push((index, true));
                for reference in references(index) {
                    match marks.get(reference) {
                        Some(Mark::Done(_)) => {}
                        Some(Mark::Open) => return refuse(index, "refers to itself"),
                        _ => stack.push((reference, false)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the rule of this name stands.
    pub(crate) fn find(&self, name: &str) -> Option<RuleId> {
        self.names.get(name).copied().map(RuleId)
    }

    /// Whether there is a rule of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Whether the actor may, by the rule at this place.
    pub(crate) fn allows_at(&self, id: RuleId, actor: &Actor, target: &Target<'_>) -> bool {
        self.rules.get(id.0).is_some_and(|rule| self.evaluate(&rule.check, actor, target))
    }

    /// Whether the actor may, by the rule of this name; never by a name that is unknown.
    pub fn allows(&self, name: &str, actor: &Actor, target: &Target<'_>) -> bool {
        self.find(name).is_some_and(|id| self.allows_at(id, actor, target))
    }

    /// All names with the texts in force, for `config show` and documents.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), rule.text.as_str()))
    }
}

#[cfg(test)]
mod tests;
