//! Layers of values, each with its origin; the last one that names a key wins.

use std::{fmt, path::PathBuf};

use base::{Error, Map, Result};
use serde_json::Value;

use super::Config;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program's own default.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag on the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// Dotted keys with their values and origins.
#[derive(Clone, Debug)]
pub struct Layers {
    values: Map<String, (Value, Origin)>,
}

/// What an environment variable begins with: `EVERSTACK_NODE__QEMU` is `node.qemu`.
pub const PREFIX: &str = "EVERSTACK_";

impl Layers {
    /// The defaults.
    pub fn new(defaults: &Config) -> Layers {
        let mut values = Map::new();
        let tree = serde_json::to_value(defaults).unwrap_or_default();
        flatten("", &tree, &mut |key, value| {
            values.insert(key, (value.clone(), Origin::Default));
        });
        Layers { values }
    }

    /// Adds a TOML file's text.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn file(&mut self, path: PathBuf, text: &str) -> Result<()> {
        let named = |what: String| Error::bad_request(format!("{}: {what}", path.display()));
        let tree: toml::Table = text.parse().map_err(|error| named(format!("{error}")))?;
        let tree = serde_json::to_value(tree).map_err(|error| named(error.to_string()))?;
        let mut found = Vec::new();
        flatten("", &tree, &mut |key, value| found.push((key, value.clone())));
        for (key, value) in found {
            self.set(&key, value, Origin::File(path.clone()))?;
        }
        Ok(())
    }

    /// Adds the environment's variables that are named as options.
    ///
    /// # Errors
    /// Names a variable that is no option.
    pub fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<()> {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            // Said to tests that may start real machines, and handed down by them.
            if rest == "REAL" {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            self.set(&key, from_text(&text), Origin::Environment(name.clone()))?;
        }
        Ok(())
    }

    /// Adds a flag's value.
    ///
    /// # Errors
    /// When the key is no option.
    pub fn flag(&mut self, flag: &str, key: &str, value: Value) -> Result<()> {
        self.set(key, value, Origin::Flag(flag.to_owned()))
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<()> {
        match self.values.get_mut(key) {
            Some(place) => {
                *place = (value, origin);
                Ok(())
            }
            None => Err(Error::bad_request(format!(
                "{origin}: there is no option {key:?}; `everstack config show` lists them"
            ))),
        }
    }

    /// Keys with values and origins, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        self.values.iter().map(|(key, (value, origin))| (key.as_str(), value, origin))
    }

    /// The typed configuration.
    ///
    /// # Errors
    /// Names the option, its origin, and what is wrong with its value.
    pub fn config(&self) -> Result<Config> {
        let build = |values: &mut dyn Iterator<Item = (&str, &Value)>| {
            let mut tree = serde_json::Map::new();
            for (key, value) in values {
                let mut place = &mut tree;
                let mut parts = key.split('.').peekable();
                while let Some(part) = parts.next() {
                    if parts.peek().is_none() {
                        place.insert(part.to_owned(), value.clone());
                        break;
                    }
                    let next =
                        place.entry(part).or_insert_with(|| Value::Object(Default::default()));
                    let Value::Object(next) = next else { break };
                    place = next;
                }
            }
            serde_json::from_value::<Config>(Value::Object(tree))
        };
        let all = build(&mut self.iter().map(|(key, value, _)| (key, value)));
        all.map_err(|error| {
            // One wrong value among good ones: say which.
            for (key, value, origin) in self.iter().filter(|(_, _, o)| **o != Origin::Default) {
                let defaults = Layers { values: self.values.clone() };
                let one = defaults.iter().map(|(k, v, o)| {
                    let v = if k == key || *o == Origin::Default { v } else { &Value::Null };
                    (k, v)
                });
                let mut with = one.filter(|(k, v)| *k == key || !v.is_null());
                if let Err(why) = build(&mut with)
                    && !why.to_string().starts_with("missing field")
                {
                    return Error::bad_request(format!("{origin}: {key} = {value}: {why}"));
                }
            }
            Error::bad_request(format!("the configuration does not fit together: {error}"))
        })
    }
}

fn flatten(prefix: &str, tree: &Value, take: &mut impl FnMut(String, &Value)) {
    let Value::Object(fields) = tree else { return take(prefix.to_owned(), tree) };
    for (name, value) in fields {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flatten(&key, value, take);
    }
}

/// A variable's text as the value that it looks like.
fn from_text(text: &str) -> Value {
    if let Ok(table) = format!("x = {text}").parse::<toml::Table>()
        && let Some(value) = table.get("x")
        && !matches!(value, toml::Value::Datetime(_))
        && let Ok(value) = serde_json::to_value(value)
    {
        return value;
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        Layers::new(&Config::defaults(true, None, String::new()))
    }

    #[test]
    fn the_last_layer_wins_and_is_named() {
        let mut layers = layers();
        layers.file("/etc/e.toml".into(), "[node]\nqemu = \"/a\"\nvcpus = 3").unwrap();
        layers
            .environment(
                [("EVERSTACK_NODE__QEMU".to_owned(), "/b".to_owned()), ("HOME".into(), "/".into())]
                    .into_iter(),
            )
            .unwrap();
        let config = layers.config().unwrap();
        assert_eq!(config.node.qemu, PathBuf::from("/b"));
        assert_eq!(config.node.vcpus, Some(3));
        let origin = layers.iter().find(|(key, ..)| *key == "node.qemu").unwrap().2.to_string();
        assert_eq!(origin, "$EVERSTACK_NODE__QEMU");
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = layers().file("/etc/e.toml".into(), "colour = 1").unwrap_err();
        assert!(error.message().contains("/etc/e.toml: there is no option \"colour\""), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_origin() {
        let mut layers = layers();
        layers.flag("--listen", "listen", Value::String("nowhere".into())).unwrap();
        let error = layers.config().unwrap_err();
        assert!(error.message().starts_with("--listen: listen = \"nowhere\""), "{error}");
    }
}
