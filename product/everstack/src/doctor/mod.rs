//! `everstack doctor`: is this computer fit to run a cloud? Each line says what was found, what is
//! needed, and the command that mends it. Exit 0: fit; 1: works, with limits; 2: not fit.

mod checks;

use std::{fmt::Write, io::IsTerminal};

use serde::Serialize;

use crate::config::Config;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, with a limit.
    Limited,
    /// Does not work.
    Bad,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What is there.
    pub found: String,
    /// What is needed.
    pub needed: &'static str,
    /// The command that mends it; empty when nothing is to be mended or no command can.
    pub mend: String,
}

/// Looks at everything.
pub fn examine(config: &Config) -> Vec<Finding> {
    checks::all(config)
}

/// The exit code: 0, 1 or 2.
pub fn exit_code(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.verdict).max() {
        None | Some(Verdict::Good) => 0,
        Some(Verdict::Limited) => 1,
        Some(Verdict::Bad) => 2,
    }
}

/// The findings for people, or as JSON.
pub fn render(findings: &[Finding], as_json: bool) -> String {
    if as_json {
        return serde_json::to_string_pretty(findings).unwrap_or_default() + "\n";
    }
    let colour = std::io::stdout().is_terminal();
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (mark, paint) = match finding.verdict {
            Verdict::Good => ("ok  ", "\x1b[32m"),
            Verdict::Limited => ("note", "\x1b[33m"),
            Verdict::Bad => ("BAD ", "\x1b[31m"),
        };
        let mark = if colour { format!("{paint}{mark}\x1b[0m") } else { mark.to_owned() };
        // Writing to a String cannot fail.
        let _never = writeln!(text, "{mark}  {:width$}  {}", finding.what, finding.found);
        if finding.verdict != Verdict::Good {
            let _never = writeln!(text, "      {:width$}  needed: {}", "", finding.needed);
            if !finding.mend.is_empty() {
                let _never = writeln!(text, "      {:width$}  mend:   {}", "", finding.mend);
            }
        }
    }
    text
}
