//! Virtual PC's format: a footer at the end, and for disks that grow a copy of it at the start.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, be32, be64},
};

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let start = reader.bytes::<512>(0)?;
    if let Some(copy) = start.filter(|start| start.starts_with(b"conectix")) {
        return Ok(Some(checked(reader, &copy, DYNAMIC)?));
    }
    // A disk of fixed size has its mark at the end only; by chance no other file has one that adds up.
    let Some(at) = reader.length().checked_sub(512) else { return Ok(None) };
    let Some(footer) = reader.bytes::<512>(at)? else { return Ok(None) };
    if !footer.starts_with(b"conectix") || !adds_up(&footer) || be32(&footer, 60) != FIXED {
        return Ok(None);
    }
    let parsed = checked(reader, &footer, FIXED)?;
    Ok(Some(parsed.and_then(|size| {
        if size == at {
            Ok(size)
        } else {
            Err("its size is not the size that it claims".to_owned())
        }
    })))
}

fn checked(reader: &Reader<'_>, footer: &[u8; 512], kind: u32) -> io::Result<Parsed> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    if !adds_up(footer) {
        return refuse("the sum of its header is wrong");
    }
    if be32(footer, 60) != kind {
        return refuse("it is a part of a chain of disks, or of no known kind");
    }
    if kind == DYNAMIC {
        let Some(header) = reader.bytes::<1024>(be64(footer, 16))? else {
            return refuse("its second header is not inside the file");
        };
        if !header.starts_with(b"cxsparse") {
            return refuse("its second header is missing");
        }
        let block = u64::from(be32(&header, 32));
        let entries = u64::from(be32(&header, 28));
        if !block.is_power_of_two() || !(512..=256 << 20).contains(&block) {
            return refuse("its blocks have no size that is allowed");
        }
        if !reader.holds(be64(&header, 16), entries * 4) {
            return refuse("its table of blocks is not inside the file");
        }
        if be64(footer, 48) > entries.saturating_mul(block) {
            return refuse("its table is too small for the size that it claims");
        }
    }
    Ok(Ok(be64(footer, 48)))
}

/// The footer's own sum: the complement of the sum of all its other bytes.
fn adds_up(footer: &[u8; 512]) -> bool {
    let bytes = footer.iter().enumerate().filter(|(at, _)| !(64..68).contains(at));
    let sum = bytes.fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)));
    !sum == be32(footer, 64)
}
