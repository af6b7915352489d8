//! A cloud that a command starts for itself: `everstack up` in a state directory under `target/`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{About, Failure, Result};
use crate::project::Project;
use crate::say::Step;
use crate::shell::Run;

const READY_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for the end of its input and then stops the cloud: so the cloud goes even when this
/// program is killed. The word `keep` lets it live on.
const CARETAKER: &str = r#"
read -r word || word=
[ "$word" = keep ] || exec "$@"
"#;

/// A running cloud. Dropping it stops it and removes its state, unless it was kept.
pub struct Cloud {
    project: Project,
    state: PathBuf,
    address: SocketAddr,
    log: PathBuf,
    process: Child,
    caretaker: Option<Child>,
}

impl Cloud {
    /// Builds the product.
    pub fn build(project: &Project) -> Result<()> {
        let step = Step::begin("building Everstack");
        project
            .cargo()
            .args(["build", "--package", "everstack"])
            .logged(&project.log("build"))
            .map_err(|e| e.hint("`cargo build --package everstack` repeats it."))?;
        step.done("");
        Ok(())
    }

    /// Starts one in `target/<name>/state`, which must be empty, and waits until it is ready.
    pub fn start(project: &Project, name: &str, options: &[&str]) -> Result<Self> {
        let state = Self::state_of(project, name);
        fs::create_dir_all(&state).at(&state)?;
        let address = free_address()?;
        let log = project.log(&format!("{name}-everstack"));
        let step = Step::begin("starting the cloud");
        let process = project
            .run(project.everstack())
            .arg("up")
            .arg("--state-dir")
            .arg(&state)
            .arg("--listen")
            .arg(address.to_string())
            .args(options)
            .start(&log)?;
        let mut cloud =
            Self { project: project.clone(), state, address, log, process, caretaker: None };
        cloud.caretaker = Some(cloud.hire_caretaker()?);
        cloud.wait_ready()?;
        step.done(&cloud.url());
        Ok(cloud)
    }

    fn hire_caretaker(&self) -> Result<Child> {
        use std::os::unix::process::CommandExt;
        self.project
            .run("sh")
            .args(["-c", CARETAKER, "sh"])
            .arg(self.project.everstack())
            .args(["down", "--wipe", "--state-dir"])
            .arg(&self.state)
            .into_command()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .about("start the cloud's caretaker")
    }

    /// Stops and removes the cloud that an earlier run left under this name.
    pub fn remove_earlier(project: &Project, name: &str) -> Result<()> {
        let state = Self::state_of(project, name);
        if !state.exists() {
            return Ok(());
        }
        let step = Step::begin("removing the cloud of an earlier run");
        Self::down(project, &state).logged(&project.log(&format!("{name}-down")))?;
        let _ = fs::remove_dir_all(&state);
        step.done("");
        Ok(())
    }

    /// Where the cloud of this name keeps its state.
    pub fn state_of(project: &Project, name: &str) -> PathBuf {
        project.made(name).join("state")
    }

    /// The command that stops the cloud of a state directory and removes its state.
    fn down(project: &Project, state: &Path) -> Run {
        project.run(project.everstack()).args(["down", "--wipe", "--state-dir"]).arg(state)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if get(self.address, "/readyz").is_ok_and(|status| status == 200) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait().about("look at everstack")? {
                return Err(Failure::new(format!(
                    "`everstack up` ended ({status}) before it was ready."
                ))
                .hint(&self.log_tail()));
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(Failure::new(format!(
                    "{}/readyz did not answer 200 within {} s.",
                    self.url(),
                    READY_WITHIN.as_secs()
                ))
                .hint(&self.log_tail()));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Its address as clients write it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it keeps its state, `clouds.yaml` and `openrc`.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The same in two words.
    pub fn host_and_port(&self) -> (String, String) {
        (self.address.ip().to_string(), self.address.port().to_string())
    }

    /// The end of what it said, for a failure: its complaints, if it has any.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let complaints: Vec<&str> =
            text.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
        let (lines, count): (Vec<&str>, usize) =
            if complaints.is_empty() { (text.lines().collect(), 5) } else { (complaints, 20) };
        let shown: Vec<String> = lines[lines.len().saturating_sub(count)..]
            .iter()
            .map(|line| format!("    {}", line.chars().take(240).collect::<String>()))
            .collect();
        format!("From {}:\n{}", self.project.short(&self.log), shown.join("\n"))
    }

    /// Adds to a client's command who and where the cloud is, and nothing else of ours.
    pub fn as_client(&self, run: Run, cloud: &str) -> Run {
        std::env::vars_os()
            .filter_map(|(key, _)| key.into_string().ok())
            .filter(|key| key.starts_with("OS_"))
            .fold(run, |run, key| run.env_remove(&key))
            .env("OS_CLIENT_CONFIG_FILE", self.state.join("clouds.yaml"))
            .env("OS_CLOUD", cloud)
    }

    /// Stops it and removes its state.
    pub fn stop(mut self) -> Result<()> {
        let step = Step::begin("stopping the cloud");
        self.dismiss("")?;
        step.done("");
        Ok(())
    }

    /// Leaves it running when this program ends.
    pub fn keep(mut self) -> Result<()> {
        self.dismiss("keep\n")
    }

    fn dismiss(&mut self, word: &str) -> Result<()> {
        let Some(mut caretaker) = self.caretaker.take() else { return Ok(()) };
        if let Some(mut input) = caretaker.stdin.take() {
            input.write_all(word.as_bytes()).about("talk to the cloud's caretaker")?;
        }
        let status = caretaker.wait().about("wait for the cloud's caretaker")?;
        if !word.is_empty() {
            return Ok(());
        }
        if !status.success() {
            return Err(Failure::new("`everstack down --wipe` failed.").hint(&self.log_tail()));
        }
        self.process.wait().about("wait for everstack").map(|_| ())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.dismiss("");
    }
}

/// An address of this machine that is free at this moment.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").about("find a free port")?;
    listener.local_addr().about("find a free port")
}

/// The smallest HTTP client that the commands need: the status of one GET.
fn get(address: SocketAddr, path: &str) -> Result<u16> {
    let about = || format!("ask http://{address}{path}");
    let limit = Some(Duration::from_secs(10));
    let mut stream = TcpStream::connect(address).about(about())?;
    stream.set_read_timeout(limit).about(about())?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .about(about())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).about(about())?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| Failure::new(format!("no HTTP came from {address}")))
}
