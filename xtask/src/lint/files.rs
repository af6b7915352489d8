//! Guards over the text of all files. What they look for is written in pieces here, so that this
//! file does not find itself.

use super::facts::Facts;

/// No file in the repository is bigger.
const BIG: usize = 1 << 20;
/// Beyond this a file probably holds two things; tests may be longer.
const LONG: usize = 600;
const LONG_TESTS: usize = 1000;

/// Places of one machine and hosts that one machine downloads from.
pub fn no_machine(facts: &Facts) -> Vec<String> {
    let mut words: Vec<String> = [
        concat!("..", "/shared"),
        concat!("/", "home/"),
        concat!("/", "root/.cargo"),
        concat!("/", ".cargo/registry"),
        concat!("/", ".rustup/"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("files.", "pythonhosted.org"),
        concat!("deb.", "debian.org"),
        concat!("security.", "debian.org"),
        concat!("registry.", "npmjs.org"),
        concat!("proxy.", "golang.org"),
    ]
    .map(str::to_owned)
    .to_vec();
    // The checkout's own place is the likeliest to slip in; "/" and "/tmp" say nothing.
    for place in [Some(facts.root.as_path()), facts.root.parent()].into_iter().flatten() {
        if place.components().count() > 2 {
            words.push(format!("{}/", place.display()));
        }
    }
    let mut complaints = Vec::new();
    for (path, text) in facts.texts("") {
        // The lock names crates.io's index by its own rules; see the guard of dependencies.
        if path == "Cargo.lock" {
            continue;
        }
        for (number, line) in lines(text) {
            for word in words.iter().filter(|word| mentions(line, word)) {
                complaints.push(format!("{path}:{number} names {word}"));
            }
        }
    }
    complaints
}

/// Whether the word stands there as the beginning of a path, not inside a longer one: a folder
/// of a tree that is being built is not the machine's.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !word.starts_with('/')
            || !line[..at].ends_with(|before: char| {
                before.is_alphanumeric() || matches!(before, '/' | '.' | '}' | '_' | '-')
            })
    })
}

/// A version of a package is gone from the mirrors within weeks.
pub fn no_debian_versions(facts: &Facts) -> Vec<String> {
    let marks = [concat!("+", "dfsg"), concat!("+", "deb1"), concat!("~", "bpo")];
    let mut complaints = Vec::new();
    for (path, text) in facts.texts("") {
        if path.ends_with(".md") || path == "Cargo.lock" {
            continue;
        }
        for (number, line) in lines(text) {
            if marks.iter().any(|mark| line.contains(mark)) {
                complaints.push(format!("{path}:{number} names a version of a Debian package"));
            }
        }
    }
    complaints
}

/// Each Rust file begins with what it is and what it must not do.
pub fn opened(facts: &Facts) -> Vec<String> {
    facts
        .texts(".rs")
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{path} does not open with a `//!` comment that says what it is"))
        .collect()
}

/// A skipped test is no test.
pub fn no_skipped_tests(facts: &Facts) -> Vec<String> {
    let skip = concat!("#[", "ignore");
    let mut complaints = Vec::new();
    for (path, text) in facts.texts(".rs") {
        for (number, line) in lines(text) {
            if line.trim_start().starts_with(skip) {
                complaints.push(format!("{path}:{number} skips a test"));
            }
        }
    }
    complaints
}

/// Big files belong elsewhere: every clone carries them for ever.
pub fn small(facts: &Facts) -> Vec<String> {
    facts
        .files
        .iter()
        .filter(|(_, content)| content.len() > BIG)
        .map(|(path, content)| format!("{path} has {} KiB", content.len() / 1024))
        .collect()
}

/// Files in which a second thing may hide; a remark, not a complaint.
pub fn long(facts: &Facts) -> Vec<String> {
    facts
        .texts(".rs")
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(path, count)| *count > if path.contains("test") { LONG_TESTS } else { LONG })
        .map(|(path, count)| format!("{path} has {count} lines: does a second thing hide in it?"))
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::*;

    fn facts(path: &str, text: &str) -> Facts {
        Facts {
            root: "/somewhere/checkout".into(),
            files: [(path.to_owned(), text.as_bytes().to_vec())].into(),
            packages: Vec::new(),
        }
    }

    #[test]
    fn machines_are_found() {
        let found = |line: &str| no_machine(&facts("a.sh", line)).len();
        assert_eq!(found("cp /somewhere/checkout/x ."), 1);
        assert_eq!(found(&format!("see {}/x", concat!("..", "/shared"))), 1);
        assert_eq!(found(&format!("cd {}me", concat!("/", "home/"))), 1);
        assert_eq!(found("cat /root/.ssh/authorized_keys # in the guest"), 0);
        assert_eq!(found(concat!("mkdir tree/", "home/me")), 0);
        assert_eq!(found("everything is fine"), 0);
    }

    #[test]
    fn versions_are_found_outside_prose() {
        let line = concat!("apt-get install qemu-utils=1:7.2+", "dfsg-7");
        assert_eq!(no_debian_versions(&facts("ci.sh", line)).len(), 1);
        assert_eq!(no_debian_versions(&facts("notes.md", line)).len(), 0);
    }

    #[test]
    fn heads_skips_and_sizes() {
        assert_eq!(opened(&facts("a.rs", "use std::fs;\n")).len(), 1);
        assert_eq!(opened(&facts("a.rs", "//! It is.\n")).len(), 0);
        let skipped = concat!("//! Tests.\n    #[", "ignore = \"slow\"]\n");
        assert_eq!(no_skipped_tests(&facts("a.rs", skipped)).len(), 1);
        assert_eq!(small(&facts("a.bin", &"x".repeat(BIG + 1))).len(), 1);
        assert_eq!(long(&facts("a.rs", &"x\n".repeat(LONG + 1))).len(), 1);
        assert_eq!(long(&facts("tests/a.rs", &"x\n".repeat(LONG + 1))).len(), 0);
    }
}
