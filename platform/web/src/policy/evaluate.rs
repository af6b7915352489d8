//! Answers a compiled rule for an actor and a target. No allocation unless a template mixes text and names.

use std::borrow::Cow;

use super::{
    Rulebook, Target,
    parse::{Check, Part, Template},
};
use crate::Actor;

impl Rulebook {
    /// Recursion is bounded: circles and long chains were refused when compiling, expressions nest boundedly.
    pub(super) fn evaluate(&self, check: &Check, actor: &Actor, target: &Target<'_>) -> bool {
        match check {
            Check::True => true,
            Check::False | Check::Named(_) => false,
            Check::Not(inner) => !self.evaluate(inner, actor, target),
            Check::And(all) => all.iter().all(|check| self.evaluate(check, actor, target)),
            Check::Or(any) => any.iter().any(|check| self.evaluate(check, actor, target)),
            Check::Rule(index) => {
                self.rules.get(*index).is_some_and(|rule| self.evaluate(&rule.check, actor, target))
            }
            Check::Role(name) => name.fill(target).is_some_and(|name| actor.has_role(&name)),
            Check::Attribute(attribute, wanted) => {
                match (actor.attribute(*attribute), wanted.fill(target)) {
                    (Some(has), Some(wanted)) => has == wanted,
                    _ => false,
                }
            }
            Check::Literal(literal, wanted) => {
                wanted.fill(target).is_some_and(|wanted| wanted == literal.as_str())
            }
            Check::Absent(name) => target.get(name).is_none(),
        }
    }
}

impl Template {
    /// The text with the target's attributes filled in; none when one is missing.
    fn fill<'a>(&'a self, target: &'a Target<'_>) -> Option<Cow<'a, str>> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(Cow::Borrowed(text)),
            [Part::Target(name)] => target.get(name).map(Cow::Borrowed),
            parts => {
                let mut filled = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => filled.push_str(text),
                        Part::Target(name) => filled.push_str(target.get(name)?),
                    }
                }
                Some(Cow::Owned(filled))
            }
        }
    }
}
