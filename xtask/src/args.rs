//! The words of a command line: options that begin with `--`, and the rest in order.

use crate::failure::{Failure, Result};

/// What is left to be read.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// The words after the command's name.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self { words: words.into_iter().collect() }
    }

    /// Takes a switch such as `--yes`.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes an option with a value: `--group real` or `--group=real`.
    pub fn value(&mut self, name: &str) -> Result<Option<String>> {
        let prefix = format!("{name}=");
        if let Some(at) = self.words.iter().position(|word| word.starts_with(&prefix)) {
            return Ok(Some(self.words.remove(at)[prefix.len()..].to_owned()));
        }
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.words.len() {
            return Err(Failure::new(format!("{name} wants a value")));
        }
        self.words.remove(at);
        Ok(Some(self.words.remove(at)))
    }

    /// Takes the next word that is no option.
    pub fn next(&mut self) -> Option<String> {
        let at = self.words.iter().position(|word| !word.starts_with("--"))?;
        Some(self.words.remove(at))
    }

    /// Refuses what nobody took.
    pub fn end(self) -> Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(Failure::new(format!("`{word}` is not known here"))
                .hint("`cargo xtask help` shows the commands and their options.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn options_are_taken_wherever_they_stand() {
        let words = ["--group", "real", "boots", "--yes", "--keep=no"];
        let mut args = Args::new(words.map(String::from));
        assert!(args.flag("--yes"));
        assert!(!args.flag("--yes"));
        assert_eq!(args.value("--group").unwrap().as_deref(), Some("real"));
        assert_eq!(args.value("--keep").unwrap().as_deref(), Some("no"));
        assert_eq!(args.next().as_deref(), Some("boots"));
        assert!(args.end().is_ok());
    }

    #[test]
    fn what_is_left_is_refused() {
        let mut args = Args::new(["--typo".to_owned()]);
        assert_eq!(args.next(), None);
        assert!(args.end().unwrap_err().to_string().contains("--typo"));
        assert!(Args::new(["--group".to_owned()]).value("--group").is_err());
    }
}
