//! Disks encrypted by LUKS. What is inside cannot be looked at.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, be16, be32},
};

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let Some(header) = reader.bytes::<592>(0)? else { return Ok(None) };
    if !header.starts_with(b"LUKS\xba\xbe") {
        return Ok(None);
    }
    if be16(&header, 6) != 1 {
        return Ok(Some(Err("only LUKS version 1 is supported".to_owned())));
    }
    let payload = u64::from(be32(&header, 104)) * 512;
    Ok(Some(match reader.length().checked_sub(payload) {
        Some(size) => Ok(size),
        None => Err("its payload is not inside the file".to_owned()),
    }))
}
