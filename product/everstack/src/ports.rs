//! Who holds a port: the question an operator asks next when one is taken.

use std::{fs, net::SocketAddr, path::Path};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its program's name.
    pub program: String,
}

/// The process that listens on an address's port, if it can be seen by this user.
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, address.port()))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in open.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if inode.is_some_and(|inode| inodes.iter().any(|known| known == inode)) {
                return Some(Holder { pid, program: program(&process.path()) });
            }
        }
    }
    None
}

fn program(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned()
}

/// The inodes of sockets that listen on the port, from a table as in /proc/net/tcp.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let port = format!("{port:04X}");
    let mut inodes = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = fields[..]
            && local.rsplit(':').next() == Some(&port)
        {
            inodes.push(inode.to_owned());
        }
    }
    inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_our_own_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = holder(socket.local_addr().unwrap()).unwrap();
        assert_eq!(found.pid, std::process::id());
    }

    #[test]
    fn a_damaged_table_gives_nothing() {
        assert!(listening("\nx\n 0: 00:1 2", 1).is_empty());
    }
}
