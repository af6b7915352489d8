//! The policy file: `"name": "rule"` lines, as YAML or JSON. Only that much of YAML is understood, and
//! everything else is refused, because a rule that is read otherwise than meant opens a door.

use base::{Error, Map, Result};

/// Rules that replace defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Map<String, String>);

impl Overrides {
    /// Reads a policy file: a JSON object of texts, or YAML lines `"name": "rule"` with `#` remarks.
    pub fn parse(text: &str) -> Result<Overrides> {
        if text.trim_start().starts_with('{') {
            let rules = serde_json::from_str::<Map<String, String>>(text).map_err(|error| {
                Error::bad_request(format!("the policy file is no JSON object of texts: {error}"))
            })?;
            return Ok(Overrides(rules));
        }
        let mut rules = Map::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |why: &str| {
                Error::bad_request(format!("line {} of the policy file: {why}", number + 1))
            };
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with('#') || bare == "---" || bare == "{}" {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                return Err(wrong("a rule stands on one line and is not indented"));
            }
            let (name, rest) = scalar(bare, true).map_err(wrong)?;
            let rest =
                rest.trim_start().strip_prefix(':').ok_or_else(|| wrong("it has no colon"))?;
            if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
                return Err(wrong("a blank stands after the colon"));
            }
            let (rule, rest) = scalar(rest.trim(), false).map_err(wrong)?;
            let rest = rest.trim_start();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(wrong("there is something after the rule"));
            }
            if rules.insert(name, rule).is_some() {
                return Err(wrong("this policy was named before"));
            }
        }
        Ok(Overrides(rules))
    }

    /// Replaces one rule.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, rule: impl Into<String>) -> Overrides {
        self.0.insert(name.into(), rule.into());
        self
    }

    /// Names and rules.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, rule)| (name.as_str(), rule.as_str()))
    }
}

/// A quoted or plain scalar and what follows it.
fn scalar(text: &str, key: bool) -> Result<(String, &str), &'static str> {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, '"')) => {
            let mut value = String::new();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => return Ok((value, &text[at + 1..])),
                    '\\' => match chars.next() {
                        Some((_, c @ ('"' | '\\' | '/'))) => value.push(c),
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, 't')) => value.push('\t'),
                        _ => return Err("an escape is not understood"),
                    },
                    c => value.push(c),
                }
            }
            Err("a quote has no end on this line")
        }
        Some((_, '\'')) => {
            let mut value = String::new();
            while let Some((at, c)) = chars.next() {
                if c != '\'' {
                    value.push(c);
                } else if text[at + 1..].starts_with('\'') {
                    value.push('\'');
                    chars.next();
                } else {
                    return Ok((value, &text[at + 1..]));
                }
            }
            Err("a quote has no end on this line")
        }
        Some((_, '[' | '{' | '|' | '>' | '&' | '*' | '-' | '?' | '%' | '`')) => {
            Err("only plain texts are understood here")
        }
        // Unquoted: a name ends at ": ", a rule at " #".
        Some(_) if key => match text.find(": ").or_else(|| text.strip_suffix(':').map(str::len)) {
            Some(at) => Ok((text[..at].trim_end().to_owned(), &text[at..])),
            None => Err("it has no colon"),
        },
        Some(_) => {
            let end = text.find(" #").unwrap_or(text.len());
            let plain = text[..end].trim_end();
            if plain == "!" || plain == "@" {
                return Err("! and @ must be quoted");
            }
            Ok((plain.to_owned(), &text[end..]))
        }
        None => Err("the rule is missing: write \"\" for everybody, \"!\" for nobody"),
    }
}
