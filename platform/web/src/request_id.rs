//! Request ids: ours for each request, and the client's own that spans services.

use std::sync::Arc;

use base::World;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");
const COMPUTE: HeaderName = HeaderName::from_static("x-compute-request-id");

/// A new one.
pub(crate) fn new(world: &World) -> Arc<str> {
    let mut text = [0; 40];
    text[..4].copy_from_slice(b"req-");
    world.uuid().hyphenated().encode_lower(&mut text[4..]);
    std::str::from_utf8(&text).unwrap_or("req-").into()
}

/// The client's own, when it is well-formed; anything else is ignored, since it goes into logs.
pub(crate) fn global(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let id = text.strip_prefix("req-")?;
    let dashed = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    dashed.then(|| text.into())
}

/// Puts ours on a response.
pub(crate) fn stamp(headers: &mut HeaderMap, id: &str, compute: bool) {
    if let Ok(value) = HeaderValue::from_str(id) {
        if compute {
            headers.insert(COMPUTE, value.clone());
        }
        headers.insert(HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_well_formed_ones() {
        let global = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(text).expect("value"));
            global(&headers).is_some()
        };
        assert!(global("req-3dccb8c4-08fe-4706-a91d-e843b8fe9ed2"));
        assert!(!global("3dccb8c4-08fe-4706-a91d-e843b8fe9ed2"));
        assert!(!global("req-3dccb8c4-08fe-4706-a91d-e843b8fe9ed2x"));
        assert!(!global("req-3DCCB8C4-08fe-4706-a91d-e843b8fe9ed2"));
        assert!(!global("req-3dccb8c4008fe-4706-a91d-e843b8fe9ed2"));
        assert!(!global("req-"));
    }
}
