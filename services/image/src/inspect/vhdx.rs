//! Hyper-V's format: a table of regions, in one of them a table of facts, among them the disk's size.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, le16, le32, le64},
};

const REGIONS: u64 = 192 * 1024;
const MOST_REGIONS: u32 = 2047;
const TABLE: usize = 64 * 1024;
/// GUIDs as they stand in the file: the first three parts are little-endian.
const METADATA: [u8; 16] = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const DISK_SIZE: [u8; 16] = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const PARENT_LOCATOR: [u8; 16] = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
const HAS_PARENT: u32 = 1 << 1;

const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    match reader.bytes::<8>(0)? {
        Some(mark) if &mark == b"vhdxfile" => checked(reader).map(Some),
        _ => Ok(None),
    }
}

fn checked(reader: &Reader<'_>) -> io::Result<Parsed> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    let regions = reader.up_to(REGIONS, TABLE)?;
    if !regions.starts_with(b"regi") {
        return refuse("its table of regions is missing");
    }
    let count = le32(&regions, 8);
    if count > MOST_REGIONS {
        return refuse("its table of regions is longer than allowed");
    }
    let mut entries = regions.get(16..).unwrap_or_default().chunks_exact(32).take(count as usize);
    let Some(metadata) = entries.find(|entry| entry.starts_with(&METADATA)) else {
        return refuse("it says nothing about its disk");
    };
    let start = le64(metadata, 16);
    let facts = reader.up_to(start, TABLE)?;
    if !facts.starts_with(b"metadata") {
        return refuse("the facts about its disk are not where it says");
    }
    let count = usize::from(le16(&facts, 10));
    if count > MOST_REGIONS as usize {
        return refuse("it says more about its disk than allowed");
    }
    let items = facts.get(32..).unwrap_or_default().chunks_exact(32).take(count);
    let mut size = None;
    for item in items {
        let place = start.checked_add(u64::from(le32(item, 16)));
        let value = |length: usize| -> io::Result<Option<Vec<u8>>> {
            let Some(place) = place else { return Ok(None) };
            Ok(Some(reader.up_to(place, length)?).filter(|value| value.len() == length))
        };
        if item.starts_with(&PARENT_LOCATOR) {
            return refuse("it has a parent");
        } else if item.starts_with(&FILE_PARAMETERS) {
            match value(8)? {
                Some(parameters) if le32(&parameters, 4) & HAS_PARENT != 0 => {
                    return refuse("it has a parent");
                }
                Some(_) => {}
                None => return refuse("a fact about its disk is not inside the file"),
            }
        } else if item.starts_with(&DISK_SIZE) {
            match value(8)? {
                Some(number) => size = Some(le64(&number, 0)),
                None => return refuse("a fact about its disk is not inside the file"),
            }
        }
    }
    match size {
        Some(size) => Ok(Ok(size)),
        None => refuse("it does not say how large its disk is"),
    }
}
