//! Which packages are needed for what. Names only, never a version: the machine's own release
//! decides, and a version written here would be gone from the mirrors within weeks.

/// A reason to need packages.
#[derive(Debug)]
pub struct Purpose {
    /// The word for it on the command line.
    pub name: &'static str,
    /// The reason, for the person who is asked.
    pub why: &'static str,
    /// Debian package names.
    pub packages: &'static [&'static str],
    /// (package, service): services that a package would start, and that must stay off.
    pub services: &'static [(&'static str, &'static str)],
    /// Commands that work when a private copy is whole; their input is `quit`.
    pub proofs: &'static [&'static [&'static str]],
}

/// Compiling the workspace, beside gcc, libc6-dev and Rust.
pub static BUILD: Purpose = Purpose {
    name: "build",
    why: "compiles the protocol of etcd",
    packages: &["protobuf-compiler", "libprotobuf-dev"],
    services: &[],
    proofs: &[],
};

/// Running real virtual machines.
pub static MACHINES: Purpose = Purpose {
    name: "machines",
    why: "runs virtual machines",
    packages: &["qemu-system-x86", "qemu-utils"],
    services: &[],
    proofs: &[
        // Loads the emulator's accelerator, firmware and a display-less machine, then quits.
        &[
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-machine",
            "q35",
            "-nodefaults",
            "-display",
            "none",
            "-S",
            "-monitor",
            "stdio",
        ],
        &["qemu-img", "--version"],
    ],
};

/// Making the test image.
pub static IMAGE: Purpose = Purpose {
    name: "image",
    why: "makes the bootable test image",
    packages: &["cpio", "e2fsprogs", "fdisk", "grub-common", "grub-pc-bin", "binutils"],
    services: &[],
    proofs: &[],
};

/// The command-line client and tempest.
pub static CLIENT: Purpose = Purpose {
    name: "client",
    why: "runs the openstack client in a virtual environment",
    packages: &["python3", "python3-venv", "ca-certificates"],
    services: &[],
    proofs: &[],
};

/// The store of a cloud with several controllers.
pub static STORE: Purpose = Purpose {
    name: "store",
    why: "the store of several controllers, for its tests",
    packages: &["etcd-server", "etcd-client"],
    services: &[("etcd-server", "etcd.service")],
    proofs: &[],
};

/// The wrapper around tests that touch the real system.
pub static NAMESPACES: Purpose = Purpose {
    name: "namespaces",
    why: "keeps real tests away from the machine's network",
    packages: &["iproute2", "util-linux", "mount"],
    services: &[],
    proofs: &[],
};

/// Trying the two commands of the README in an empty Debian.
pub static CLEAN_ROOM: Purpose = Purpose {
    name: "clean-room",
    why: "makes an empty Debian to try the commands in; not needed otherwise",
    packages: &["debootstrap"],
    services: &[],
    proofs: &[],
};

/// Every purpose.
pub fn all() -> [&'static Purpose; 7] {
    [&BUILD, &MACHINES, &IMAGE, &CLIENT, &STORE, &NAMESPACES, &CLEAN_ROOM]
}
