//! Writes a tree as ISO 9660 with Rock Ridge names on the plain tree and a Joliet tree beside it.
//! The same files give the same bytes.

use super::tree::{Directory, Tree};

const SECTOR: usize = 2048;
/// 2000-01-01: nobody looks at it, and the same files shall give the same bytes.
const DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];
const ER_ID: &[u8] = b"RRIP_1991A";
const ER_DESCRIPTION: &[u8] =
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
const ER_SOURCE: &[u8] = b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";

/// The two trees of an image: the same files under other names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Short names, the true ones beside them as Rock Ridge says.
    Plain,
    /// UCS-2 names.
    Joliet,
}

/// Where the things of one tree lie.
struct Places {
    names: Names,
    /// First sector of each directory.
    directories: Vec<u32>,
    /// Bytes of each directory, whole sectors.
    sizes: Vec<u32>,
    path_table_size: u32,
    little_path_table: u32,
    big_path_table: u32,
}

/// The whole image.
pub(super) fn image(label: &str, tree: &Tree) -> Vec<u8> {
    // 16 sectors for boot loaders, two descriptors, their end, the continuation area.
    let continuation = 19;
    let mut next = continuation + 1;
    let plain = places(tree, Names::Plain, &mut next);
    let joliet = places(tree, Names::Joliet, &mut next);
    let mut files = Vec::with_capacity(tree.files.len());
    for file in &tree.files {
        files.push(next);
        next += sectors(file.content.len());
    }
    let total = next;

    let mut image = Image { bytes: vec![0; to_usize(total) * SECTOR] };
    image.put(16, &descriptor(1, label, total, &plain));
    image.put(17, &descriptor(2, label, total, &joliet));
    image.put(18, &[255, b'C', b'D', b'0', b'0', b'1', 1]);
    image.put(continuation, &extension_record());
    for places in [&plain, &joliet] {
        image.put(
            places.little_path_table,
            &path_table(tree, places, u32::to_le_bytes, |n| n.to_le_bytes()),
        );
        image.put(
            places.big_path_table,
            &path_table(tree, places, u32::to_be_bytes, |n| n.to_be_bytes()),
        );
        for number in 0..tree.directories.len() {
            let content = directory(tree, number, places, &files, continuation);
            image.put(places.directories[number], &content);
        }
    }
    for (file, place) in tree.files.iter().zip(&files) {
        image.put(*place, &file.content);
    }
    image.bytes
}

struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn put(&mut self, sector: u32, content: &[u8]) {
        let start = to_usize(sector) * SECTOR;
        self.bytes[start..start + content.len()].copy_from_slice(content);
    }
}

fn places(tree: &Tree, names: Names, next: &mut u32) -> Places {
    let mut take = |bytes: usize| {
        let at = *next;
        *next += sectors(bytes).max(1);
        at
    };
    let table = tree
        .directories
        .iter()
        .map(|directory| {
            let length = directory_id(directory, names).len();
            8 + length + length % 2
        })
        .sum();
    let little_path_table = take(table);
    let big_path_table = take(table);
    let sizes = (0..tree.directories.len())
        .map(|number| {
            let lengths = entries(tree, number, names).into_iter().map(|entry| entry.length(names));
            let mut size = 0;
            for length in lengths {
                // A record never crosses into the next sector.
                if size % SECTOR + length > SECTOR {
                    size += SECTOR - size % SECTOR;
                }
                size += length;
            }
            sectors(size) * to_u32(SECTOR)
        })
        .collect::<Vec<_>>();
    let directories = sizes.iter().map(|size| take(to_usize(*size))).collect();
    Places {
        names,
        directories,
        sizes,
        path_table_size: to_u32(table),
        little_path_table,
        big_path_table,
    }
}

/// What a directory record stands for.
enum Target {
    Itself,
    Parent,
    Directory(usize),
    File(usize),
}

struct Entry {
    target: Target,
    /// As the tree's names want it.
    id: Vec<u8>,
    /// The true name, for Rock Ridge.
    name: String,
    /// The root's own record starts the extensions.
    starts: bool,
}

impl Entry {
    fn length(&self, names: Names) -> usize {
        let id = 33 + self.id.len() + (self.id.len() + 1) % 2;
        let extra = match names {
            Names::Joliet => 0,
            Names::Plain => {
                let start = if self.starts { 7 + 28 } else { 0 };
                let name = if self.name.is_empty() { 0 } else { 5 + self.name.len() };
                start + 36 + name
            }
        };
        id + extra + extra % 2
    }
}

/// The records of a directory, in order.
fn entries(tree: &Tree, number: usize, names: Names) -> Vec<Entry> {
    let directory = &tree.directories[number];
    let of = |target, id, name: &str| Entry { target, id, name: name.to_owned(), starts: false };
    let mut named = Vec::new();
    for child in &directory.directories {
        let child_directory = &tree.directories[*child];
        let id = directory_id(child_directory, names);
        named.push(of(Target::Directory(*child), id, &child_directory.name));
    }
    for file in &directory.files {
        let id = match names {
            Names::Plain => tree.files[*file].short.clone().into_bytes(),
            Names::Joliet => ucs2(&format!("{};1", tree.files[*file].name)),
        };
        named.push(of(Target::File(*file), id, &tree.files[*file].name));
    }
    named.sort_by(|a, b| a.id.cmp(&b.id));
    let own = Entry { starts: number == 0, ..of(Target::Itself, vec![0], "") };
    [own, of(Target::Parent, vec![1], "")].into_iter().chain(named).collect()
}

fn directory(
    tree: &Tree,
    number: usize,
    places: &Places,
    files: &[u32],
    continuation: u32,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries(tree, number, places.names) {
        let in_directory = |n: usize| (places.directories[n], places.sizes[n], true);
        let (at, size, is_directory) = match entry.target {
            Target::Itself => in_directory(number),
            Target::Parent => in_directory(tree.directories[number].parent),
            Target::Directory(child) => in_directory(child),
            Target::File(file) => (files[file], to_u32(tree.files[file].content.len()), false),
        };
        let mut one = record(at, size, is_directory, &entry.id);
        if places.names == Names::Plain {
            rock_ridge(&mut one, &entry, is_directory, continuation);
        }
        if one.len() % 2 == 1 {
            one.push(0);
        }
        one[0] = to_u8(one.len());
        if bytes.len() % SECTOR + one.len() > SECTOR {
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        }
        bytes.extend(one);
    }
    bytes
}

/// A directory record; its length is set when its extensions are known.
fn record(at: u32, size: u32, directory: bool, id: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    both32(&mut record, at);
    both32(&mut record, size);
    record.extend(DATE);
    record.extend([if directory { 2 } else { 0 }, 0, 0]);
    both16(&mut record, 1);
    record.push(to_u8(id.len()));
    record.extend(id);
    if id.len().is_multiple_of(2) {
        record.push(0);
    }
    record
}

fn rock_ridge(record: &mut Vec<u8>, entry: &Entry, directory: bool, continuation: u32) {
    if entry.starts {
        record.extend([b'S', b'P', 7, 1, 0xBE, 0xEF, 0]);
    }
    record.extend([b'P', b'X', 36, 1]);
    both32(record, if directory { 0o040_555 } else { 0o100_444 });
    both32(record, if directory { 2 } else { 1 });
    both32(record, 0);
    both32(record, 0);
    if !entry.name.is_empty() {
        record.extend([b'N', b'M', to_u8(5 + entry.name.len()), 1, 0]);
        record.extend(entry.name.as_bytes());
    }
    if entry.starts {
        record.extend([b'C', b'E', 28, 1]);
        both32(record, continuation);
        both32(record, 0);
        both32(record, to_u32(extension_record().len()));
    }
}

/// Says that the extensions are Rock Ridge; too long for the record that it belongs to.
fn extension_record() -> Vec<u8> {
    let length = 8 + ER_ID.len() + ER_DESCRIPTION.len() + ER_SOURCE.len();
    let lengths = [ER_ID.len(), ER_DESCRIPTION.len(), ER_SOURCE.len()].map(to_u8);
    let mut bytes = vec![b'E', b'R', to_u8(length), 1];
    bytes.extend(lengths);
    bytes.push(1);
    for part in [ER_ID, ER_DESCRIPTION, ER_SOURCE] {
        bytes.extend(part);
    }
    bytes
}

fn path_table(
    tree: &Tree,
    places: &Places,
    long: fn(u32) -> [u8; 4],
    short: fn(u16) -> [u8; 2],
) -> Vec<u8> {
    let mut table = Vec::new();
    for (number, directory) in tree.directories.iter().enumerate() {
        let id = directory_id(directory, places.names);
        table.extend([to_u8(id.len()), 0]);
        table.extend(long(places.directories[number]));
        table.extend(short(u16::try_from(directory.parent + 1).unwrap_or(u16::MAX)));
        table.extend(&id);
        if id.len() % 2 == 1 {
            table.push(0);
        }
    }
    table
}

fn directory_id(directory: &Directory, names: Names) -> Vec<u8> {
    match names {
        _ if directory.name.is_empty() => vec![0],
        Names::Plain => directory.short.clone().into_bytes(),
        Names::Joliet => ucs2(&directory.name),
    }
}

fn descriptor(kind: u8, label: &str, total: u32, places: &Places) -> Vec<u8> {
    let joliet = places.names == Names::Joliet;
    let text = |text: &str, length: usize| {
        let mut bytes = if joliet { ucs2(text) } else { text.as_bytes().to_vec() };
        let space: &[u8] = if joliet { &[0, b' '] } else { b" " };
        while bytes.len() < length {
            bytes.extend(space);
        }
        bytes.truncate(length);
        bytes
    };
    let mut bytes = vec![kind];
    bytes.extend(b"CD001");
    bytes.extend([1, 0]);
    bytes.extend(text("LINUX", 32));
    bytes.extend(text(label, 32));
    bytes.extend([0; 8]);
    both32(&mut bytes, total);
    let mut escapes = [0; 32];
    if joliet {
        escapes[..3].copy_from_slice(b"%/E");
    }
    bytes.extend(escapes);
    both16(&mut bytes, 1);
    both16(&mut bytes, 1);
    both16(&mut bytes, 2048);
    both32(&mut bytes, places.path_table_size);
    bytes.extend(places.little_path_table.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(places.big_path_table.to_be_bytes());
    bytes.extend([0; 4]);
    let mut root = record(places.directories[0], places.sizes[0], true, &[0]);
    root[0] = to_u8(root.len());
    bytes.extend(root);
    for length in [128, 128, 128, 128, 37, 37, 37] {
        bytes.extend(text("", length));
    }
    for _ in 0..4 {
        // No date.
        bytes.extend([b'0'; 16]);
        bytes.push(0);
    }
    bytes.extend([1, 0]);
    bytes
}

fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn both32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
    bytes.extend(number.to_be_bytes());
}

fn both16(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend(number.to_le_bytes());
    bytes.extend(number.to_be_bytes());
}

fn sectors(bytes: usize) -> u32 {
    to_u32(bytes.div_ceil(SECTOR))
}

// All sizes are bounded by the drive's largest size and by the length of names.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn to_u8(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
