//! The directories and files of an image, numbered, with the short names that plain ISO 9660 wants.

use base::{Error, Map, Result, Set};
use bytes::Bytes;

/// A name must fit into a Joliet identifier and be harmless in every system.
const LONGEST_NAME: usize = 64;
/// Plain ISO 9660 allows eight levels, the root among them.
const DEEPEST: usize = 8;

/// A directory; number 0 is the root. Parents come before their children, level by level, so that the
/// numbers are those of a path table.
#[derive(Debug)]
pub(super) struct Directory {
    pub parent: usize,
    /// The true name; empty for the root.
    pub name: String,
    /// The short upper-case name.
    pub short: String,
    pub directories: Vec<usize>,
    pub files: Vec<usize>,
}

/// A file.
#[derive(Debug)]
pub(super) struct File {
    pub name: String,
    /// The short upper-case name with its version.
    pub short: String,
    pub content: Bytes,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    pub directories: Vec<Directory>,
    pub files: Vec<File>,
}

#[derive(Default)]
struct Node {
    directories: Map<String, Node>,
    files: Map<String, Bytes>,
}

impl Tree {
    /// From paths below the root to contents.
    pub fn new(files: &Map<String, Bytes>) -> Result<Tree> {
        let mut root = Node::default();
        for (path, content) in files {
            root.insert(path, path, content, 1)?;
        }
        let mut tree = Tree { directories: Vec::new(), files: Vec::new() };
        let mut level = vec![(0, String::new(), root)];
        while !level.is_empty() {
            let mut below = Vec::new();
            for (parent, name, node) in level {
                let number = tree.directories.len();
                tree.directories.push(Directory {
                    parent,
                    short: String::new(),
                    name,
                    directories: Vec::new(),
                    files: Vec::new(),
                });
                if number > 0 {
                    tree.directories[parent].directories.push(number);
                }
                for (name, content) in node.files {
                    tree.directories[number].files.push(tree.files.len());
                    tree.files.push(File { name, short: String::new(), content });
                }
                below.extend(node.directories.into_iter().map(|(name, node)| (number, name, node)));
            }
            level = below;
        }
        tree.shorten();
        Ok(tree)
    }

    /// Gives each entry a short name, unique in its directory.
    fn shorten(&mut self) {
        for number in 0..self.directories.len() {
            let mut taken = Set::new();
            for child in self.directories[number].directories.clone() {
                let short = short_name(&self.directories[child].name, false, &mut taken);
                self.directories[child].short = short;
            }
            for file in self.directories[number].files.clone() {
                let short = short_name(&self.files[file].name, true, &mut taken);
                self.files[file].short = short;
            }
        }
    }
}

impl Node {
    fn insert(&mut self, whole: &str, path: &str, content: &Bytes, depth: usize) -> Result<()> {
        let refuse = |why: &str| {
            Err(Error::bad_request(format!("The config drive cannot hold {whole:?}: {why}.")))
        };
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name == "." || name == ".." || !name.bytes().all(plain) {
            return refuse("a part of its path is no plain name");
        }
        if name.len() > LONGEST_NAME {
            return refuse("a part of its path is too long");
        }
        let Some(rest) = rest else {
            if self.directories.contains_key(name) {
                return refuse("it is a directory too");
            }
            self.files.insert(name.to_owned(), content.clone());
            return Ok(());
        };
        if depth >= DEEPEST {
            return refuse("it lies too deep");
        }
        if self.files.contains_key(name) {
            return refuse("a directory of its path is a file too");
        }
        self.directories.entry(name.to_owned()).or_default().insert(whole, rest, content, depth + 1)
    }
}

fn short_name(name: &str, file: bool, taken: &mut Set<String>) -> String {
    let clean = |text: &str, most: usize| -> String {
        text.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .take(most)
            .collect()
    };
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if file => (clean(stem, 8), clean(extension, 3)),
        _ => (clean(name, 8), String::new()),
    };
    for number in 0_u32.. {
        let stem = if number == 0 {
            stem.clone()
        } else {
            let digits = number.to_string();
            let kept: String = stem.chars().take(8 - digits.len().min(8)).collect();
            kept + &digits
        };
        let short = if file { format!("{stem}.{extension};1") } else { stem };
        if taken.insert(short.clone()) {
            return short;
        }
    }
    unreachable!("four thousand million names were taken")
}
