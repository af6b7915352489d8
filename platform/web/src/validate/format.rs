//! Forms of texts, and regular expressions compiled once.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{LazyLock, PoisonError, RwLock},
};

use base::{Map, Timestamp};
use regex::Regex;

/// A form that a text must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Printable, no white space at its ends. The empty text is left to the length.
    Name,
    /// A name without `:` (Nova's availability zones and hosts).
    AzName,
    /// A UUID, with or without dashes.
    Uuid,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A network: `10.0.0.0/8`.
    Cidr,
    /// Text with a scheme: `http://…`.
    Uri,
    /// ISO 8601.
    DateTime,
    /// Base64.
    Base64,
}

impl Format {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Name => "name",
            Format::AzName => "az_name",
            Format::Uuid => "uuid",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Cidr => "cidr",
            Format::Uri => "uri",
            Format::DateTime => "date-time",
            Format::Base64 => "base64",
        }
    }

    /// The rule that a name breaks, when the service says that instead of the usual sentence.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Format::Name => Some("printable characters. Can not start or end with whitespace."),
            Format::AzName => {
                Some("printable characters except :.Can not start or end with whitespace.")
            }
            _ => None,
        }
    }

    /// Whether the text has it.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Format::Name => is_name(text),
            Format::AzName => is_name(text) && !text.contains(':'),
            Format::Uuid => is_uuid(text),
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Cidr => is_cidr(text),
            Format::Uri => is_uri(text),
            Format::DateTime => Timestamp::parse(text).is_some(),
            Format::Base64 => is_base64(text),
        }
    }
}

fn is_name(text: &str) -> bool {
    // Letters, marks, numbers, punctuation, symbols, spaces: what Unicode prints.
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]*$").ok());
    let ends = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    let ascii = text.bytes().all(|b| matches!(b, 0x20..=0x7e));
    !ends && (ascii || PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(text)))
}

/// Whether the text is a UUID as oslo sees it: case, dashes, braces and `urn:uuid:` do not matter.
pub(crate) fn is_uuid(text: &str) -> bool {
    let text = text.trim_start_matches("urn:").trim_start_matches("uuid:");
    let text = text.trim_matches(|c| matches!(c, '{' | '}'));
    let mut digits = 0;
    for byte in text.bytes() {
        match byte {
            b'-' => {}
            byte if byte.is_ascii_hexdigit() => digits += 1,
            _ => return false,
        }
    }
    digits == 32
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let Ok(length) = length.parse::<u8>() else { return false };
    plain
        && ((address.parse::<Ipv4Addr>().is_ok() && length <= 32)
            || (address.parse::<Ipv6Addr>().is_ok() && length <= 128))
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_base64(text: &str) -> bool {
    // Line breaks are allowed, as in the output of `base64`.
    let mut length = 0_usize;
    let mut padding = 0;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        length += 1;
        match byte {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    length.is_multiple_of(4) && padding <= 2
}

/// Whether the expression is found in the text. Compiled at its first use; one that cannot be compiled matches
/// nothing, which the first test of its schema shows.
pub(super) fn matches(pattern: &'static str, text: &str) -> bool {
    static COMPILED: RwLock<Map<&'static str, Option<Regex>>> = RwLock::new(Map::new());
    if let Some(regex) = COMPILED.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return regex.as_ref().is_some_and(|regex| regex.is_match(text));
    }
    let regex = Regex::new(pattern);
    if let Err(error) = &regex {
        tracing::error!(pattern, "a pattern of a schema cannot be compiled: {error}");
        debug_assert!(false, "{pattern}: {error}");
    }
    let regex = regex.ok();
    let found = regex.as_ref().is_some_and(|regex| regex.is_match(text));
    COMPILED.write().unwrap_or_else(PoisonError::into_inner).insert(pattern, regex);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let cases: &[(Format, &[&str], &[&str])] = &[
            (
                Format::Name,
                &["a", "a b", "ü", "名前", "a:b", "é\u{301}"],
                &[" a", "a ", "a\nb", "\u{200b}", "a\u{0}"],
            ),
            (Format::AzName, &["nova", ""], &["a:b"]),
            (
                Format::Uuid,
                &["b5a1c6f0-9f3f-4d6d-8a3e-0d6f7d1d0a11", "B5A1C6F09F3F4D6D8A3E0D6F7D1D0A11"],
                &[
                    "",
                    "b5a1",
                    "g5a1c6f0-9f3f-4d6d-8a3e-0d6f7d1d0a11",
                    "b5a1c6f09f3f4d6d8a3e0d6f7d1d0a111",
                ],
            ),
            (Format::Ipv4, &["10.0.0.1"], &["10.0.0", "::1", "256.1.1.1"]),
            (Format::Ipv6, &["::1", "fe80::1"], &["1.2.3.4", "x"]),
            (
                Format::Cidr,
                &["10.0.0.0/8", "::/0"],
                &["10.0.0.0", "10.0.0.0/33", "::/129", "1.2.3.4/+8"],
            ),
            (Format::Uri, &["http://x/y", "urn:a"], &["x", ":x", "http://a b", "1a:b"]),
            (Format::DateTime, &["2026-01-01T00:00:00Z"], &["today"]),
            (Format::Base64, &["", "YQ==", "YWJj\nYWJj"], &["YQ=", "Y===", "a b!", "YQ==YQ=="]),
        ];
        for (format, good, bad) in cases {
            for text in *good {
                assert!(format.fits(text), "{format:?} {text:?}");
            }
            for text in *bad {
                assert!(!format.fits(text), "{format:?} {text:?}");
            }
        }
    }
}
