//! Clouds to measure: started, logged into, ended.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::client::{Connection, Failure, Target, log_in};

/// The program, and where its clouds' state lies.
pub struct Place {
    pub program: PathBuf,
    pub dir: PathBuf,
}

/// A running cloud.
pub struct Cloud {
    child: Child,
    state: PathBuf,
    pub target: Target,
    pub password: String,
    /// From the program's start to the first authenticated answer.
    pub started_in: Duration,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        let _left = fs::remove_dir_all(&self.state);
    }
}

impl Place {
    /// Starts a cloud with these arguments to `up` and waits for its first authenticated answer.
    pub async fn up(&self, name: &str, args: &[&str]) -> Result<Cloud, Failure> {
        let state = self.dir.join(name);
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir_all(&state)?;
        let address = free_address()?;
        let log = fs::File::create(self.dir.join(format!("{name}.log")))?;
        let begin = Instant::now();
        let child = Command::new(&self.program)
            .arg("up")
            .arg("--state-dir")
            .arg(&state)
            .args(["--listen", &address.to_string(), "--log", "warn"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let target = Target { address, token: "".into() };
        let mut cloud =
            Cloud { child, state, target, password: String::new(), started_in: Duration::ZERO };
        cloud.log_in(begin).await?;
        Ok(cloud)
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Cloud {
    async fn log_in(&mut self, begin: Instant) -> Result<(), Failure> {
        let passwords = self.state.join("passwords.json");
        loop {
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("the cloud did not come up in a minute; see its log".into());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the cloud ended: {status}; see its log").into());
            }
            if let Ok(password) = read_password(&passwords) {
                let body = log_in("admin", &password, "admin");
                if let Ok(mut connection) = Connection::open(&self.target).await
                    && let Ok(answer) = connection.post("/identity/v3/auth/tokens", &body).await
                    && let Some(token) = answer.token
                {
                    self.password = password;
                    self.target.token = Arc::from(token);
                    let authenticated = Connection::open(&self.target)
                        .await?
                        .get("/identity/v3/auth/projects")
                        .await?;
                    authenticated.json()?;
                    self.started_in = begin.elapsed();
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Proportional memory of the cloud's process and its children, in MiB.
    pub fn pss_mib(&self) -> Result<f64, Failure> {
        let mut kib = 0.0;
        for pid in family(self.child.id())? {
            let text = match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
                Ok(text) => text,
                // It ended since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let line = text.lines().find(|line| line.starts_with("Pss:"));
            let words = line.and_then(|line| line.split_whitespace().nth(1)).ok_or("no Pss")?;
            kib += words.parse::<f64>()?;
        }
        Ok(kib / 1024.0)
    }

    /// A metric's value, all its labels summed.
    pub async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let answer = Connection::open(&self.target).await?.get("/metrics").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<f64> =
            lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        if values.is_empty() {
            return Err(format!("there is no metric {name}").into());
        }
        Ok(values.iter().sum())
    }
}

fn read_password(path: &Path) -> Result<String, Failure> {
    let value: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
    Ok(value["admin"].as_str().ok_or("no password")?.to_owned())
}

/// A process and all below it.
fn family(root: u32) -> Result<Vec<u32>, Failure> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let after = stat.rsplit(')').next().unwrap_or_default();
        if let Some(parent) = after.split_whitespace().nth(1).and_then(|p| p.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        let parent = all[at];
        all.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(all)
}
