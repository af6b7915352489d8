//! `everstack config show`: the effective configuration with each value's origin.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Layers;

/// The options, aligned, or as JSON.
pub fn show(layers: &Layers, as_json: bool) -> String {
    if as_json {
        let rows: Vec<_> = layers
            .iter()
            .map(|(key, value, origin)| json!({"option": key, "value": value, "origin": origin.to_string()}))
            .collect();
        return format!("{:#}\n", Value::Array(rows));
    }
    let rows: Vec<_> = layers
        .iter()
        .map(|(key, value, origin)| {
            let value = if value.is_null() { "(unset)".to_owned() } else { value.to_string() };
            (key, value, origin.to_string())
        })
        .collect();
    let width = |f: fn(&(&str, String, String)) -> usize| rows.iter().map(f).max().unwrap_or(0);
    let (keys, values) = (width(|row| row.0.len()), width(|row| row.1.len()));
    let mut text = String::new();
    for (key, value, origin) in &rows {
        // Writing to a String cannot fail.
        let _never = writeln!(text, "{key:keys$}  {value:values$}  {origin}");
    }
    text
}
