//! Python programs of others, each set in a virtual environment under `target/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{About, Result};
use crate::project::Project;
use crate::say::Step;

/// A virtual environment that is ready.
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// Makes `target/<name>` with these requirements, unless it is there already.
    pub fn ensure(project: &Project, name: &str, requirements: &[&str]) -> Result<Self> {
        let venv = Self { folder: project.made(name) };
        let stamp = venv.folder.join("made-from");
        // Its scripts name the folder, so a moved checkout needs a new one.
        let wanted = format!("{}\n{}", venv.folder.display(), requirements.join("\n"));
        let runs = || project.run(venv.program("python")).arg("--version").accepts("");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && runs() {
            return Ok(venv);
        }
        let step = Step::begin(format!("installing {} from PyPI", requirements.join(" and ")));
        let _ = fs::remove_dir_all(&venv.folder);
        // Debian's python, to which the package python3-venv belongs; another may come first.
        let python = Path::new("/usr/bin/python3");
        let python = if python.exists() { python } else { Path::new("python3") };
        let log = project.log(name);
        project.run(python).args(["-m", "venv"]).arg(&venv.folder).logged(&log)?;
        project
            .run(venv.program("pip"))
            .args(["install", "--disable-pip-version-check", "--no-input"])
            .args(requirements)
            .logged(&log)?;
        fs::write(&stamp, wanted).at(&stamp)?;
        step.done("");
        Ok(venv)
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}
