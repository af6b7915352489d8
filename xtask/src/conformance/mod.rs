//! `cargo xtask conformance`: OpenStack's own test suite, unmodified, against a fresh cloud of fake
//! nodes. Which tests apply follows from what the running cloud offers. The last line is always
//! `conformance: P passed, F failed, S skipped`.

mod outcome;
mod page;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args::Args;
use crate::cloud::Cloud;
use crate::debian;
use crate::failure::{About, Failure, Result};
use crate::project::Project;
use crate::say::{self, Step};
use crate::shell::Run;
use crate::venv::Venv;
use outcome::Outcome;
use settings::Settings;

const NAME: &str = "conformance";
const TEMPEST: &str = "tempest==47.0.0";
const NODES: &str = "4";
const WORKERS: &str = "2";
/// Its one test of a dashboard wants a login form that ours does not have.
const NEVER: &str = "test_dashboard";

/// What to run.
struct Selection {
    /// How the result is headed.
    title: String,
    /// The ids that a list names.
    ids: Vec<String>,
    /// Options of `tempest run`.
    options: Vec<String>,
}

/// Runs the command.
pub fn run(project: &Project, mut args: Args) -> Result<()> {
    let yes = args.flag("--yes");
    let keep = args.flag("--keep");
    let what = args.next().ok_or_else(|| {
        Failure::new("which tests? Name a list of conformance/ or give a regular expression")
    })?;
    args.end()?;
    let outcome = all(project, &what, keep, yes);
    let outcome = outcome.unwrap_or_else(|failure| {
        say::line(&failure.to_string());
        Outcome::broken()
    });
    say::line(&format!(
        "conformance: {} passed, {} failed, {} skipped",
        outcome.passed(),
        outcome.failed(),
        outcome.skipped()
    ));
    if outcome.failed() == 0 && !outcome.leaked { Ok(()) } else { Err(Failure::silent()) }
}

fn all(project: &Project, what: &str, keep: bool, yes: bool) -> Result<Outcome> {
    debian::ensure(project, &[&debian::BUILD, &debian::CLIENT], yes)?;
    let folder = project.made(NAME);
    let workspace = folder.join("workspace");
    let selection = select(project, what, &folder)?;
    Cloud::build(project)?;
    let venv = Venv::ensure(project, "venv-tempest", &[TEMPEST, "python-openstackclient"])?;
    Cloud::remove_earlier(project, NAME)?;
    let _ = fs::remove_dir_all(&workspace);
    let _ = fs::remove_file(registry(&workspace));

    let cloud = Cloud::start(
        project,
        NAME,
        &["--simulated", NODES, "--set", "image.require_format_match=false"],
    )?;
    let suite = Suite { project, venv: &venv, cloud: &cloud, workspace };
    let outcome = suite
        .prepare()
        .and_then(|()| suite.run(&selection))
        .map_err(|failure| failure.hint(&cloud.log_tail()));
    if keep {
        say::line(&format!(
            "The cloud goes on at {}; the workspace is {}",
            cloud.url(),
            project.short(&suite.workspace)
        ));
        cloud.keep()?;
    } else {
        cloud.stop()?;
    }
    let outcome = outcome?;
    for test in outcome.failures() {
        say::line(&format!("failed: {}\n        {}", test.name, test.reason));
    }
    page::record(project, &selection.title, TEMPEST, &selection.ids, &outcome)?;
    Ok(outcome)
}

/// tempest notes its workspaces in a file; by default in the person's home.
fn registry(workspace: &Path) -> PathBuf {
    workspace.with_extension("registry")
}

/// A list of `conformance/`, a file, or a regular expression.
fn select(project: &Project, what: &str, folder: &Path) -> Result<Selection> {
    let candidates = [PathBuf::from(what), project.file(&format!("conformance/{what}.ids"))];
    let Some(list) = candidates.iter().find(|path| path.is_file()) else {
        return Ok(Selection {
            title: format!("tests that match `{what}`"),
            ids: Vec::new(),
            options: ["--regex", what, "--exclude-regex", NEVER].map(str::to_owned).to_vec(),
        });
    };
    let text = fs::read_to_string(list).at(list)?;
    let ids: Vec<String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    // tempest shows [id-…] after each name, and takes each line as a regular expression. Lists and
    // --regex would be united, not intersected: never both.
    let lines: Vec<String> = ids
        .iter()
        .map(|id| if outcome::is_id(id) { format!("id-{id}") } else { id.clone() })
        .collect();
    fs::create_dir_all(folder).at(folder)?;
    let include = folder.join("include");
    fs::write(&include, lines.join("\n") + "\n").at(&include)?;
    let title = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Selection {
        title,
        ids,
        options: vec![
            "--include-list".into(),
            include.display().to_string(),
            "--exclude-regex".into(),
            NEVER.into(),
        ],
    })
}

/// tempest in its workspace, and the cloud that it tests.
struct Suite<'a> {
    project: &'a Project,
    venv: &'a Venv,
    cloud: &'a Cloud,
    workspace: PathBuf,
}

impl Suite<'_> {
    fn openstack(&self, words: &[&str]) -> Result<String> {
        let run = self.project.run(self.venv.program("openstack")).args(words);
        Ok(self.cloud.as_client(run, "everstack").read()?.trim().to_owned())
    }

    /// tempest itself.
    fn tempest(&self) -> Run {
        self.in_workspace(&self.venv.program("tempest"))
    }

    fn in_workspace(&self, program: &Path) -> Run {
        self.project
            .run(program)
            .directory(&self.workspace)
            .env("TEMPEST_CONFIG_DIR", self.workspace.join("etc"))
            .env("TEMPEST_CONFIG", "tempest.conf")
            .env("PYTHONWARNINGS", "ignore")
    }

    /// Makes what the tests start from, the workspace and its tempest.conf.
    fn prepare(&self) -> Result<()> {
        let step = Step::begin("making flavors, images and tempest.conf");
        self.project
            .run(self.venv.program("tempest"))
            .args(["init", "--workspace-path"])
            .arg(registry(&self.workspace))
            .arg(&self.workspace)
            .logged(&self.project.log("tempest-init"))?;
        for folder in ["logs", "lock"] {
            let folder = self.workspace.join(folder);
            fs::create_dir_all(&folder).at(&folder)?;
        }
        let file = self.workspace.join("image.img");
        fs::write(&file, vec![0_u8; 1 << 20]).at(&file)?;

        let mut settings = Settings::from_template(self.project)?;
        let flavor = |name: &str, ram: &str, disk: &str| {
            let sizes = ["--vcpus", "1", "--ram", ram, "--disk", disk];
            self.openstack(
                &[&["flavor", "create", "-f", "value", "-c", "id"], &sizes[..], &[name]].concat(),
            )
        };
        let image = |name: &str| {
            let file = file.display().to_string();
            let words = ["image", "create", "-f", "value", "-c", "id", "--public"];
            let format = ["--disk-format", "raw", "--container-format", "bare", "--file", &file];
            self.openstack(&[&words[..], &format[..], &[name]].concat())
        };
        settings.fill("FLAVOR_ID", &flavor("tempest-small", "128", "1")?);
        settings.fill("FLAVOR_ID2", &flavor("tempest-larger", "192", "2")?);
        settings.fill("IMAGE_ID", &image("tempest-image")?);
        settings.fill("IMAGE_ID2", &image("tempest-image-2")?);
        settings.fill("IMAGE_FILE", "image.img");
        settings.fill("DIR", &self.workspace.display().to_string());
        let (host, port) = self.cloud.host_and_port();
        settings.fill("HOST", &host);
        settings.fill("PORT", &port);
        settings.fill("SSH_USER", "root");
        settings.fill("SSH_PASSWORD", "");
        let shown = self.openstack(&["configuration", "show", "--unmask", "-f", "json"])?;
        let shown: Value = serde_json::from_str(&shown).about("read the client's configuration")?;
        let password = shown["auth.password"].as_str().unwrap_or_default();
        settings.fill("ADMIN_PASSWORD", password);

        let catalog = self.openstack(&["catalog", "list", "-f", "json"])?;
        let catalog: Vec<Value> = serde_json::from_str(&catalog).about("read the catalog")?;
        let services: Vec<&str> =
            catalog.iter().filter_map(|service| service["Type"].as_str()).collect();
        settings.follow_catalog(&services);
        settings.not_yet(self.project)?;
        let conf = self.workspace.join("etc/tempest.conf");
        fs::write(&conf, settings.text()?).at(&conf)?;

        self.tempest()
            .args(["cleanup", "--init-saved-state"])
            .logged(&self.project.log("tempest-saved-state"))?;
        step.done(&format!("services: {}", services.join(" ")));
        Ok(())
    }

    /// Runs the selected tests and looks for what they left.
    fn run(&self, selection: &Selection) -> Result<Outcome> {
        let listed =
            self.tempest().args(["run", "--list-tests"]).args(&selection.options).read()?;
        let mut selected: Vec<String> = listed
            .lines()
            .filter(|line| line.starts_with("tempest."))
            .map(|line| line.trim().to_owned())
            .collect();
        selected.sort();
        if selected.is_empty() {
            return Err(Failure::new("No test of tempest was selected."));
        }
        let step = Step::begin(format!("running {} tests", selected.len()));
        let log = self.project.log("tempest-run");
        // It ends with 1 when a test failed; what counts is the stream of results.
        self.tempest()
            .args(["run", "--concurrency", WORKERS])
            .args(&selection.options)
            .logged_status(&log)?;
        step.done(&format!("output in {}", self.project.short(&log)));

        let stream = self.workspace.join("results.subunit");
        let results = self
            .in_workspace(Path::new("sh"))
            .args(["-c", "\"$1\" last --subunit > \"$4\"; exec \"$2\" \"$3\" < \"$4\"", "sh"])
            .arg(self.venv.program("stestr"))
            .arg(self.venv.program("python"))
            .arg(self.project.file("conformance/results.py"))
            .arg(&stream)
            .read()?;
        let mut outcome = Outcome::read(&results, &selected)?;
        outcome.leaked = self.leaks()?;
        Ok(outcome)
    }

    /// tempest's own look for what its tests left behind.
    fn leaks(&self) -> Result<bool> {
        let step = Step::begin("looking for what the tests left behind");
        self.tempest()
            .args(["cleanup", "--dry-run"])
            .logged(&self.project.log("tempest-dry-run"))?;
        let path = self.workspace.join("dry_run.json");
        let report = fs::read_to_string(&path).at(&path)?;
        let report: Value = serde_json::from_str(&report).at(&path)?;
        let left = outcome::leaks(&report);
        step.done(if left.is_empty() { "nothing" } else { "" });
        for thing in &left {
            say::line(&format!("left behind: {thing}"));
        }
        Ok(!left.is_empty())
    }
}
