//! Which bytes a download asks for.

use std::ops::Range;

use base::{Error, Kind, Result};
use web::Request;

fn unsatisfiable<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::RangeNotSatisfiable, why))
}

/// The part that is asked for, if it is a part; `Content-Range` in a request is an old habit of clients.
pub(super) fn asked(request: &Request, size: u64) -> Result<Option<Range<u64>>> {
    if let Some(range) = request.header("range") {
        return parse_range(range, size).map(Some);
    }
    request.header("content-range").map(|range| parse_content_range(range, size)).transpose()
}

fn parse_range(text: &str, size: u64) -> Result<Range<u64>> {
    if text.contains(',') {
        return Err(Error::bad_request(
            "Requests with multiple ranges are not supported in Glance. You may make multiple \
             single-range requests instead.",
        ));
    }
    let range = text.trim().strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'));
    let Some((start, end)) = range.map(|(start, end)| (start.trim(), end.trim())) else {
        return unsatisfiable("Invalid Range header.");
    };
    let parsed = match (start, end) {
        ("", "") => None,
        ("", last) => number(last).map(|last| size.saturating_sub(last)..size),
        (start, "") => number(start).map(|start| start..size),
        (start, end) => match (number(start), number(end)) {
            (Some(start), Some(end)) if start <= end => {
                Some(start..end.saturating_add(1).min(size))
            }
            _ => None,
        },
    };
    match parsed {
        None => unsatisfiable("Invalid Range header."),
        Some(range) if range.start >= size => unsatisfiable(format!(
            "Invalid start position in Range header. Start position MUST be in the inclusive range \
             [0, {}].",
            size.saturating_sub(1)
        )),
        Some(range) => Ok(range),
    }
}

fn parse_content_range(text: &str, size: u64) -> Result<Range<u64>> {
    let parts = text.trim().strip_prefix("bytes").and_then(|rest| rest.trim().split_once('/'));
    let range = parts.and_then(|(range, _)| range.split_once('-'));
    let bounds = range.and_then(|(start, end)| Some((number(start)?, number(end)?)));
    let Some((start, end)) = bounds.filter(|(start, end)| start <= end) else {
        return unsatisfiable("Invalid Content-Range header.");
    };
    let last = size.saturating_sub(1);
    if start >= size {
        return unsatisfiable(format!(
            "Invalid start position in Content-Range header. Start position MUST be in the inclusive \
             range [0, {last}]."
        ));
    }
    if end >= size {
        return unsatisfiable(format!(
            "Invalid stop position in Content-Range header. The stop position MUST be in the inclusive \
             range [0, {last}]."
        ));
    }
    Ok(start..end + 1)
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-4", Some(0..5)),
            ("bytes=5-", Some(5..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-30", Some(0..10)),
            ("bytes=8-100", Some(8..10)),
            ("bytes=10-", None),
            ("bytes=-0", None),
            ("bytes=4-2", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("bytes=-", None),
            ("bytes=18446744073709551615-18446744073709551615", None),
            ("bytes=0-18446744073709551615", Some(0..10)),
        ] {
            assert_eq!(parse_range(text, 10).ok(), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-1,3-4", 10).unwrap_err().kind(), Kind::BadRequest);
        assert_eq!(parse_range("bytes=0-", 0).unwrap_err().kind(), Kind::RangeNotSatisfiable);
        assert_eq!(parse_content_range("bytes 1-4/*", 10).ok(), Some(1..5));
        assert_eq!(parse_content_range("bytes 1-10/*", 10).ok(), None);
    }
}
