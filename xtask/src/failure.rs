//! What goes wrong in a project command: a sentence for the person who ran it, never a backtrace.

use std::fmt;
use std::path::Path;

/// A sentence that says what happened and, where it helps, what to do next.
#[derive(Debug)]
pub struct Failure(String);

/// The result of everything in this program.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A failure about which everything was said already.
    pub fn silent() -> Self {
        Self(String::new())
    }

    /// Whether nothing is left to be said.
    pub fn is_silent(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what the person can do about it.
    pub fn hint(self, text: &str) -> Self {
        Self(format!("{}\n{text}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the thing that an operation was about.
pub trait About<T> {
    /// `what` reads as "could not …".
    fn about(self, what: impl fmt::Display) -> Result<T>;
    /// The same for work on a file.
    fn at(self, path: &Path) -> Result<T>
    where
        Self: Sized,
    {
        self.about(format_args!("use {}", path.display()))
    }
}

impl<T, E: fmt::Display> About<T> for std::result::Result<T, E> {
    fn about(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Failure(format!("could not {what}: {e}")))
    }
}
