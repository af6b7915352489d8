//! The user that QEMU runs as. Root's agent gives it one without rights; an ordinary user's agent
//! cannot, and says so.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use base::Result;

use super::{Hardening, record::failed};

/// Debian's name for it.
pub const USUAL: &str = "libvirt-qemu";
/// The number that Debian keeps for that name, also where the package that makes it is missing.
const USUAL_ID: u32 = 64_055;

/// Who QEMU runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User and group; none: the agent's own.
    pub ids: Option<(u32, u32)>,
    how: String,
}

impl Account {
    /// `user` is a name, `uid:gid`, or `root`. It must be able to come to all of `places`.
    pub fn choose(user: &str, places: &[&Path], kvm: bool) -> Account {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        let root = rustix::process::geteuid().is_root();
        let wanted = ids(user, root, &passwd, if kvm { &group } else { "" });
        let Ok((uid, gid)) = wanted else {
            let how = wanted.err().unwrap_or_default();
            return Account { ids: None, how };
        };
        let mut all = places.iter().flat_map(|place| place.ancestors());
        if let Some(closed) = all.find(|place| !may_pass(place, uid, gid)) {
            let how = format!(
                "QEMU runs as root: user {uid} may not pass {}, mend with `chmod o+x`",
                closed.display()
            );
            return Account { ids: None, how };
        }
        Account { ids: Some((uid, gid)), how: format!("QEMU runs as user {uid}, group {gid}") }
    }

    /// Whether it holds here.
    pub fn hardening(&self) -> Hardening {
        Hardening { what: "own user", holds: self.ids.is_some(), how: self.how.clone() }
    }

    /// Gives a file to QEMU.
    pub fn give(&self, path: &Path, mode: u32) -> Result<()> {
        if let Some((uid, gid)) = self.ids {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(|e| failed("give to QEMU's user", path, e))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|e| failed("set the permissions of", path, e))
    }
}

fn ids(user: &str, root: bool, passwd: &str, group: &str) -> Result<(u32, u32), String> {
    if !root {
        return Err("QEMU runs as the agent's user: only root can give it another".to_owned());
    }
    if user == "root" {
        return Err("QEMU runs as root: so configured".to_owned());
    }
    if let Some((uid, gid)) = user.split_once(':')
        && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
    {
        return Ok((uid, gid));
    }
    let field = |line: &str, at: usize| line.split(':').nth(at).map(str::to_owned);
    let number = |line: &str, at| field(line, at)?.parse::<u32>().ok();
    let kvm = group.lines().find(|line| line.starts_with("kvm:")).and_then(|line| number(line, 2));
    if let Some(line) = passwd.lines().find(|line| field(line, 0).as_deref() == Some(user)) {
        return match (number(line, 2), number(line, 3)) {
            (Some(uid), Some(gid)) => Ok((uid, kvm.unwrap_or(gid))),
            _ => Err(format!("QEMU runs as root: user {user} in /etc/passwd has no number")),
        };
    }
    if user == USUAL && !passwd.lines().any(|line| number(line, 2) == Some(USUAL_ID)) {
        return Ok((USUAL_ID, kvm.unwrap_or(USUAL_ID)));
    }
    Err(format!("QEMU runs as root: there is no user {user}"))
}

fn may_pass(directory: &Path, uid: u32, gid: u32) -> bool {
    let Ok(data) = fs::metadata(directory) else { return false };
    let bit = if data.uid() == uid {
        0o100
    } else if data.gid() == gid {
        0o010
    } else {
        0o001
    };
    data.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nqemu:x:107:108::/:/bin/false\n";

    #[test]
    fn who_it_is() {
        assert_eq!(ids("qemu", true, PASSWD, ""), Ok((107, 108)));
        assert_eq!(ids("qemu", true, PASSWD, "kvm:x:993:\n"), Ok((107, 993)));
        assert_eq!(ids("7:8", true, PASSWD, ""), Ok((7, 8)));
        assert_eq!(ids(USUAL, true, PASSWD, ""), Ok((USUAL_ID, USUAL_ID)), "kept by Debian");
        let taken = format!("{PASSWD}somebody:x:{USUAL_ID}:1::/:/bin/sh\n");
        assert!(ids(USUAL, true, &taken, "").is_err(), "somebody else's number");
        assert!(ids("nobody-here", true, PASSWD, "").is_err());
        assert!(ids("root", true, PASSWD, "").is_err());
        assert!(ids("qemu", false, PASSWD, "").is_err(), "only root can");
    }

    #[test]
    fn closed_directories_are_seen() {
        let outer = tempfile::tempdir().expect("a directory");
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).expect("a directory");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o711)).expect("permissions");
        assert!(may_pass(&inner, 7, 7));
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).expect("permissions");
        assert!(!may_pass(&inner, 4_000_000, 4_000_000));
    }
}
