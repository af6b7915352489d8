//! The little language of extra specs: `>= 4`, `s== x86_64`, `<in> avx`, `<or> a <or> b`, or plain text.

/// Whether a value is what an extra spec asks for.
pub(super) fn matches(value: &str, wanted: &str) -> bool {
    let mut words = wanted.split_whitespace();
    let Some(operator) = words.next() else { return value == wanted };
    let operand = words.next();
    match operator {
        "=" | ">=" => numbers(value, operand, |a, b| a >= b),
        "==" => numbers(value, operand, |a, b| a == b),
        "!=" => numbers(value, operand, |a, b| a != b),
        "<=" => numbers(value, operand, |a, b| a <= b),
        "s==" => operand.is_some_and(|operand| value == operand),
        "s!=" => operand.is_some_and(|operand| value != operand),
        "s<" => operand.is_some_and(|operand| value < operand),
        "s<=" => operand.is_some_and(|operand| value <= operand),
        "s>" => operand.is_some_and(|operand| value > operand),
        "s>=" => operand.is_some_and(|operand| value >= operand),
        "<in>" => operand.is_some_and(|operand| value.contains(operand)),
        "<all-in>" => operand.into_iter().chain(words).all(|operand| value.contains(operand)),
        "<or>" => operand
            .into_iter()
            .chain(words)
            .filter(|word| *word != "<or>")
            .any(|alternative| alternative == value),
        _ => value == wanted,
    }
}

fn numbers(value: &str, operand: Option<&str>, holds: fn(f64, f64) -> bool) -> bool {
    match (value.trim().parse(), operand.map(str::parse)) {
        (Ok(value), Some(Ok(operand))) => holds(value, operand),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        for (value, wanted, holds) in [
            ("4", ">= 3", true),
            ("4", "= 5", false),
            ("4", "<= 4", true),
            ("4", "== 4.0", true),
            ("x", "== 4", false),
            ("4", ">=", false),
            ("x86_64", "s== x86_64", true),
            ("x86_64", "s!= x86_64", false),
            ("abc", "s< abd", true),
            ("sse avx", "<in> avx", true),
            ("sse avx", "<all-in> avx sse", true),
            ("sse avx", "<all-in> avx neon", false),
            ("b", "<or> a <or> b", true),
            ("c", "<or> a <or> b", false),
            ("true", "true", true),
            ("true", "false", false),
            ("a b", "a b", true),
            ("", "", true),
        ] {
            assert_eq!(matches(value, wanted), holds, "{value:?} {wanted:?}");
        }
    }
}
