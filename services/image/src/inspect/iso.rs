//! Optical discs: ISO 9660 and UDF.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, le16, le32},
};

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let Some(volume) = reader.bytes::<2048>(32 * 1024)? else { return Ok(None) };
    match volume.get(1..6) {
        Some(b"CD001" | b"NSR02" | b"NSR03") => {}
        _ => return Ok(None),
    }
    // Only a primary volume says its size; and a disc has no more than its file.
    let claimed = u64::from(le32(&volume, 80)) * u64::from(le16(&volume, 128));
    let size = match volume.first() {
        Some(1) if claimed > 0 && claimed <= reader.length() => claimed,
        _ => reader.length(),
    };
    Ok(Some(Ok(size)))
}
