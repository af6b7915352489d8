//! What the host's QEMU can: its version, its machine types, whether it filters system calls, and with
//! which acceleration machines run.

use std::{path::Path, process::Stdio, time::Duration};

use base::{Error, Result, World};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{HypervisorFacts, QemuConfig};
use crate::{
    HostFacts,
    qmp::{Message, Version},
};

/// Whether machines use the processors' virtualization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceleration {
    /// KVM where the processors can and `/dev/kvm` may be used, else TCG.
    #[default]
    Auto,
    /// KVM, even where it looks useless.
    Kvm,
    /// TCG: QEMU's own, slow and needing nothing.
    Tcg,
}

/// The usual family of machine types: measured to boot quicker than `q35`.
const FAMILY: &str = "pc-i440fx-";

#[derive(Clone, Debug)]
pub struct Probe {
    pub version: Version,
    pub machine_types: Vec<String>,
    /// That of new machines.
    pub machine_type: String,
    pub kvm: bool,
    pub reason: String,
    pub sandbox: bool,
}

impl Probe {
    /// Starts QEMU without a machine and asks it.
    pub async fn ask(
        world: &World,
        qemu: &Path,
        config: &QemuConfig,
        host: &HostFacts,
    ) -> Result<Probe> {
        // Where the filter is missing, QEMU refuses the option: asked in the same go, at once with it.
        let (plain, filtered) = tokio::join!(
            session(world, qemu, &[], &["query-machines"]),
            session(world, qemu, &["-sandbox", "on"], &[])
        );
        let lines = plain?;
        let mut version = None;
        let mut machine_types = Vec::new();
        for line in lines.lines() {
            match Message::read(line.as_bytes()) {
                Message::Greeting(found) => version = Some(found),
                Message::Return(_, serde_json::Value::Array(machines)) => {
                    let names = machines.iter().filter_map(|m| m.get("name")?.as_str());
                    machine_types = names.map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        let version = version.ok_or_else(|| {
            Error::unavailable(format!("{} does not greet as QEMU does.", qemu.display()))
        })?;
        let machine_type = match &config.machine_type {
            Some(wanted) if machine_types.contains(wanted) => wanted.clone(),
            Some(wanted) => {
                return Err(Error::bad_request(format!("This QEMU has no machine type {wanted}.")));
            }
            None => newest(&machine_types).ok_or_else(|| {
                Error::unavailable(format!(
                    "This QEMU has no machine type of the family {FAMILY}*."
                ))
            })?,
        };
        let usable = rustix::fs::access(
            "/dev/kvm",
            rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
        )
        .is_ok();
        let (kvm, reason) = choose(config.acceleration, host.virtualization, usable);
        let sandbox = filtered.is_ok();
        Ok(Probe { version, machine_types, machine_type, kvm, reason, sandbox })
    }

    pub fn facts(&self) -> HypervisorFacts {
        let Version { major, minor, micro } = self.version;
        HypervisorFacts {
            kind: "QEMU".to_owned(),
            version: major * 1_000_000 + minor * 1_000 + micro,
            acceleration: if self.kvm { "kvm" } else { "tcg" }.to_owned(),
            disk_formats: ["qcow2", "raw"].map(str::to_owned).to_vec(),
        }
    }
}

/// Whether to use KVM, and why.
fn choose(setting: Acceleration, processors: bool, device: bool) -> (bool, String) {
    let (kvm, why) = match (setting, processors, device) {
        (Acceleration::Kvm, _, _) => (true, "so configured"),
        (Acceleration::Tcg, _, _) => (false, "so configured"),
        (Acceleration::Auto, true, true) => {
            (true, "the processors have vmx or svm, and /dev/kvm may be used")
        }
        (Acceleration::Auto, true, false) => {
            (false, "the processors have vmx or svm, but /dev/kvm may not be used")
        }
        (Acceleration::Auto, false, _) => (false, "the processors have neither vmx nor svm"),
    };
    (kvm, why.to_owned())
}

/// The newest of the family, by its numbers.
fn newest(types: &[String]) -> Option<String> {
    types
        .iter()
        .filter_map(|name| {
            let numbers = name.strip_prefix(FAMILY)?.split('.').map(|n| n.parse::<u32>().ok());
            Some((numbers.collect::<Option<Vec<_>>>()?, name))
        })
        .max()
        .map(|(_, name)| name.clone())
}

async fn session(
    world: &World,
    qemu: &Path,
    options: &[&str],
    commands: &[&str],
) -> Result<String> {
    let fail = |what: String| Error::unavailable(format!("{} {what}", qemu.display()));
    let mut child = Command::new(qemu)
        .env_clear()
        .args(["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"])
        .args(options)
        .args(["-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| fail(format!("cannot be started: {e}")))?;
    let mut text = String::new();
    for command in ["qmp_capabilities"].iter().chain(commands).chain(&["quit"]) {
        text += &format!("{{\"execute\": \"{command}\"}}\n");
    }
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).await?;
            // Kept open: QEMU ends at `quit`.
            let output = child.wait_with_output().await;
            drop(stdin);
            return output;
        }
        child.wait_with_output().await
    };
    match world.timeout(Duration::from_secs(30), talk).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Ok(output)) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(fail(format!("ended with {}: {}", output.status, complaint.trim())))
        }
        Ok(Err(error)) => Err(fail(format!("cannot be asked: {error}"))),
        Err(_) => Err(fail("does not answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_machine_type() {
        let types = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let some = types(&["pc", "pc-i440fx-7.2", "pc-i440fx-10.0", "pc-i440fx-x", "pc-q35-11.0"]);
        assert_eq!(newest(&some).as_deref(), Some("pc-i440fx-10.0"));
        assert_eq!(newest(&types(&["microvm"])), None);
    }

    #[test]
    fn an_open_dev_kvm_alone_is_no_reason() {
        assert!(!choose(Acceleration::Auto, false, true).0);
        assert!(!choose(Acceleration::Auto, true, false).0);
        assert!(choose(Acceleration::Auto, true, true).0);
        assert!(choose(Acceleration::Kvm, false, false).0);
        assert!(!choose(Acceleration::Tcg, true, true).0);
    }
}
