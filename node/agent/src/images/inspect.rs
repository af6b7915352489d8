//! A look at an image's header before anything trusts it: it must be what it says, and must not name
//! another file that a machine of its owner could then read.

use base::{Error, Result};

/// So much of the beginning is looked at.
pub(super) const HEADER: usize = 64 << 10;

const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
/// Dirty, corrupt, data file, compression type, extended L2 entries.
const INCOMPATIBLE_KNOWN: u64 = 0b1_1111;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// Checks the beginning of an image of `length` bytes that is said to be of `format`. Returns the size
/// of the disk in it.
pub(super) fn inspect(header: &[u8], length: u64, format: &str) -> Result<u64> {
    let qcow2 = header.starts_with(b"QFI\xfb");
    match format {
        "raw" if qcow2 => refuse("it is said to be raw, but is qcow2"),
        "raw" => Ok(length),
        "qcow2" if qcow2 => inspect_qcow2(header),
        "qcow2" => refuse("it is said to be qcow2, but is not"),
        other => {
            refuse(&format!("disks of format {other} cannot be booted here, only qcow2 and raw"))
        }
    }
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::bad_request(format!("The image cannot be used: {why}.")))
}

fn inspect_qcow2(header: &[u8]) -> Result<u64> {
    let (Some(version), Some(backing), Some(cluster_bits), Some(size), Some(crypt)) = (
        u32_at(header, 4),
        u64_at(header, 8),
        u32_at(header, 20),
        u64_at(header, 24),
        u32_at(header, 32),
    ) else {
        return refuse("its header is cut short");
    };
    if !(2..=3).contains(&version) {
        return refuse(&format!("version {version} of qcow2 is not known"));
    }
    if backing != 0 {
        return refuse("it names a backing file");
    }
    if !(9..=21).contains(&cluster_bits) {
        return refuse("the size of its clusters is not allowed");
    }
    if crypt != 0 {
        return refuse("it is encrypted");
    }
    let mut extensions = 72;
    if version == 3 {
        let (Some(incompatible), Some(header_length)) = (u64_at(header, 72), u32_at(header, 100))
        else {
            return refuse("its header is cut short");
        };
        if incompatible & INCOMPATIBLE_DATA_FILE != 0 {
            return refuse("it names an external data file");
        }
        if incompatible & INCOMPATIBLE_CORRUPT != 0 {
            return refuse("it is marked as corrupt");
        }
        if incompatible & !INCOMPATIBLE_KNOWN != 0 {
            return refuse("it has features that are not known");
        }
        if !(104..=4096).contains(&header_length) {
            return refuse("the length of its header is not allowed");
        }
        extensions = usize::try_from(header_length).unwrap_or(usize::MAX);
    }
    inspect_extensions(header, extensions, 1 << cluster_bits)?;
    Ok(size)
}

/// The header's extensions end with one of kind 0, with the first cluster, or in nonsense.
fn inspect_extensions(header: &[u8], mut at: usize, cluster: usize) -> Result<()> {
    while at < cluster {
        let (Some(kind), Some(length)) = (u32_at(header, at), u32_at(header, at + 4)) else {
            // Past what was read: real headers are far smaller.
            return if cluster > HEADER && header.len() >= HEADER {
                refuse("its header is too long")
            } else {
                Ok(())
            };
        };
        match kind {
            0 => return Ok(()),
            EXTENSION_DATA_FILE => return refuse("it names an external data file"),
            _ => {}
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        at = at.saturating_add(8).saturating_add(length.div_ceil(8).saturating_mul(8));
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A qcow2 header as `qemu-img create` writes it.
    pub fn qcow2(size: u64) -> Vec<u8> {
        let mut header = vec![0; 65_536];
        header[..4].copy_from_slice(b"QFI\xfb");
        header[4..8].copy_from_slice(&3_u32.to_be_bytes());
        header[20..24].copy_from_slice(&16_u32.to_be_bytes());
        header[24..32].copy_from_slice(&size.to_be_bytes());
        header[100..104].copy_from_slice(&112_u32.to_be_bytes());
        // The table of feature names, as every real one has it.
        header[112..116].copy_from_slice(&0x6803_f857_u32.to_be_bytes());
        header[116..120].copy_from_slice(&0x180_u32.to_be_bytes());
        header
    }

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut header = qcow2(1 << 30);
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header
    }

    fn refused(header: &[u8], format: &str) -> String {
        inspect(header, header.len() as u64, format).expect_err("refused").message().to_owned()
    }

    #[test]
    fn plain_images_pass() {
        assert_eq!(inspect(&qcow2(1 << 30), 65_536, "qcow2").expect("good"), 1 << 30);
        assert_eq!(inspect(b"anything", 8, "raw").expect("good"), 8);
        assert_eq!(inspect(b"", 0, "raw").expect("good"), 0);
        let mut old = with(4, &2_u32.to_be_bytes());
        old[72..200].fill(0);
        assert_eq!(inspect(&old, 65_536, "qcow2").expect("good"), 1 << 30);
    }

    #[test]
    fn hostile_images_do_not() {
        assert!(refused(&with(8, &200_u64.to_be_bytes()), "qcow2").contains("backing file"));
        assert!(refused(&with(72, &4_u64.to_be_bytes()), "qcow2").contains("data file"));
        let mut extension = with(112, &EXTENSION_DATA_FILE.to_be_bytes());
        extension[116..120].copy_from_slice(&8_u32.to_be_bytes());
        assert!(refused(&extension, "qcow2").contains("data file"));
        // Behind another extension.
        let after = 112 + 8 + 0x180;
        assert!(
            refused(&with(after, &EXTENSION_DATA_FILE.to_be_bytes()), "qcow2")
                .contains("data file")
        );
        assert!(refused(&with(72, &(1_u64 << 40).to_be_bytes()), "qcow2").contains("not known"));
        assert!(refused(&with(72, &2_u64.to_be_bytes()), "qcow2").contains("corrupt"));
        assert!(refused(&with(32, &1_u32.to_be_bytes()), "qcow2").contains("encrypted"));
        assert!(refused(&with(4, &9_u32.to_be_bytes()), "qcow2").contains("version 9"));
        assert!(refused(&with(20, &40_u32.to_be_bytes()), "qcow2").contains("clusters"));
        assert!(refused(&qcow2(1), "raw").contains("is qcow2"));
        assert!(refused(b"no header", "qcow2").contains("is not"));
        assert!(refused(b"QFI\xfb\0", "qcow2").contains("cut short"));
        assert!(refused(b"KDMV", "vmdk").contains("vmdk"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            magic in any::<bool>(),
            format in prop_oneof![Just("raw"), Just("qcow2")],
        ) {
            let mut bytes = bytes;
            if magic && bytes.len() >= 8 {
                bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
            }
            let _ = inspect(&bytes, bytes.len() as u64, format);
        }
    }
}
