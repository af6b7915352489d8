//! What the person sees: steps with their elapsed time, questions, remarks.
//! A terminal gets a moving line; a pipe gets a quiet line now and then, so that a build log shows
//! that something is still going on.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::project;

const FRAME: Duration = Duration::from_millis(120);
const QUIET_LINE: Duration = Duration::from_secs(30);
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// A long piece of work: its name when it begins, its time when it ends.
pub struct Step {
    begun: Instant,
    name: String,
    stop: Option<(Sender<()>, JoinHandle<()>)>,
    ended: bool,
}

impl Step {
    /// Shows the name and starts to show the elapsed time.
    pub fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        let (sender, stopped) = mpsc::channel::<()>();
        let begun = Instant::now();
        let shown = name.clone();
        let terminal = io::stdout().is_terminal();
        if !terminal {
            line(&format!("==> {name}"));
        }
        let ticker = thread::spawn(move || {
            let pause = if terminal { FRAME } else { QUIET_LINE };
            let mut frame = 0_usize;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let seconds = begun.elapsed().as_secs();
                if terminal {
                    frame = (frame + 1) % FRAMES.len();
                    let mut out = io::stdout().lock();
                    let _ = write!(out, "\r\x1b[2K{} {shown} {seconds} s", FRAMES[frame]);
                    let _ = out.flush();
                } else {
                    line(&format!("    … {shown}: {seconds} s"));
                }
            }
            if terminal {
                let mut out = io::stdout().lock();
                let _ = write!(out, "\r\x1b[2K");
                let _ = out.flush();
            }
        });
        Self { begun, name, stop: Some((sender, ticker)), ended: false }
    }

    /// Ends the step; `result` is a few words, or empty.
    pub fn done(mut self, result: &str) {
        self.end("✓", result);
    }

    fn end(&mut self, mark: &str, result: &str) {
        self.ended = true;
        if let Some((sender, ticker)) = self.stop.take() {
            drop(sender);
            let _ = ticker.join();
        }
        let seconds = self.begun.elapsed().as_secs_f32();
        let result = if result.is_empty() { String::new() } else { format!(": {result}") };
        line(&format!("{mark} {}{result} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("✗", "failed");
        }
    }
}

/// One line of remark.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    // A closed pipe is not our failure: the work goes on.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Asks for a yes. With `yes`, or on a build machine, the answer is known.
pub fn agree(question: &str, yes: bool) -> Result<()> {
    if yes || project::is_ci() {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new("Nobody is there to answer, and nothing was changed.")
            .hint("Say yes beforehand with --yes."));
    }
    let mut out = io::stdout().lock();
    let _ = write!(out, "{question} [Y/n] ");
    let _ = out.flush();
    drop(out);
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "" | "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("Nothing was changed.")),
    }
}
