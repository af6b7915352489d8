//! Runs other programs: quietly with their output in a log, or for their answer.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::failure::{About, Failure, Result};

/// How many lines of a log are shown when the step fails.
const TAIL: usize = 40;

/// A command to be run.
pub struct Run {
    command: Command,
    shown: String,
}

impl Run {
    /// Use `Project::run`, which knows directory and `PATH`.
    pub fn new(program: &OsStr, directory: &Path, search_path: &OsStr) -> Self {
        // Command looks a bare name up in *our* PATH, so look it up in the one that is meant.
        let found = find_in(search_path, program).unwrap_or_else(|| program.into());
        let mut command = Command::new(found);
        command.current_dir(directory).env("PATH", search_path).stdin(Stdio::null());
        let shown = Path::new(program)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { command, shown }
    }

    /// One argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Several arguments.
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Run::arg)
    }

    /// A variable of the environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes a variable of the environment.
    pub fn env_remove(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Another directory than the project's.
    pub fn directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs it and returns what it printed; its complaint is the failure.
    pub fn read(self) -> Result<String> {
        let shown = self.shown.clone();
        let output = self.output()?;
        if !output.status.success() {
            return Err(Failure::new(format!(
                "`{shown}` failed ({})\n{}{}",
                ended(output.status),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and returns everything, whatever the exit code.
    pub fn output(mut self) -> Result<Output> {
        self.command.output().about(format_args!("run `{}`", self.shown))
    }

    /// Whether it runs and succeeds with this text as its input.
    pub fn accepts(mut self, input: &str) -> bool {
        let child =
            self.command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = child else { return false };
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait().is_ok_and(|status| status.success())
    }

    /// Runs it with its output in `log`; the end of the log is the failure.
    pub fn logged(self, log: &Path) -> Result<()> {
        let shown = self.shown.clone();
        let status = self.logged_status(log)?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "`{shown}` failed ({}). The end of {}:\n{}",
            ended(status),
            log.display(),
            tail(log, TAIL)
        )))
    }

    /// The same, but the exit code is for the caller to judge.
    pub fn logged_status(mut self, log: &Path) -> Result<ExitStatus> {
        let file = fresh(log)?;
        let copy = file.try_clone().at(log)?;
        let mut child = self
            .command
            .stdout(file)
            .stderr(copy)
            .spawn()
            .about(format_args!("run `{}`", self.shown))?;
        child.wait().about(format_args!("wait for `{}`", self.shown))
    }

    /// Starts it in a process group of its own, so that Ctrl-C here does not reach it.
    pub fn start(mut self, log: &Path) -> Result<Child> {
        use std::os::unix::process::CommandExt;
        let file = fresh(log)?;
        let copy = file.try_clone().at(log)?;
        self.command
            .process_group(0)
            .stdout(file)
            .stderr(copy)
            .spawn()
            .about(format_args!("start `{}`", self.shown))
    }

    /// The command itself, for callers that read its output while it runs.
    pub fn into_command(self) -> Command {
        self.command
    }
}

/// Why a program ended, in words.
fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".into(),
    }
}

/// A new empty log file. The old one is removed first: it may be another user's.
pub fn fresh(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    let _ = fs::remove_file(log);
    File::create(log).at(log)
}

/// The last lines of a log.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The file that a bare name means in this `PATH`.
fn find_in(search_path: &OsStr, program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() != 1 {
        return None;
    }
    std::env::split_paths(&OsString::from(search_path))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}
