//! `cargo xtask demo`: from nothing to a virtual machine at its login prompt, through the
//! unmodified `openstack` client. It uses only what a user would: the product and the client.

use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::cloud::Cloud;
use crate::debian;
use crate::failure::{Failure, Result};
use crate::image;
use crate::project::Project;
use crate::say::{self, Step};
use crate::venv::Venv;

const NAME: &str = "demo";
/// Emulated processors are slow, and the machine may be busy.
const LOGIN_WITHIN: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let once = args.flag("--once");
    args.end()?;

    let needs = [&debian::BUILD, &debian::MACHINES, &debian::IMAGE, &debian::CLIENT];
    debian::ensure(project, &needs, yes)?;
    Cloud::build(project)?;
    let image = image::ensure(project)?;
    let venv = Venv::ensure(project, "venv", &["python-openstackclient"])?;
    remove_earlier(project, yes)?;

    let cloud = Cloud::start(project, NAME, &[])?;
    let client = Client { project, cloud: &cloud, venv: &venv };
    let file = image.strip_prefix(project.root()).unwrap_or(&image).display().to_string();
    client.show(&["catalog", "list", "-c", "Name", "-c", "Type"])?;
    client.show(
        &[
            &["image", "create", "--disk-format", "qcow2", "--container-format", "bare"][..],
            &["--file", &file, "-c", "id", "-c", "name", "-c", "size", "-c", "status", "tiny"],
        ]
        .concat(),
    )?;
    client.show(&["flavor", "create", "--vcpus", "1", "--ram", "256", "--disk", "1", "small"])?;
    let create = ["server", "create", "--image", "tiny", "--flavor", "small", "--nic", "none"];
    client
        .show(
            &[&create[..], &["--wait", "-c", "id", "-c", "name", "-c", "status", "first"]].concat(),
        )
        .map_err(|failure| client.why("first", failure))?;
    let console = client.wait_for_login("first")?;
    say::line("\n$ openstack console log show first");
    for line in last_lines(&console, 12) {
        say::line(&format!("  {line}"));
    }
    client.show(&["server", "list"])?;

    if once {
        return cloud.stop();
    }
    how_to_go_on(project, &cloud, &venv);
    cloud.keep()
}

/// An earlier demo's cloud goes first: names and machines of two would mix.
fn remove_earlier(project: &Project, yes: bool) -> Result<()> {
    if Cloud::state_of(project, NAME).exists() {
        let question = "The cloud of an earlier demo is still there. Remove it with all it holds?";
        say::agree(question, yes)?;
    }
    Cloud::remove_earlier(project, NAME)
}

/// The `openstack` command as a user has it.
struct Client<'a> {
    project: &'a Project,
    cloud: &'a Cloud,
    venv: &'a Venv,
}

impl Client<'_> {
    fn call(&self, words: &[&str]) -> Result<String> {
        let run = self.project.run(self.venv.program("openstack")).args(words);
        self.cloud
            .as_client(run, "everstack")
            .env("CLIFF_MAX_TERM_WIDTH", "100")
            .read()
            .map_err(|failure| failure.hint(&self.cloud.log_tail()))
    }

    /// Runs it and shows command and answer.
    fn show(&self, words: &[&str]) -> Result<()> {
        let step = Step::begin(format!("openstack {}", words.join(" ")));
        let answer = self.call(words)?;
        step.done("");
        say::line(answer.trim_end());
        Ok(())
    }

    /// Adds what the cloud says about a server that did not come up.
    fn why(&self, server: &str, failure: Failure) -> Failure {
        let columns = ["-c", "status", "-c", "fault", "-c", "OS-EXT-STS:task_state"];
        match self.call(&[&["server", "show", server], &columns[..]].concat()) {
            Ok(shown) => failure.hint(shown.trim_end()),
            Err(_) => failure,
        }
    }

    fn wait_for_login(&self, server: &str) -> Result<String> {
        let step = Step::begin("waiting for the machine's login prompt");
        let begun = Instant::now();
        loop {
            let console = self.call(&["console", "log", "show", server])?;
            if console.contains("login:") {
                step.done("");
                return Ok(console);
            }
            let status = self.call(&["server", "show", server, "-f", "value", "-c", "status"])?;
            if status.trim() == "ERROR" || begun.elapsed() > LOGIN_WITHIN {
                let lines: Vec<&str> = last_lines(&console, 20).collect();
                let failure = Failure::new(format!(
                    "The server is {} and shows no login prompt after {} s. The end of its \
                     console:\n{}",
                    status.trim(),
                    begun.elapsed().as_secs(),
                    lines.join("\n")
                ));
                return Err(self.why(server, failure).hint(&self.cloud.log_tail()));
            }
            thread::sleep(PAUSE);
        }
    }
}

fn last_lines(text: &str, count: usize) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skip = lines.len().saturating_sub(count);
    lines.into_iter().skip(skip)
}

fn how_to_go_on(project: &Project, cloud: &Cloud, venv: &Venv) {
    let config = cloud.state().join("clouds.yaml");
    let state = project.short(cloud.state());
    let everstack = project.short(&project.everstack());
    say::line(&format!(
        "\nThe cloud goes on at {}. Use it:\n\
         \n  export OS_CLIENT_CONFIG_FILE={} OS_CLOUD=everstack\n\
         \x20 {} server list\n\
         \x20 {} server create --image tiny --flavor small --nic none --wait second\n\
         \nLook at it:  {everstack} status --state-dir {state}\n\
         Stop it:     {everstack} down --state-dir {state}          (keeps what you made)\n\
         Remove it:   {everstack} down --wipe --state-dir {state}",
        cloud.url(),
        config.display(),
        project.short(&venv.program("openstack")),
        project.short(&venv.program("openstack")),
    ));
}
