//! QEMU's command line for a machine: a pure function. Files are named relative to the machine's
//! directory, in which QEMU starts, so that no path is too long for a socket.

use std::path::Path;

use orders::VmSpec;

use super::record::{CONSOLE, Record};

/// What a command line is made from.
pub struct Launching<'a> {
    pub record: &'a Record,
    pub spec: &'a VmSpec,
    pub machine_type: &'a str,
    pub kvm: bool,
    pub sandbox: bool,
    /// The machine's directory, as every agent on this node writes it.
    pub directory: &'a Path,
}

/// Where the process writes its number. Names the machine's directory in full: by this argument a
/// later agent recognises the process.
pub fn pid_file(directory: &Path) -> String {
    directory.join("run/pid").display().to_string()
}

/// The arguments, without the program.
pub fn arguments(launching: &Launching<'_>) -> Vec<String> {
    let Launching { record, spec, machine_type, kvm, sandbox, directory } = *launching;
    let mut all = Vec::new();
    let mut add = |option: &str, value: String| {
        all.push(option.to_owned());
        all.push(value);
    };
    let id = &record.id;
    add("-name", format!("guest={id},debug-threads=on"));
    if is_uuid(id) {
        add("-uuid", id.to_string());
    }
    // A guest that knows OpenStack looks at this name.
    add("-smbios", "type=1,manufacturer=Everstack,product=OpenStack Compute".to_owned());
    add("-machine", format!("{machine_type},usb=off,dump-guest-core=off,vmport=off"));
    if kvm {
        add("-accel", "kvm".to_owned());
        add("-cpu", "host".to_owned());
    } else {
        // The buffer of translated code would by default take as much as many a small guest.
        let buffer = (spec.ram_mib / 4).clamp(64, 512);
        add("-accel", format!("tcg,tb-size={buffer}"));
        add("-cpu", "max".to_owned());
    }
    add("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", spec.vcpus));
    add("-m", format!("size={}M", spec.ram_mib));
    all.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
    let mut add = |option: &str, value: String| {
        all.push(option.to_owned());
        all.push(value);
    };
    add("-display", "none".to_owned());
    add("-rtc", "base=utc".to_owned());
    add("-boot", "strict=on".to_owned());
    if sandbox {
        let denied = "obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        add("-sandbox", format!("on,{denied}"));
    }
    // A guest that goes down leaves its QEMU paused, so that an agent that was away can tell this
    // from a process that was killed.
    add("-action", "shutdown=pause".to_owned());
    add("-pidfile", pid_file(directory));
    add("-qmp", "unix:run/qmp.sock,server=on,wait=off".to_owned());
    add(
        "-chardev",
        format!(
            "socket,id=serial0,path=run/serial.sock,server=on,wait=off,logfile={CONSOLE},logappend=on"
        ),
    );
    add("-device", "isa-serial,chardev=serial0,id=serial".to_owned());
    add("-object", "rng-random,id=entropy,filename=/dev/urandom".to_owned());
    add("-device", "virtio-rng-pci,rng=entropy,id=rng,addr=0x3".to_owned());
    add("-device", "virtio-balloon-pci,id=balloon,addr=0x7".to_owned());
    disk(&mut add, "root", "qcow2", "root.qcow2", "addr=0x4,bootindex=1", true);
    if record.ephemeral {
        disk(&mut add, "ephemeral", "raw", "ephemeral.raw", "addr=0x5", true);
    }
    if record.swap {
        disk(&mut add, "swap", "raw", "swap.raw", "addr=0x6", true);
    }
    if spec.config_drive.is_some() {
        disk(&mut add, "config", "raw", "config.iso", "addr=0x8", false);
    }
    // Nothing runs before the agent has written down which process it is.
    all.push("-S".to_owned());
    all
}

fn disk(
    add: &mut impl FnMut(&str, String),
    name: &str,
    format: &str,
    file: &str,
    place: &str,
    writable: bool,
) {
    let access = if writable { "discard=unmap" } else { "read-only=on" };
    add("-blockdev", format!("driver=file,node-name={name}-file,filename={file},{access}"));
    add("-blockdev", format!("driver={format},node-name={name},file={name}-file,{access}"));
    add("-device", format!("virtio-blk-pci,drive={name},id=disk-{name},{place}"));
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use base::Epoch;

    use super::*;

    fn line(kvm: bool, change: impl FnOnce(&mut Record, &mut VmSpec)) -> String {
        let id = "9c6ddc5b-7e0a-4c8f-9d0f-2a1b3c4d5e6f";
        let mut record = Record::new(id.into(), Epoch(1));
        let mut spec = VmSpec {
            name: "a name, with -S and a \"quote\"".into(),
            vcpus: 2,
            ram_mib: 512,
            root_gib: 1,
            ephemeral_gib: 0,
            swap_mib: 0,
            image: None,
            config_drive: None,
            only_here: true,
        };
        change(&mut record, &mut spec);
        let launching = Launching {
            record: &record,
            spec: &spec,
            machine_type: "pc-i440fx-7.2",
            kvm,
            sandbox: true,
            directory: Path::new("/state/machines/x"),
        };
        arguments(&launching).join(" ")
    }

    #[test]
    fn a_plain_machine() {
        let line = line(false, |_, _| {});
        for part in [
            "-name guest=9c6ddc5b-7e0a-4c8f-9d0f-2a1b3c4d5e6f,debug-threads=on",
            "-uuid 9c6ddc5b-7e0a-4c8f-9d0f-2a1b3c4d5e6f",
            "-machine pc-i440fx-7.2,",
            "-accel tcg,tb-size=128 -cpu max",
            "-smp cpus=2,sockets=1,cores=2,threads=1 -m size=512M",
            "-nodefaults -no-user-config",
            "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-action shutdown=pause",
            "-pidfile /state/machines/x/run/pid",
            "drive=root,id=disk-root,addr=0x4",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(line.ends_with(" -S"));
        assert!(!line.contains("quote"), "a tenant's text is not on the command line");
        assert!(
            !line.contains("swap") && !line.contains("ephemeral") && !line.contains("config.iso")
        );
    }

    #[test]
    fn all_disks_and_kvm() {
        let line = line(true, |record, spec| {
            record.ephemeral = true;
            record.swap = true;
            spec.config_drive = Some(orders::ConfigDrive::default());
        });
        assert!(line.contains("-accel kvm -cpu host"));
        let place = |part: &str| line.find(part).unwrap_or_else(|| panic!("{part} in {line}"));
        let order = ["addr=0x4", "addr=0x5", "addr=0x6", "addr=0x8"].map(place);
        assert!(order.is_sorted(), "guests name disks in the order of their addresses");
        assert!(line.contains("filename=config.iso,read-only=on"));
    }

    #[test]
    fn ids_that_are_no_uuids_set_none() {
        let line = line(false, |record, _| record.id = "vm-1".into());
        assert!(line.contains("guest=vm-1,") && !line.contains("-uuid"));
    }
}
