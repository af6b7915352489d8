//! A cloud as a process that dies and is started again, and a client that bears it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base::World;
use everstack::{client::Client, credentials::Passwords};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doomed;

/// How long anything may take to settle: the promise.
pub const SETTLED: Duration = Duration::from_secs(60);

/// The cloud.
pub struct Cloud {
    pub world: World,
    directory: tempfile::TempDir,
    command: Vec<String>,
    url: String,
    process: Option<Child>,
    client: Option<Client>,
    /// How often it was started.
    pub starts: usize,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An answer: its status and its body.
pub type Answer = (StatusCode, Value);

impl Cloud {
    /// The program itself, with these arguments to `up`.
    pub fn program(world: &World, arguments: &[&str]) -> Cloud {
        let mut command = vec![env!("CARGO_BIN_EXE_everstack").to_owned(), "up".into()];
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        command.extend(["--listen".into(), "127.0.0.1:5000".into(), "--state-dir".into()]);
        Cloud::new(world, command, 5000)
    }

    /// The cloud that dies at its commits.
    pub fn doomed(world: &World) -> Cloud {
        Cloud::new(world, vec![], doomed::PORT)
    }

    fn new(world: &World, command: Vec<String>, port: u16) -> Cloud {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(directory.path(), open).expect("permissions");
        Cloud {
            world: world.clone(),
            directory,
            command,
            url: format!("http://127.0.0.1:{port}"),
            process: None,
            client: None,
            starts: 0,
        }
    }

    /// Its state directory.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().join("cloud")
    }

    /// Starts the process; does not wait for it.
    pub fn start(&mut self) {
        let log = self.directory.path().join("log");
        let log = fs::File::options().append(true).create(true).open(log).expect("a log");
        let mut command = match self.command.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(self.directory());
                command.env_remove("EVERSTACK_TEST_IMAGE");
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.env(doomed::DIRECTORY, self.directory());
                command
            }
        };
        let errors = log.try_clone().expect("the log");
        let process = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.process = Some(process.expect("a cloud"));
        self.starts += 1;
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have died already.
            let _died = process.kill();
            process.wait().expect("it ends");
        }
    }

    /// Whether the process has ended by itself; then it must have been killed.
    fn died(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let Some(process) = &mut self.process else { return true };
        match process.try_wait().expect("a state") {
            None => false,
            Some(status) => {
                assert_eq!(status.signal(), Some(9), "it ended ({status}):\n{}", self.log());
                self.process = None;
                true
            }
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = fs::read(self.directory.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Runs, is ready, and knows this client; started (again) as often as it takes.
    pub async fn ready(&mut self) {
        let deadline = self.world.now() + SETTLED;
        loop {
            assert!(self.world.now() < deadline, "it is not ready in time:\n{}", self.log());
            if self.died() {
                self.start();
            }
            if self.client.is_none() {
                self.log_in().await;
            }
            if let Some(client) = &self.client
                && client.status("/readyz").await.is_ok_and(|(status, _)| status == 200)
            {
                return;
            }
            self.world.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn log_in(&mut self) {
        if !self.directory().join("passwords.json").exists() {
            return;
        }
        let Ok(passwords) = Passwords::open_or_make(&self.world, &self.directory()) else { return };
        let mut client = Client::new(&self.world, &self.url, None);
        if client.log_in(passwords.admin.expose()).await.is_ok() {
            self.client = Some(client);
        }
    }

    /// One request; none when nobody knows what became of it.
    pub async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        self.ready().await;
        let client = self.client.as_ref().expect("it is ready");
        let (status, body) = client.request(method.clone(), path, body.as_ref()).await.ok()?;
        assert!(status != 500, "{method} {path}: {status} {body}\n{}", self.log());
        // It may be answered while the process dies: nothing is known then either.
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some((status, body))
    }

    /// A request that may be repeated, until it is answered as one of these.
    pub async fn insist(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        statuses: &[u16],
    ) -> Value {
        let deadline = self.world.now() + SETTLED;
        loop {
            if let Some((status, answer)) = self.ask(method.clone(), path, body.clone()).await {
                assert!(statuses.contains(&status.as_u16()), "{method} {path}: {status} {answer}");
                return answer;
            }
            assert!(self.world.now() < deadline, "{method} {path} is never answered");
        }
    }

    /// GET.
    pub async fn get(&mut self, path: &str) -> Value {
        self.insist(Method::GET, path, None, &[200]).await
    }

    /// Makes something that `find` finds once it is there: made at most once, however answers are lost.
    pub async fn make(&mut self, find: &str, list: &str, path: &str, body: Value) -> Value {
        let deadline = self.world.now() + SETTLED;
        loop {
            if let Some(found) = self.get(find).await[list].as_array().and_then(|all| all.first()) {
                return found.clone();
            }
            if let Some((status, answer)) = self.ask(Method::POST, path, Some(body.clone())).await {
                assert!(status.is_success(), "POST {path}: {status} {answer}");
            }
            assert!(self.world.now() < deadline, "{path}: {body} is never made");
        }
    }

    /// A public image of this name with these bytes.
    pub async fn image(&mut self, name: &str, format: &str, bytes: &Path) -> String {
        let find = format!("/image/v2/images?name={name}");
        let wish = json!({"name": name, "disk_format": format, "container_format": "bare",
            "visibility": "public"});
        let image = self.make(&find, "images", "/image/v2/images", wish).await;
        let id = image["id"].as_str().expect("an id").to_owned();
        let deadline = self.world.now() + SETTLED;
        while self.get(&format!("/image/v2/images/{id}")).await["status"] != "active" {
            assert!(self.world.now() < deadline, "the image is never active:\n{}", self.log());
            let bytes = fs::read(bytes).expect("the image").into();
            let client = self.client.as_ref().expect("it is ready");
            // An upload whose end is unknown is looked at above.
            let _unknown = client.put(&format!("/image/v2/images/{id}/file"), bytes).await;
        }
        id
    }

    /// A flavor `f`.
    pub async fn flavor(&mut self, ram: u64) {
        let wish = json!({"flavor": {"name": "f", "id": "f", "ram": ram, "vcpus": 1, "disk": 1}});
        loop {
            let path = "/compute/v2.1/flavors";
            let Some((status, answer)) = self.ask(Method::POST, path, Some(wish.clone())).await
            else {
                continue;
            };
            // There already: the answer to its making was lost.
            assert!(status == 200 || status == 409, "{status} {answer}");
            return;
        }
    }

    /// A quota of the first project that nothing here uses up.
    pub async fn plenty(&mut self) {
        let project = self.get("/identity/v3/projects?name=admin").await;
        let id = project["projects"][0]["id"].as_str().expect("an id");
        let plenty = json!({"quota_set": {"instances": 1000, "cores": 1000, "ram": 1_000_000}});
        let path = format!("/compute/v2.1/os-quota-sets/{id}");
        self.insist(Method::PUT, &path, Some(plenty), &[200]).await;
    }
}
