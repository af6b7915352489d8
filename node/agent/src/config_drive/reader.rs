//! Reads images in tests, written from the standard and not from the writer: plain names, Rock Ridge
//! names and the Joliet tree.

use base::Map;

/// What an image says of itself.
#[derive(Debug)]
pub(crate) struct Found {
    pub label: String,
    /// By Rock Ridge names.
    pub rock_ridge: Map<String, Vec<u8>>,
    /// By plain names.
    pub plain: Map<String, Vec<u8>>,
    /// By Joliet names.
    pub joliet: Map<String, Vec<u8>>,
}

fn le32(bytes: &[u8], at: usize) -> usize {
    let little = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let big = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes"));
    assert_eq!(little, big, "both byte orders say the same at {at}");
    little as usize
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    Plain,
    RockRidge,
    Joliet,
}

/// Reads everything.
pub(crate) fn read(image: &[u8]) -> Found {
    assert_eq!(image.len() % 2048, 0, "whole sectors");
    let sector = |n: usize| &image[n * 2048..(n + 1) * 2048];
    let (primary, joliet, end) = (sector(16), sector(17), sector(18));
    for (descriptor, kind) in [(primary, 1), (joliet, 2), (end, 255)] {
        assert_eq!((descriptor[0], &descriptor[1..6], descriptor[6]), (kind, &b"CD001"[..], 1));
    }
    assert_eq!(&joliet[88..91], b"%/E");
    for descriptor in [primary, joliet] {
        assert_eq!(le32(descriptor, 80) * 2048, image.len(), "the volume's size");
    }
    let tree = |descriptor: &[u8], names| {
        let mut files = Map::new();
        walk(image, &descriptor[156..190], "", names, &mut files);
        files
    };
    let found = Found {
        label: String::from_utf8_lossy(&primary[40..72]).trim_end().to_owned(),
        rock_ridge: tree(primary, Names::RockRidge),
        plain: tree(primary, Names::Plain),
        joliet: tree(joliet, Names::Joliet),
    };
    for (descriptor, joliet) in [(primary, false), (joliet, true)] {
        check_path_tables(image, descriptor, joliet);
    }
    found
}

fn walk(image: &[u8], record: &[u8], path: &str, names: Names, files: &mut Map<String, Vec<u8>>) {
    let start = le32(record, 2) * 2048;
    let content = &image[start..start + le32(record, 10)];
    let mut at = 0;
    let mut number = 0_usize;
    let mut last: Option<Vec<u8>> = None;
    while at < content.len() {
        let length = usize::from(content[at]);
        if length == 0 {
            at = (at / 2048 + 1) * 2048;
            continue;
        }
        assert_eq!(at / 2048, (at + length - 1) / 2048, "a record stays in its sector");
        let record = &content[at..at + length];
        let id_length = usize::from(record[32]);
        let id = record[33..33 + id_length].to_vec();
        let extensions = &record[33 + id_length + (id_length + 1) % 2..];
        number += 1;
        at += length;
        if number <= 2 {
            assert_eq!(id, [u8::try_from(number - 1).expect("0 or 1")]);
            if number == 1 && path.is_empty() && names == Names::RockRidge {
                assert_eq!(&extensions[..7], [b'S', b'P', 7, 1, 0xBE, 0xEF, 0]);
                assert!(continued(image, extensions).starts_with(b"ER"), "the extension is named");
            }
            continue;
        }
        assert!(last.is_none_or(|last| last < id), "sorted and unique");
        last = Some(id.clone());
        let name = match names {
            Names::Plain => String::from_utf8(id).expect("ASCII"),
            Names::RockRidge => {
                String::from_utf8(entry(extensions, b"NM")[5..].to_vec()).expect("ASCII")
            }
            Names::Joliet => {
                let units = id.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                String::from_utf16(&units.collect::<Vec<_>>()).expect("UCS-2")
            }
        };
        let name = name.trim_end_matches(";1");
        let whole = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        if record[25] & 2 != 0 {
            walk(image, record, &whole, names, files);
        } else {
            let start = le32(record, 2) * 2048;
            files.insert(whole, image[start..start + le32(record, 10)].to_vec());
        }
    }
}

/// One system use entry.
fn entry<'a>(mut area: &'a [u8], kind: &[u8; 2]) -> &'a [u8] {
    while area.len() > 3 {
        let length = usize::from(area[2]);
        if &area[..2] == kind {
            return &area[..length];
        }
        area = &area[length..];
    }
    panic!("no {} entry", String::from_utf8_lossy(kind));
}

fn continued<'a>(image: &'a [u8], area: &[u8]) -> &'a [u8] {
    let entry = entry(area, b"CE");
    let start = le32(entry, 4) * 2048 + le32(entry, 12);
    &image[start..start + le32(entry, 20)]
}

fn check_path_tables(image: &[u8], descriptor: &[u8], joliet: bool) {
    let size = le32(descriptor, 132);
    let little = u32::from_le_bytes(descriptor[140..144].try_into().expect("four")) as usize;
    let big = u32::from_be_bytes(descriptor[148..152].try_into().expect("four")) as usize;
    let (little, big) = (&image[little * 2048..][..size], &image[big * 2048..][..size]);
    let (mut at, mut number) = (0, 0);
    while at < size {
        let length = usize::from(little[at]);
        let place = u32::from_le_bytes(little[at + 2..at + 6].try_into().expect("four"));
        assert_eq!(place, u32::from_be_bytes(big[at + 2..at + 6].try_into().expect("four")));
        let parent = u16::from_le_bytes([little[at + 6], little[at + 7]]);
        assert_eq!(parent, u16::from_be_bytes([big[at + 6], big[at + 7]]));
        number += 1;
        assert!(parent >= 1 && parent <= number, "parents come first");
        // The directory there names itself.
        let own = &image[place as usize * 2048..];
        assert_eq!(le32(own, 2), place as usize, "directory {number}, Joliet {joliet}");
        at += 8 + length + length % 2;
    }
    assert_eq!(at, size);
}
