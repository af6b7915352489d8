//! Licence expressions of crates (SPDX, and the older form with a slash): may we use it?

/// Whether some choice that the expression offers uses allowed licences only.
pub fn allowed(expression: &str, allow: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allow };
    let verdict = reader.any_of();
    verdict && reader.words.is_empty()
}

struct Reader<'a> {
    words: &'a [&'a str],
    allow: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn skip(&mut self, word: &str) -> bool {
        let there = self.words.first() == Some(&word);
        if there {
            self.words = &self.words[1..];
        }
        there
    }

    fn any_of(&mut self) -> bool {
        let mut verdict = self.all_of();
        while self.skip("OR") {
            // Read the other side in any case: the words must be used up.
            let other = self.all_of();
            verdict |= other;
        }
        verdict
    }

    fn all_of(&mut self) -> bool {
        let mut verdict = self.one();
        while self.skip("AND") {
            let other = self.one();
            verdict &= other;
        }
        verdict
    }

    fn one(&mut self) -> bool {
        if self.skip("(") {
            let verdict = self.any_of();
            return self.skip(")") && verdict;
        }
        let Some(name) = self.next() else { return false };
        // "or any later version" includes this one.
        let mut licence = name.trim_end_matches('+').trim_end_matches("-or-later").to_owned();
        if self.skip("WITH") {
            licence = format!("{licence} WITH {}", self.next().unwrap_or_default());
        }
        self.allow.contains(&licence.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn choices_and_sums() {
        let allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MPL-2.0"];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "MPL-2.0+",
        ] {
            assert!(allowed(good, &allow), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR BSD) AND GPL-3.0", "MIT GPL-3.0"] {
            assert!(!allowed(bad, &allow), "{bad}");
        }
    }
}
