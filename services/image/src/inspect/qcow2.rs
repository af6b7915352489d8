//! QEMU's copy-on-write format, versions 2 and 3. Refused: anything that names another file, tables that
//! are not inside the file or too small for the size that is claimed, features that are not known.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, be32, be64},
};

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// QEMU's own limit for the first-level table.
const MOST_L1: u64 = 32 << 20;
/// QEMU's own limit for the table of reference counts.
const MOST_REFCOUNTS: u64 = 8 << 20;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const MOST_EXTENSIONS: usize = 64;

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let header = reader.up_to(0, 112)?;
    if header.get(..4) != Some(b"QFI\xfb") {
        return Ok(None);
    }
    Ok(Some(match checked(reader, &header)? {
        Ok(size) => Ok(size),
        Err(why) => Err(why),
    }))
}

fn checked(reader: &Reader<'_>, header: &[u8]) -> io::Result<Parsed> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    let version = be32(header, 4);
    if version != 2 && version != 3 {
        return refuse("its version is neither 2 nor 3");
    }
    let new = version == 3;
    if header.len() < if new { 104 } else { 72 } {
        return refuse("its header is cut off");
    }
    if be64(header, 8) != 0 {
        return refuse("it has a backing file");
    }
    let cluster_bits = be32(header, 20);
    if !(9..=21).contains(&cluster_bits) {
        return refuse("its clusters have no size that qcow2 allows");
    }
    let cluster = 1_u64 << cluster_bits;
    let features = if new { be64(header, 72) } else { 0 };
    if features & DATA_FILE != 0 {
        return refuse("it keeps its data in another file");
    }
    if features & CORRUPT != 0 {
        return refuse("it is marked as corrupt");
    }
    if features & !(DIRTY | COMPRESSION | EXTENDED_L2) != 0 {
        return refuse("it needs features that are not known here");
    }
    if be32(header, 32) != 0 {
        return refuse("it is encrypted");
    }
    let header_length = if new { u64::from(be32(header, 100)) } else { 72 };
    if new {
        if header_length < 104 || header_length > cluster || header_length % 8 != 0 {
            return refuse("its header has no length that qcow2 allows");
        }
        if be32(header, 96) > 6 {
            return refuse("its reference counts have no width that qcow2 allows");
        }
        let compression =
            if header_length > 104 { header.get(104).copied().unwrap_or(0) } else { 0 };
        if compression > 1 || (compression == 1) != (features & COMPRESSION != 0) {
            return refuse("its kind of compression is not known here");
        }
    }
    let size = be64(header, 24);
    if let Err(why) = tables(reader, header, cluster, size, features & EXTENDED_L2 != 0)? {
        return Ok(Err(why));
    }
    if let Err(why) = extensions(reader, header_length, cluster)? {
        return Ok(Err(why));
    }
    Ok(Ok(size))
}

/// The tables that the header points to are inside the file, and enough for the size that is claimed.
fn tables(
    reader: &Reader<'_>,
    header: &[u8],
    cluster: u64,
    size: u64,
    extended: bool,
) -> io::Result<Result<(), String>> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    let entry = if extended { 16 } else { 8 };
    let per_entry = cluster * (cluster / entry);
    let l1_entries = u64::from(be32(header, 36));
    let l1_offset = be64(header, 40);
    if l1_entries * 8 > MOST_L1 {
        return refuse("its first-level table is larger than qcow2 allows");
    }
    if size.div_ceil(per_entry) > l1_entries {
        return refuse("its tables are too small for the size that it claims");
    }
    if l1_entries > 0
        && (!l1_offset.is_multiple_of(cluster) || !reader.holds(l1_offset, l1_entries * 8))
    {
        return refuse("its first-level table is not inside the file");
    }
    let refcounts = be64(header, 48);
    let refcount_bytes = u64::from(be32(header, 56)) * cluster;
    if refcount_bytes > MOST_REFCOUNTS.max(cluster) {
        return refuse("its table of reference counts is larger than qcow2 allows");
    }
    if refcounts == 0
        || !refcounts.is_multiple_of(cluster)
        || !reader.holds(refcounts, refcount_bytes.min(8))
    {
        return refuse("its table of reference counts is not inside the file");
    }
    let snapshots = u64::from(be32(header, 60));
    if snapshots > 65536 || (snapshots > 0 && !reader.holds(be64(header, 64), snapshots * 40)) {
        return refuse("its table of snapshots is not inside the file");
    }
    // Second-level tables must be inside too. At most 32 MiB are read, in pieces.
    let mut at = l1_offset;
    let end = l1_offset + l1_entries * 8;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(64 * 1024);
        let piece = reader.up_to(at, most)?;
        if piece.is_empty() {
            return refuse("its first-level table is not inside the file");
        }
        for number in piece.chunks_exact(8) {
            let offset = be64(number, 0) & 0x00ff_ffff_ffff_fe00;
            if offset != 0 && (!offset.is_multiple_of(cluster) || !reader.holds(offset, 8)) {
                return refuse("a second-level table is not inside the file");
            }
        }
        at += piece.len() as u64;
    }
    Ok(Ok(()))
}

/// A name of a data file may stand in an extension of the header even without the feature's bit.
fn extensions(
    reader: &Reader<'_>,
    header_length: u64,
    cluster: u64,
) -> io::Result<Result<(), String>> {
    let mut at = header_length;
    for _ in 0..MOST_EXTENSIONS {
        if at + 8 > cluster {
            return Ok(Ok(()));
        }
        let Some(extension) = reader.bytes::<8>(at)? else { return Ok(Ok(())) };
        let (kind, length) = (be32(&extension, 0), u64::from(be32(&extension, 4)));
        match kind {
            0 => return Ok(Ok(())),
            EXTENSION_DATA_FILE => {
                return Ok(Err("it names another file for its data".to_owned()));
            }
            _ if at + 8 + length > cluster => {
                return Ok(Err("an extension of its header runs out of the header".to_owned()));
            }
            _ => at += 8 + length.next_multiple_of(8),
        }
    }
    Ok(Err("its header has more extensions than any real one".to_owned()))
}
