//! Walks a value along a schema. The order of checks is jsonschema's for schemas as Nova writes them: type,
//! the value's own rules, properties in the schema's order, missing ones, unknown ones.

use std::fmt;

use base::Set;
use serde_json::{Map, Value};

use super::{
    Additional, Literal, Schema,
    format::matches,
    python::{repr, repr_text},
    schema::Types,
};
use crate::Microversion;

/// A step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => index.fmt(f),
        }
    }
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Failure {
    /// From the outside in.
    pub(super) path: Vec<Step>,
    pub(super) message: String,
    /// A sentence that stands alone, without the path.
    pub(super) instead: Option<String>,
    pub(super) value: Value,
}

impl Failure {
    fn new(value: &Value, message: String) -> Box<Failure> {
        Box::new(Failure { path: Vec::new(), message, instead: None, value: value.clone() })
    }

    fn inside(mut self: Box<Self>, step: Step) -> Box<Failure> {
        // Innermost first while it rises; turned round at the top.
        self.path.push(step);
        self
    }
}

pub(super) fn check(
    schema: &Schema,
    value: &Value,
    version: Microversion,
) -> Result<(), Box<Failure>> {
    walk(schema, value, version).map_err(|mut failure| {
        failure.path.reverse();
        failure
    })
}

fn walk(schema: &Schema, value: &Value, version: Microversion) -> Result<(), Box<Failure>> {
    let kind = type_of(value);
    let types = schema.types.0;
    if types != 0 && types & kind == 0 {
        return Err(Failure::new(value, wrong_type(value, types)));
    }
    if !schema.any_of.is_empty()
        && !schema.any_of.iter().any(|choice| walk(choice, value, version).is_ok())
    {
        let message = format!("{} is not valid under any of the given schemas", repr(value));
        return Err(Failure::new(value, message));
    }
    if value.is_null() && types & Types::NULL != 0 {
        return Ok(());
    }
    if !schema.literals.is_empty() && !schema.literals.iter().any(|literal| literal.is(value)) {
        let all: Vec<String> = schema.literals.iter().map(|literal| literal.repr()).collect();
        let message = format!("{} is not one of [{}]", repr(value), all.join(", "));
        return Err(Failure::new(value, message));
    }
    match value {
        Value::String(text) => string(schema, value, text),
        Value::Number(number) => match number.as_i64() {
            Some(number) => range(schema, value, i128::from(number), &number.to_string()),
            None => match number.as_u64() {
                Some(number) => range(schema, value, i128::from(number), &number.to_string()),
                None => float(schema, value, number.as_f64().unwrap_or(f64::NAN)),
            },
        },
        Value::Array(items) => array(schema, value, items, version),
        Value::Object(map) => object(schema, value, map, version),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => Types::NULL,
        Value::Bool(_) => Types::BOOLEAN,
        // As JSON Schema has it since 2019: 2.0 is an integer.
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() != 0.0) => Types::NUMBER,
        Value::Number(_) => Types::NUMBER | Types::INTEGER,
        Value::String(_) => Types::STRING,
        Value::Array(_) => Types::ARRAY,
        Value::Object(_) => Types::OBJECT,
    }
}

fn wrong_type(value: &Value, types: u8) -> String {
    let names: Vec<String> = Types::NAMES
        .iter()
        .filter(|(bit, _)| types & bit != 0)
        .map(|(_, name)| format!("'{name}'"))
        .collect();
    format!("{} is not of type {}", repr(value), names.join(", "))
}

impl Literal {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Literal::Text(a), Value::String(b)) => a == b,
            (Literal::Integer(a), Value::Number(b)) => b.as_i64() == Some(*a),
            (Literal::Boolean(a), Value::Bool(b)) => a == b,
            (Literal::Null, Value::Null) => true,
            _ => false,
        }
    }

    fn repr(&self) -> String {
        match self {
            Literal::Text(text) => repr_text(text),
            Literal::Integer(number) => number.to_string(),
            Literal::Boolean(true) => "True".into(),
            Literal::Boolean(false) => "False".into(),
            Literal::Null => "None".into(),
        }
    }
}

fn string(schema: &Schema, value: &Value, text: &str) -> Result<(), Box<Failure>> {
    let fail = |why: String| Err(Failure::new(value, format!("{} {why}", repr(value))));
    // Bytes bound characters from above, so that most texts need no counting.
    if text.len() < schema.min_len || (schema.min_len > 0 && text.chars().count() < schema.min_len)
    {
        return fail(
            if schema.min_len == 1 { "should be non-empty" } else { "is too short" }.into(),
        );
    }
    if text.len() > schema.max_len && text.chars().count() > schema.max_len {
        return fail("is too long".into());
    }
    if let Some(pattern) = schema.pattern
        && !matches(pattern, text)
    {
        return fail(format!("does not match {}", repr_text(pattern)));
    }
    if let Some(format) = schema.format
        && !format.fits(text)
    {
        let mut failure =
            Failure::new(value, format!("{} is not a '{}'", repr(value), format.name()));
        failure.instead = format.reason().map(|reason| {
            format!("An invalid 'name' value was provided. The name must be: {reason}")
        });
        return Err(failure);
    }
    if schema.types.0 & Types::INTEGER != 0 && (schema.min.is_some() || schema.max.is_some()) {
        // A number that does not fit is beyond every bound.
        let number = text.parse::<i128>().unwrap_or(if text.starts_with('-') {
            i128::MIN
        } else {
            i128::MAX
        });
        range(schema, value, number, text)?;
    }
    Ok(())
}

fn range(schema: &Schema, value: &Value, number: i128, shown: &str) -> Result<(), Box<Failure>> {
    if let Some(min) = schema.min
        && number < i128::from(min)
    {
        return Err(Failure::new(value, format!("{shown} is less than the minimum of {min}")));
    }
    if let Some(max) = schema.max
        && number > i128::from(max)
    {
        return Err(Failure::new(value, format!("{shown} is greater than the maximum of {max}")));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bounds of fractions are small numbers")]
fn float(schema: &Schema, value: &Value, number: f64) -> Result<(), Box<Failure>> {
    if let Some(min) = schema.min
        && number < min as f64
    {
        let message = format!("{} is less than the minimum of {min}", repr(value));
        return Err(Failure::new(value, message));
    }
    if let Some(max) = schema.max
        && number > max as f64
    {
        let message = format!("{} is greater than the maximum of {max}", repr(value));
        return Err(Failure::new(value, message));
    }
    Ok(())
}

fn array(
    schema: &Schema,
    value: &Value,
    items: &[Value],
    version: Microversion,
) -> Result<(), Box<Failure>> {
    if let Some(each) = schema.items {
        for (index, item) in items.iter().enumerate() {
            walk(each, item, version).map_err(|failure| failure.inside(Step::Index(index)))?;
        }
    }
    let fail = |why: &str| Err(Failure::new(value, format!("{} {why}", repr(value))));
    if items.len() < schema.min_len {
        return fail(if schema.min_len == 1 { "should be non-empty" } else { "is too short" });
    }
    if items.len() > schema.max_len {
        return fail(if schema.max_len == 0 { "is expected to be empty" } else { "is too long" });
    }
    if schema.unique {
        let mut seen = Set::new();
        if !items.iter().all(|item| seen.insert(item.to_string())) {
            return fail("has non-unique elements");
        }
    }
    Ok(())
}

fn object(
    schema: &Schema,
    value: &Value,
    map: &Map<String, Value>,
    version: Microversion,
) -> Result<(), Box<Failure>> {
    for prop in schema.props.iter().filter(|prop| prop.holds(version)) {
        if let Some(inner) = map.get(prop.name) {
            walk(&prop.schema, inner, version)
                .map_err(|failure| failure.inside(Step::Name(prop.name.to_owned())))?;
        }
    }
    for prop in schema.props.iter().filter(|prop| prop.required && prop.holds(version)) {
        if !map.contains_key(prop.name) {
            let message = format!("'{}' is a required property", prop.name);
            return Err(Failure::new(value, message));
        }
    }
    others(schema, value, map, version)?;
    if map.len() < schema.min_len {
        let why = if schema.min_len == 1 {
            "should be non-empty"
        } else {
            "does not have enough properties"
        };
        return Err(Failure::new(value, format!("{} {why}", repr(value))));
    }
    if map.len() > schema.max_len {
        let message = format!("{} has too many properties", repr(value));
        return Err(Failure::new(value, message));
    }
    Ok(())
}

/// Names that no property of this microversion has.
fn others(
    schema: &Schema,
    value: &Value,
    map: &Map<String, Value>,
    version: Microversion,
) -> Result<(), Box<Failure>> {
    let known =
        |name: &str| schema.props.iter().any(|prop| prop.name == name && prop.holds(version));
    let matching = match schema.additional {
        Additional::Allowed => return Ok(()),
        Additional::AllowedUntil(end) if version < end => return Ok(()),
        Additional::Refused | Additional::AllowedUntil(_) => None,
        Additional::Matching(pattern, each) => Some((pattern, each)),
    };
    let mut extras = Vec::new();
    for (name, inner) in map.iter().filter(|(name, _)| !known(name)) {
        match matching {
            Some((pattern, each)) if matches(pattern, name) => {
                walk(each, inner, version)
                    .map_err(|failure| failure.inside(Step::Name(name.clone())))?;
            }
            _ => extras.push(name.as_str()),
        }
    }
    if extras.is_empty() {
        return Ok(());
    }
    extras.sort_unstable();
    let one = extras.len() == 1;
    let shown: Vec<String> = extras.into_iter().take(20).map(repr_text).collect();
    let shown = shown.join(", ");
    Err(Failure::new(
        value,
        match matching {
            Some((pattern, _)) => format!(
                "{shown} {} not match any of the regexes: {}",
                if one { "does" } else { "do" },
                repr_text(pattern)
            ),
            None => format!(
                "Additional properties are not allowed ({shown} {} unexpected)",
                if one { "was" } else { "were" }
            ),
        },
    ))
}
