//! Values as Python writes them, because the services' messages quote them so: `{'name': None}`.

use serde_json::Value;

/// Longer quotations are cut: a message is for people.
const LONGEST: usize = 1024;

/// `repr(value)`.
pub(super) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    cut(out)
}

/// `str(value)`: the same, but a text without quotes.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text.clone()),
        other => repr(other),
    }
}

/// `repr(text)`.
pub(super) fn repr_text(text: &str) -> String {
    let mut out = String::new();
    write_text(text, &mut out);
    cut(out)
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn write(value: &Value, out: &mut String) {
    // What will be cut off need not be written.
    if out.len() > LONGEST {
        return;
    }
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (n, (name, value)) in map.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write_text(name, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    if out.len() > LONGEST {
        return;
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars().take(LONGEST) {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02x}"),
                code => format!("\\u{code:04x}"),
            }),
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotes_like_python() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(5), "5"),
            (json!(1.5), "1.5"),
            (json!("a"), "'a'"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("a\n\u{1}\\"), "'a\\n\\x01\\\\'"),
            (json!([1, "b"]), "[1, 'b']"),
            (json!({"b": false, "a": {}}), "{'b': False, 'a': {}}"),
        ] {
            assert_eq!(repr(&value), expected);
        }
        assert_eq!(text(&json!("a")), "a");
        assert!(repr(&json!("x".repeat(10_000))).len() < 1100);
    }
}
