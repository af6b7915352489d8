//! JSON Schema (2020-12) as far as OpenStack's OpenAPI documents use it, `format` asserted. Knows no document;
//! a word that it does not know is refused, never passed over.

use base::{Map, Set};
use regex::Regex;
use serde_json::Value;

/// Words that say nothing about what is valid.
const SILENT: &[&str] = &[
    "$schema",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "x-openstack",
    "readOnly",
    "writeOnly",
    "deprecated",
    "summary",
    "discriminator",
    "name",
    "is_body",
    // Where others refer to, and words on other operations.
    "definitions",
    "links",
    // Read with `if`.
    "then",
];

/// Checks values against schemas of one document; remembers compiled patterns.
#[derive(Default)]
pub struct Checker {
    patterns: Map<String, Regex>,
    /// Words that were not understood.
    pub unknown: Set<String>,
}

impl Checker {
    /// Why the value does not fit; nothing when it does. `at` is where it is, for the message.
    pub fn check(
        &mut self,
        document: &Value,
        schema: &Value,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let schema = match schema {
            Value::Bool(true) => return Vec::new(),
            Value::Bool(false) => return vec![format!("{at}: nothing is allowed here")],
            Value::Object(schema) => schema,
            other => panic!("{other} is no schema"),
        };
        let mut wrong = Vec::new();
        for (word, wish) in schema {
            let complaint = match word.as_str() {
                "$ref" => {
                    let target = resolve(document, wish);
                    wrong.extend(self.check(document, target, value, at));
                    None
                }
                "type" => {
                    let fine = match wish {
                        Value::Array(names) => names.iter().any(|name| is_a(value, name)),
                        name => is_a(value, name),
                    };
                    (!fine).then(|| format!("is no {wish}"))
                }
                "enum" => {
                    let all = wish.as_array().expect("enum");
                    (!all.iter().any(|one| equal(one, value))).then(|| format!("is none of {wish}"))
                }
                "const" => (!equal(wish, value)).then(|| format!("is not {wish}")),
                "not" => {
                    self.check(document, wish, value, at).is_empty().then(|| format!("fits {wish}"))
                }
                "if" => {
                    if self.check(document, wish, value, at).is_empty()
                        && let Some(then) = schema.get("then")
                    {
                        wrong.extend(self.check(document, then, value, at));
                    }
                    None
                }
                "allOf" => {
                    for one in wish.as_array().expect("allOf") {
                        wrong.extend(self.check(document, one, value, at));
                    }
                    None
                }
                "anyOf" | "oneOf" => {
                    let all = wish.as_array().expect("alternatives");
                    let complaints: Vec<_> =
                        all.iter().map(|one| self.check(document, one, value, at)).collect();
                    let fit = complaints.iter().filter(|wrong| wrong.is_empty()).count();
                    match fit {
                        0 => {
                            let why: Vec<_> = complaints.into_iter().flatten().take(6).collect();
                            Some(format!("fits no alternative ({})", why.join("; ")))
                        }
                        1 => None,
                        _ if word == "oneOf" => Some(format!("fits {fit} alternatives at once")),
                        _ => None,
                    }
                }
                _ => match value {
                    Value::Object(_) if OBJECT.contains(&&**word) => {
                        self.object(document, schema, word, wish, value, at, &mut wrong)
                    }
                    Value::Array(items) if ARRAY.contains(&&**word) => {
                        self.array(document, word, wish, items, at, &mut wrong)
                    }
                    Value::String(text) if TEXT.contains(&&**word) => self.text(word, wish, text),
                    Value::Number(_) if NUMBER.contains(&&**word) => number(word, wish, value),
                    _ if [OBJECT, ARRAY, TEXT, NUMBER, SILENT]
                        .iter()
                        .any(|w| w.contains(&&**word)) =>
                    {
                        None
                    }
                    _ => {
                        self.unknown.insert(word.clone());
                        None
                    }
                },
            };
            wrong.extend(complaint.map(|complaint| format!("{at}: {} {complaint}", short(value))));
        }
        wrong
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one word of one schema, with all that it may look at"
    )]
    fn object(
        &mut self,
        document: &Value,
        schema: &serde_json::Map<String, Value>,
        word: &str,
        wish: &Value,
        value: &Value,
        at: &str,
        wrong: &mut Vec<String>,
    ) -> Option<String> {
        let map = value.as_object().expect("an object");
        match word {
            "properties" => {
                for (key, schema) in wish.as_object().expect("properties") {
                    if let Some(value) = map.get(key) {
                        wrong.extend(self.check(document, schema, value, &format!("{at}/{key}")));
                    }
                }
                None
            }
            "required" => {
                let keys = wish.as_array().expect("required");
                let missing =
                    keys.iter().find(|key| !map.contains_key(key.as_str().expect("a key")))?;
                Some(format!("lacks {missing}"))
            }
            "patternProperties" => {
                for (pattern, schema) in wish.as_object().expect("patternProperties") {
                    for (key, value) in map {
                        if self.matches(pattern, key) {
                            wrong.extend(self.check(
                                document,
                                schema,
                                value,
                                &format!("{at}/{key}"),
                            ));
                        }
                    }
                }
                None
            }
            "additionalProperties" => {
                let named = schema.get("properties").and_then(Value::as_object);
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                for (key, value) in map {
                    let known = named.is_some_and(|named| named.contains_key(key))
                        || patterns.is_some_and(|all| all.keys().any(|one| self.matches(one, key)));
                    if known {
                        continue;
                    }
                    if wish == &Value::Bool(false) {
                        wrong.push(format!("{at}: {key} is not known"));
                    } else {
                        wrong.extend(self.check(document, wish, value, &format!("{at}/{key}")));
                    }
                }
                None
            }
            "propertyNames" => {
                for key in map.keys() {
                    wrong.extend(self.check(document, wish, &key.as_str().into(), at));
                }
                None
            }
            "minProperties" => {
                ((map.len() as u64) < wish.as_u64()?).then(|| format!("has less than {wish} keys"))
            }
            "maxProperties" => {
                (map.len() as u64 > wish.as_u64()?).then(|| format!("has more than {wish} keys"))
            }
            _ => None,
        }
    }

    fn array(
        &mut self,
        document: &Value,
        word: &str,
        wish: &Value,
        items: &[Value],
        at: &str,
        wrong: &mut Vec<String>,
    ) -> Option<String> {
        match word {
            "items" => {
                for item in items {
                    wrong.extend(self.check(document, wish, item, &format!("{at}/*")));
                }
                None
            }
            "prefixItems" => {
                for (item, wish) in items.iter().zip(wish.as_array().expect("prefixItems")) {
                    wrong.extend(self.check(document, wish, item, &format!("{at}/*")));
                }
                None
            }
            "minItems" => ((items.len() as u64) < wish.as_u64()?)
                .then(|| format!("has less than {wish} items")),
            "maxItems" => {
                (items.len() as u64 > wish.as_u64()?).then(|| format!("has more than {wish} items"))
            }
            "uniqueItems" if wish == &Value::Bool(true) => {
                let twice = |n: usize| items[..n].iter().any(|item| equal(item, &items[n]));
                (0..items.len()).any(twice).then(|| "has an item twice".to_owned())
            }
            _ => None,
        }
    }

    fn text(&mut self, word: &str, wish: &Value, text: &str) -> Option<String> {
        let length = text.chars().count() as u64;
        let fine = match word {
            "minLength" => length >= wish.as_u64()?,
            "maxLength" => length <= wish.as_u64()?,
            "pattern" => self.matches(wish.as_str()?, text),
            "format" => self.format(wish.as_str()?, text),
            _ => true,
        };
        (!fine).then(|| format!("has not the {word} {wish}"))
    }

    fn format(&mut self, name: &str, text: &str) -> bool {
        match name {
            "uuid" => uuid::Uuid::parse_str(text).is_ok(),
            "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
            "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
            "date-time" => self
                .matches(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?$", text),
            "date" => self.matches(r"^\d{4}-\d\d-\d\d$", text),
            "uri" => self.matches(r"^[A-Za-z][A-Za-z0-9+.-]*:", text),
            "regex" => Regex::new(text).is_ok(),
            "hostname" => {
                self.matches(r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", text)
                    && text.len() <= 253
            }
            "email" => text.contains('@'),
            "base64" | "byte" => {
                text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=\n\r".contains(&b))
            }
            // Of other things than texts, or of no form that could be checked.
            "password" | "int32" | "int64" | "name" | "float" | "binary" => true,
            // Nova's own: printable, with something besides spaces, and which may stand around it.
            "az_name" | "name_with_leading_trailing_spaces" => {
                !text.trim().is_empty() && !text.chars().any(char::is_control)
            }
            other => {
                self.unknown.insert(format!("format {other}"));
                true
            }
        }
    }

    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        if let Some(regex) = self.patterns.get(pattern) {
            return regex.is_match(text);
        }
        // The one with look-around: no spaces at its ends.
        if pattern == r"^(?! )[a-zA-Z0-9. _-]+(?<! )$" {
            return text.trim() == text && self.matches(r"^[a-zA-Z0-9. _-]+$", text);
        }
        // Python's end of text; a brace that stands for itself.
        let translated = pattern.replace("\\Z", "\\z").replace("(?!", "(?:\\x00NEVER");
        match Regex::new(&translated) {
            Ok(regex) if !pattern.contains("(?!") => {
                let fine = regex.is_match(text);
                self.patterns.insert(pattern.to_owned(), regex);
                fine
            }
            _ => {
                self.unknown.insert(format!("pattern {pattern}"));
                true
            }
        }
    }
}

const OBJECT: &[&str] = &[
    "properties",
    "required",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
];
const ARRAY: &[&str] = &["items", "prefixItems", "minItems", "maxItems", "uniqueItems"];
const TEXT: &[&str] = &["minLength", "maxLength", "pattern", "format"];
const NUMBER: &[&str] =
    &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// What a `$ref` points to.
pub fn resolve<'d>(document: &'d Value, reference: &Value) -> &'d Value {
    let pointer =
        reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference inside");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} points nowhere"))
}

fn number(word: &str, wish: &Value, value: &Value) -> Option<String> {
    let (value, limit) = (value.as_f64()?, wish.as_f64()?);
    let fine = match word {
        "minimum" => value >= limit,
        "maximum" => value <= limit,
        "exclusiveMinimum" => value > limit,
        "exclusiveMaximum" => value < limit,
        _ => (value / limit).fract() == 0.0,
    };
    (!fine).then(|| format!("is beyond {word} {wish}"))
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        other => panic!("{other} is no type"),
    }
}

/// Equal as JSON Schema has it: 1 and 1.0 are.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < f64::EPSILON,
        _ => a == b,
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let cut = text.floor_char_boundary(80);
    if cut < text.len() { format!("{}…", &text[..cut]) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Checker;

    /// Schema, what fits, what does not.
    fn cases() -> Vec<(Value, Vec<Value>, Vec<Value>)> {
        let ip = json!({"oneOf": [{"format": "ipv4"}, {"format": "ipv6"}], "type": "string"});
        vec![
            (
                json!({"type": "integer"}),
                vec![json!(1), json!(1.0)],
                vec![json!(1.5), json!("1"), json!(true)],
            ),
            (json!({"type": ["string", "null"]}), vec![json!(""), Value::Null], vec![json!(1)]),
            (
                json!({"enum": [1, "a"]}),
                vec![json!(1.0), json!("a")],
                vec![json!("b"), json!(true)],
            ),
            (ip, vec![json!("1.2.3.4"), json!("::1")], vec![json!("x"), json!("1.2.3.4.5")]),
            (
                json!({"minLength": 2, "maxLength": 2}),
                vec![json!("äö"), json!(5)],
                vec![json!("a"), json!("abc")],
            ),
            (
                json!({"minimum": 1, "exclusiveMaximum": 2}),
                vec![json!(1)],
                vec![json!(0), json!(2)],
            ),
            (json!({"uniqueItems": true}), vec![json!([1, 2])], vec![json!([1, 1.0])]),
            (
                json!({"items": {"type": "null"}, "minItems": 1}),
                vec![json!([null])],
                vec![json!([]), json!([1])],
            ),
            (
                json!({"properties": {"a": {"type": "string"}}, "patternProperties": {"^x-": {"type": "integer"}},
                       "additionalProperties": false, "required": ["a"]}),
                vec![json!({"a": "", "x-b": 1}), json!([])],
                vec![
                    json!({"a": 1}),
                    json!({"a": "", "x-b": ""}),
                    json!({"a": "", "b": 1}),
                    json!({}),
                ],
            ),
            (json!({"not": {"type": "string"}}), vec![json!(1)], vec![json!("")]),
            (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), vec![json!(2)], vec![json!(3)]),
            (
                json!({"anyOf": [{"minimum": 5}, {"type": "string"}]}),
                vec![json!(5), json!("")],
                vec![json!(4)],
            ),
            (
                json!({"oneOf": [{"minimum": 5}, {"minimum": 7}]}),
                vec![json!(5)],
                vec![json!(8), json!(1)],
            ),
            (json!({"$ref": "#/five"}), vec![json!(5)], vec![json!(6)]),
            (json!({"pattern": "^[a-z]+$"}), vec![json!("abc")], vec![json!("A")]),
        ]
    }

    #[test]
    fn schemas_mean_what_they_say() {
        let document = json!({"five": {"const": 5}});
        let mut checker = Checker::default();
        for (schema, good, bad) in cases() {
            for value in good {
                assert_eq!(
                    checker.check(&document, &schema, &value, ""),
                    Vec::<String>::new(),
                    "{schema}"
                );
            }
            for value in bad {
                assert!(
                    !checker.check(&document, &schema, &value, "").is_empty(),
                    "{schema} takes {value}"
                );
            }
        }
        assert!(checker.unknown.is_empty());
        checker.check(&document, &json!({"magic": 1, "format": "moon"}), &json!("x"), "");
        assert_eq!(checker.unknown.len(), 2);
    }
}
