//! VMware's format. Only the kinds that are one file, with their description inside, are let through:
//! `monolithicSparse` and `streamOptimized`; the others name files elsewhere.

use std::io;

use super::{
    Parsed,
    bytes::{Reader, le32, le64},
};

const SECTOR: u64 = 512;
/// QEMU's own limit for a description.
const MOST_DESCRIPTION: usize = (1 << 20) - 1;
/// The tables' place stands in a footer.
const AT_END: u64 = u64::MAX;

pub(super) fn parse(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let header = reader.up_to(0, 512)?;
    if header.starts_with(b"COWD") {
        return Ok(Some(Err("ESX server's sparse kind is not allowed".to_owned())));
    }
    if header.starts_with(b"KDMV") {
        return sparse(reader, &header).map(Some);
    }
    let start = header.get(..64).unwrap_or(&header).to_ascii_lowercase();
    if contains(&start, b"# disk descriptorfile") {
        return Ok(Some(Err("it is a description of files elsewhere".to_owned())));
    }
    Ok(None)
}

fn sparse(reader: &Reader<'_>, header: &[u8]) -> io::Result<Parsed> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    if header.len() < 512 {
        return refuse("its header is cut off");
    }
    let sectors = le64(header, 12);
    let place = le64(header, 28);
    let length = le64(header, 36);
    if !(1..=3).contains(&le32(header, 4)) {
        return refuse("its version is not known here");
    }
    if place != 1 {
        return refuse("its description is not where it must be");
    }
    let length = length.saturating_mul(SECTOR);
    if length == 0 || length > MOST_DESCRIPTION as u64 {
        return refuse("its description has no size that is allowed");
    }
    let mut description = reader.up_to(SECTOR, MOST_DESCRIPTION)?;
    description.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    if let Some(end) = description.iter().position(|byte| *byte == 0) {
        description.truncate(end);
    }
    if let Err(why) = described(&description) {
        return Ok(Err(why));
    }
    if le64(header, 56) == AT_END
        && let Err(why) = footer(reader, header)?
    {
        return Ok(Err(why));
    }
    let Some(size) = sectors.checked_mul(SECTOR) else {
        return refuse("it claims a size beyond all numbers");
    };
    Ok(Ok(size))
}

/// Every line of the description must be of a kind that is known and harmless.
fn described(description: &[u8]) -> Result<(), String> {
    let refuse = |why: &str| Err(why.to_owned());
    if !description.is_ascii() {
        return refuse("its description is not plain text");
    }
    let text = String::from_utf8_lossy(description).to_ascii_lowercase();
    let mut kind = None;
    let mut extents = 0;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("ddb.") {
            continue;
        }
        let word = line.split([' ', '\t']).next().unwrap_or_default();
        if matches!(word, "rw" | "rdonly" | "noaccess") {
            extents += 1;
            extent(line)?;
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return refuse("its description has a line of no known kind");
        };
        let value = value.trim().trim_matches('"');
        match name.trim() {
            "createtype" if kind.is_some() => {
                return refuse("its description says twice what it is");
            }
            "createtype" => kind = Some(value.to_owned()),
            "parentcid" if value != "ffffffff" => return refuse("it has a parent"),
            "parentfilenamehint" => return refuse("it names a parent's file"),
            name if name.contains([' ', '\t']) => {
                return refuse("its description has a line of no known kind");
            }
            _ => {}
        }
    }
    match kind.as_deref() {
        Some("monolithicsparse" | "streamoptimized") => {}
        Some(_) => return refuse("only monolithicSparse and streamOptimized are allowed"),
        None => return refuse("its description does not say what it is"),
    }
    match extents {
        0 => refuse("its description names no extent"),
        1 => Ok(()),
        _ => refuse("its description names several extents"),
    }
}

/// `RW 8192 SPARSE "name.vmdk"`, the name being the file's own, so without any path.
fn extent(line: &str) -> Result<(), String> {
    let mut words = line.split_ascii_whitespace().skip(2);
    if words.next() != Some("sparse") {
        return Err("an extent is not inside the file".to_owned());
    }
    let name: Vec<_> = words.collect();
    let name = name.join(" ");
    if name.contains(['/', '\\', ':']) || name.contains("..") {
        return Err("an extent points elsewhere".to_owned());
    }
    Ok(())
}

/// A streamed file ends with a footer that stands for the header: it must not say anything else.
fn footer(reader: &Reader<'_>, header: &[u8]) -> io::Result<Result<(), String>> {
    let refuse = |why: &str| Ok(Err(why.to_owned()));
    let Some(start) = reader.length().checked_sub(3 * SECTOR) else {
        return refuse("it says that it has a footer and has none");
    };
    let Some(end) = reader.bytes::<1536>(start)? else {
        return refuse("it says that it has a footer and has none");
    };
    let (marker, rest) = end.split_at(512);
    let (footer, last) = rest.split_at(512);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if le32(marker, 8) != 0 || le32(marker, 12) != 3 || !zero(marker.get(16..).unwrap_or(marker)) {
        return refuse("the mark of its footer is wrong");
    }
    if !zero(last) {
        return refuse("the mark of its end is wrong");
    }
    let same = |from: usize, to: usize| header.get(from..to) == footer.get(from..to);
    if !same(0, 8) || !same(12, 20) || !same(28, 44) {
        return refuse("its footer says something else than its header");
    }
    if le64(footer, 56) == AT_END {
        return refuse("its footer points to another footer");
    }
    Ok(Ok(()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
