//! VirtualBox's format.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, le32, le64},
};

const MARK: u32 = 0xbeda_107f;
const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;
const BLOCK: u64 = 1 << 20;

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let Some(header) = reader.bytes::<512>(0)? else { return Ok(None) };
    if le32(&header, 0x40) != MARK {
        return Ok(None);
    }
    Ok(Some(checked(reader, &header)))
}

fn checked(reader: &Reader<'_>, header: &[u8; 512]) -> Parsed {
    let refuse = |why: &str| Err(why.to_owned());
    if le32(header, 0x44) != 0x0001_0001 {
        return refuse("its version is not known here");
    }
    if !matches!(le32(header, 0x4c), DYNAMIC | FIXED) {
        return refuse("it is a part of a chain of disks");
    }
    // The ids of the disk that it is linked to, and of its parent.
    if header.get(0x1a8..0x1c8).is_none_or(|ids| ids.iter().any(|byte| *byte != 0)) {
        return refuse("it has a parent");
    }
    let size = le64(header, 0x170);
    let blocks = u64::from(le32(header, 0x180));
    if u64::from(le32(header, 0x178)) != BLOCK {
        return refuse("its blocks have no size that is allowed");
    }
    if !reader.holds(u64::from(le32(header, 0x154)), blocks * 4) {
        return refuse("its table of blocks is not inside the file");
    }
    if size.div_ceil(BLOCK) > blocks {
        return refuse("its table is too small for the size that it claims");
    }
    Ok(size)
}
