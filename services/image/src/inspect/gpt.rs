//! Partition tables: the old kind in the first sector, which the new kind keeps in front of itself.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, le16, le32},
};

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let Some(sector) = reader.bytes::<512>(0)? else { return Ok(None) };
    // A FAT file system's first sector has the same mark.
    let fat = sector.get(0x10) == Some(&2) && sector.get(0x15) == Some(&0xf8);
    if le16(&sector, 510) != 0xaa55 || fat {
        return Ok(None);
    }
    Ok(Some(checked(&sector).map(|()| reader.length())))
}

fn checked(sector: &[u8; 512]) -> Result<(), String> {
    let refuse = |why: &str| Err(why.to_owned());
    let entries = sector.get(446..510).unwrap_or_default().chunks_exact(16);
    let mut used = Vec::new();
    let mut new = false;
    for (number, entry) in entries.enumerate() {
        let [boot, head, first, cylinder, kind, ..] = entry else { continue };
        if !matches!(boot, 0 | 0x80) {
            return refuse("a partition has an invalid boot flag");
        }
        if *kind != 0 {
            used.push(number);
        }
        if *kind == 0xee {
            new = true;
            if (*head, *first, *cylinder) != (0, 2, 0) || le32(entry, 8) != 1 {
                return refuse("the partition that guards the table has an invalid start");
            }
        }
    }
    if new && used != [0] {
        return refuse("there are partitions beside the one that guards the table");
    }
    if used.is_empty() {
        return refuse("no partition is defined");
    }
    Ok(())
}
