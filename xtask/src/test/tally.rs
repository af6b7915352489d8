//! Reads the output of Rust's test programs: how many passed and failed, and what the failed said.

use std::fmt;

/// The results of one or many test programs.
#[derive(Default, Debug)]
pub struct Tally {
    /// How many passed.
    pub passed: usize,
    /// How many failed; a program that died without a result counts as one.
    pub failed: usize,
    /// The names of what failed.
    pub broken: Vec<String>,
    /// What the failed tests printed.
    pub said: Vec<String>,
    program: String,
    results: usize,
    open: bool,
    block: Option<Vec<String>>,
}

impl Tally {
    /// Adds another's results.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.broken.extend(other.broken);
        self.said.extend(other.said);
    }

    /// One failure that no test program reported.
    pub fn fail(&mut self, name: impl Into<String>) {
        self.failed += 1;
        self.broken.push(name.into());
    }

    /// Whether any program gave its result.
    pub fn has_result(&self) -> bool {
        self.results > 0
    }

    /// Reads one line.
    pub fn read(&mut self, line: &str) {
        if let Some(program) = started(line) {
            self.end();
            program.clone_into(&mut self.program);
        } else if is_count(line) {
            self.open = true;
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
            self.open = false;
            self.results += 1;
            self.keep_block();
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.broken.push(format!("{} ({})", name, self.program));
        } else if line == "failures:" && self.block.is_none() {
            self.block = Some(Vec::new());
        } else if let Some(block) = &mut self.block {
            block.push(line.to_owned());
        }
    }

    /// The output is over: a program that began and gave no result has died.
    pub fn end(&mut self) {
        if self.open {
            self.open = false;
            let program = self.program.clone();
            self.fail(format!("{program} died before its end"));
        }
        self.keep_block();
    }

    fn keep_block(&mut self) {
        if let Some(block) = self.block.take() {
            self.said.push(format!("{}:\n{}", self.program, block.join("\n")));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// `     Running unittests src/lib.rs (target/debug/deps/base-…)`, `   Doc-tests base`.
fn started(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("Running ")
        .filter(|rest| rest.ends_with(')'))
        .or_else(|| line.strip_prefix("Doc-tests "))
}

/// `running 12 tests`: from here on a result is owed.
fn is_count(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")))
        .is_some_and(|number| number.parse::<usize>().is_ok())
}

fn number_before(text: &str, word: &str) -> usize {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit([' ', '.']).next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn read(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally.end();
        tally
    }

    #[test]
    fn sums_programs_and_shows_failures() {
        let tally = read(
            "     Running unittests src/lib.rs (target/debug/deps/base-1)\n\
             \n\
             running 3 tests\n\
             test a ... ok\n\
             test b ... FAILED\n\
             test c ... ok\n\
             \n\
             failures:\n\
             \n\
             ---- b stdout ----\n\
             seed 7\n\
             failures:\n    b\n\
             \n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n\
             \x20  Doc-tests base\n\
             running 1 test\n\
             test result: ok. 1 passed; 0 failed; 0 ignored\n",
        );
        assert_eq!((tally.passed, tally.failed), (3, 1));
        assert!(tally.has_result() && !read("hello\n").has_result());
        assert_eq!(tally.broken.len(), 1);
        assert!(tally.broken[0].starts_with("b (unittests"));
        assert_eq!(tally.said.len(), 1);
        assert!(tally.said[0].contains("seed 7"));
        assert_eq!(tally.to_string(), "3 passed, 1 failed");
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let text =
            "     Running tests/x.rs (target/debug/deps/x-1)\nrunning 2 tests\ntest a ... ok\n";
        assert_eq!((read(text).passed, read(text).failed), (0, 1));
        let followed = format!(
            "{text}error: test failed\n     Running tests/y.rs (deps/y-1)\nrunning 1 test\n\
             test result: ok. 1 passed; 0 failed;\n"
        );
        assert_eq!((read(&followed).passed, read(&followed).failed), (1, 1));
    }
}
