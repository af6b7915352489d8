//! Good images of every format, what is done to make them bad, and noise.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::{Format, Match, Source, Verdict, inspect, judge};

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A version 3 image of 1 MiB with clusters of 64 KiB: header, reference counts, first and second level.
fn qcow2() -> Vec<u8> {
    let mut b = vec![0; 5 << 16];
    set(&mut b, 0, b"QFI\xfb");
    set(&mut b, 4, &3_u32.to_be_bytes());
    set(&mut b, 20, &16_u32.to_be_bytes());
    set(&mut b, 24, &(1_u64 << 20).to_be_bytes());
    set(&mut b, 36, &1_u32.to_be_bytes());
    set(&mut b, 40, &(3_u64 << 16).to_be_bytes());
    set(&mut b, 48, &(1_u64 << 16).to_be_bytes());
    set(&mut b, 56, &1_u32.to_be_bytes());
    set(&mut b, 96, &4_u32.to_be_bytes());
    set(&mut b, 100, &112_u32.to_be_bytes());
    set(&mut b, 3 << 16, &((4_u64 << 16) | 1 << 63).to_be_bytes());
    b
}

const DESCRIPTION: &str = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
    createType=\"monolithicSparse\"\n\n# Extent description\nRW 2048 SPARSE \"disk.vmdk\"\n\
    ddb.virtualHWVersion = \"4\"\nddb.geometry.heads = \"16\"\n";

fn vmdk_of(description: &str) -> Vec<u8> {
    let mut b = vec![0; 64 * 512];
    set(&mut b, 0, b"KDMV");
    set(&mut b, 4, &1_u32.to_le_bytes());
    set(&mut b, 12, &2048_u64.to_le_bytes());
    set(&mut b, 28, &1_u64.to_le_bytes());
    set(&mut b, 36, &20_u64.to_le_bytes());
    set(&mut b, 512, description.as_bytes());
    b
}

fn vmdk() -> Vec<u8> {
    vmdk_of(DESCRIPTION)
}

/// A streamed one, whose tables' place stands in a footer.
fn vmdk_streamed() -> Vec<u8> {
    let mut b = vmdk_of(&DESCRIPTION.replace("monolithicSparse", "streamOptimized"));
    set(&mut b, 56, &u64::MAX.to_le_bytes());
    let mut footer = b[..512].to_vec();
    set(&mut footer, 56, &30_u64.to_le_bytes());
    let end = b.len() - 1536;
    set(&mut b, end + 12, &3_u32.to_le_bytes());
    set(&mut b, end + 512, &footer);
    b
}

fn vhd_footer(kind: u32, size: u64) -> Vec<u8> {
    let mut f = vec![0; 512];
    set(&mut f, 0, b"conectix");
    set(&mut f, 16, &512_u64.to_be_bytes());
    set(&mut f, 40, &size.to_be_bytes());
    set(&mut f, 48, &size.to_be_bytes());
    set(&mut f, 60, &kind.to_be_bytes());
    vhd_sum(&mut f);
    f
}

fn vhd_sum(footer: &mut [u8]) {
    set(footer, 64, &[0; 4]);
    let sum = footer[..512].iter().fold(0_u32, |sum, byte| sum + u32::from(*byte));
    set(footer, 64, &(!sum).to_be_bytes());
}

fn vhd() -> Vec<u8> {
    let mut b = vhd_footer(3, 4 << 20);
    b.resize(4096, 0);
    set(&mut b, 512, b"cxsparse");
    set(&mut b, 512 + 16, &1536_u64.to_be_bytes());
    set(&mut b, 512 + 28, &2_u32.to_be_bytes());
    set(&mut b, 512 + 32, &(2_u32 << 20).to_be_bytes());
    b
}

fn vhd_fixed() -> Vec<u8> {
    let mut b = vec![7; 8192];
    b.extend(vhd_footer(2, 8192));
    b
}

fn vhdx() -> Vec<u8> {
    let guid = |text: &str| {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let bytes: Vec<u8> =
            (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex")).collect();
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        order.map(|at| bytes[at])
    };
    let mut b = vec![0; 512 << 10];
    set(&mut b, 0, b"vhdxfile");
    let regions = 192 << 10;
    set(&mut b, regions, b"regi");
    set(&mut b, regions + 8, &1_u32.to_le_bytes());
    set(&mut b, regions + 16, &guid("8B7CA206-4790-4B9A-B8FE-575F050F886E"));
    set(&mut b, regions + 32, &(256_u64 << 10).to_le_bytes());
    let facts = 256 << 10;
    set(&mut b, facts, b"metadata");
    set(&mut b, facts + 10, &2_u16.to_le_bytes());
    set(&mut b, facts + 32, &guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B"));
    set(&mut b, facts + 48, &(64_u32 << 10).to_le_bytes());
    set(&mut b, facts + 64, &guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8"));
    set(&mut b, facts + 80, &((64_u32 << 10) + 8).to_le_bytes());
    set(&mut b, facts + (64 << 10) + 8, &(3_u64 << 20).to_le_bytes());
    b
}

fn vdi() -> Vec<u8> {
    let mut b = vec![0; 4096];
    set(&mut b, 0x40, &0xbeda_107f_u32.to_le_bytes());
    set(&mut b, 0x44, &0x0001_0001_u32.to_le_bytes());
    set(&mut b, 0x4c, &1_u32.to_le_bytes());
    set(&mut b, 0x154, &512_u32.to_le_bytes());
    set(&mut b, 0x170, &(3_u64 << 20).to_le_bytes());
    set(&mut b, 0x178, &(1_u32 << 20).to_le_bytes());
    set(&mut b, 0x180, &3_u32.to_le_bytes());
    b
}

fn iso() -> Vec<u8> {
    let mut b = vec![0; 64 << 10];
    set(&mut b, 32 << 10, b"\x01CD001");
    set(&mut b, (32 << 10) + 80, &20_u32.to_le_bytes());
    set(&mut b, (32 << 10) + 128, &2048_u16.to_le_bytes());
    b
}

fn luks() -> Vec<u8> {
    let mut b = vec![0; 1 << 20];
    set(&mut b, 0, b"LUKS\xba\xbe\0\x01");
    set(&mut b, 104, &8_u32.to_be_bytes());
    b
}

fn gpt() -> Vec<u8> {
    let mut b = vec![0; 4096];
    set(&mut b, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    set(&mut b, 510, &[0x55, 0xaa]);
    b
}

fn mbr() -> Vec<u8> {
    let mut b = vec![0; 4096];
    set(&mut b, 446, &[0x80, 1, 1, 0, 0x83, 0, 0, 0, 64, 0, 0, 0]);
    set(&mut b, 510, &[0x55, 0xaa]);
    b
}

/// Every good image: its format and its disk's size.
fn good() -> Vec<(Format, u64, Vec<u8>)> {
    vec![
        (Format::Raw, 5, b"bytes".to_vec()),
        (Format::Raw, 0, Vec::new()),
        (Format::Qcow2, 1 << 20, qcow2()),
        (Format::Vmdk, 1 << 20, vmdk()),
        (Format::Vmdk, 1 << 20, vmdk_streamed()),
        (Format::Vhd, 4 << 20, vhd()),
        (Format::Vhd, 8192, vhd_fixed()),
        (Format::Vhdx, 3 << 20, vhdx()),
        (Format::Vdi, 3 << 20, vdi()),
        (Format::Iso, 40 << 10, iso()),
        (Format::Luks, (1 << 20) - 4096, luks()),
        (Format::Gpt, 4096, gpt()),
        (Format::Gpt, 4096, mbr()),
    ]
}

fn look(bytes: &Vec<u8>) -> Vec<Match> {
    inspect(bytes).expect("bytes in memory can be read")
}

#[test]
fn good_images_are_what_they_are() {
    for (format, virtual_size, bytes) in good() {
        assert_eq!(look(&bytes), [Match { format, virtual_size, refusal: None }]);
        let good = Verdict::Good { virtual_size: Some(virtual_size) };
        assert_eq!(judge(&look(&bytes), format.name()), good);
        for declared in ["qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso"] {
            if declared != format.name() {
                let verdict = judge(&look(&bytes), declared);
                assert!(
                    matches!(verdict, Verdict::Mismatch(_)),
                    "{declared} {format:?} {verdict:?}"
                );
            }
        }
        // As raw, everything is just bytes; and what cannot be recognised may be any of them.
        if format != Format::Raw {
            assert_eq!(judge(&look(&bytes), "raw"), Verdict::Good { virtual_size: None });
        }
        let kernel = judge(&look(&bytes), "aki");
        assert_eq!(kernel == Verdict::Good { virtual_size: None }, format == Format::Raw);
    }
}

#[track_caller]
fn refused(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>), why: &str) {
    change(&mut bytes);
    let matches = look(&bytes);
    let refusal = matches.iter().find_map(|found| found.refusal.clone());
    assert_eq!(refusal.as_deref(), Some(why), "{matches:?}");
    let format = matches.iter().find(|found| found.refusal.is_some()).expect("refused").format;
    assert!(matches!(judge(&matches, format.name()), Verdict::Unsafe(_)));
}

#[test]
fn bad_qcow2() {
    let at = |at: usize, value: &'static [u8]| move |b: &mut Vec<u8>| set(b, at, value);
    refused(qcow2(), at(15, &[1]), "it has a backing file");
    refused(qcow2(), at(79, &[4]), "it keeps its data in another file");
    refused(qcow2(), at(79, &[2]), "it is marked as corrupt");
    refused(qcow2(), at(79, &[32]), "it needs features that are not known here");
    refused(qcow2(), at(72, &[128]), "it needs features that are not known here");
    refused(qcow2(), at(7, &[1]), "its version is neither 2 nor 3");
    refused(qcow2(), at(7, &[4]), "its version is neither 2 nor 3");
    refused(qcow2(), at(23, &[8]), "its clusters have no size that qcow2 allows");
    refused(qcow2(), at(23, &[22]), "its clusters have no size that qcow2 allows");
    refused(qcow2(), at(20, &[255]), "its clusters have no size that qcow2 allows");
    refused(qcow2(), at(35, &[1]), "it is encrypted");
    refused(qcow2(), at(103, &[96]), "its header has no length that qcow2 allows");
    refused(qcow2(), at(99, &[7]), "its reference counts have no width that qcow2 allows");
    refused(qcow2(), at(104, &[1]), "its kind of compression is not known here");
    refused(qcow2(), at(28, &[64]), "its tables are too small for the size that it claims");
    refused(qcow2(), at(24, &[255; 8]), "its tables are too small for the size that it claims");
    refused(qcow2(), at(36, &[255]), "its first-level table is larger than qcow2 allows");
    refused(qcow2(), at(40, &[1]), "its first-level table is not inside the file");
    refused(qcow2(), at(46, &[1]), "its first-level table is not inside the file");
    refused(qcow2(), at(48, &[255; 8]), "its table of reference counts is not inside the file");
    refused(qcow2(), at(48, &[0; 8]), "its table of reference counts is not inside the file");
    refused(
        qcow2(),
        at(56, &[255; 4]),
        "its table of reference counts is larger than qcow2 allows",
    );
    refused(qcow2(), at(60, &[255; 4]), "its table of snapshots is not inside the file");
    refused(qcow2(), at(3 << 16, &[0x80, 0xff]), "a second-level table is not inside the file");
    refused(qcow2(), at(112, &[0x44, 0x41, 0x54, 0x41]), "it names another file for its data");
    refused(
        qcow2(),
        at(112, &[1, 2, 3, 4, 255, 255, 255, 255]),
        "an extension of its header runs out of the header",
    );
    refused(qcow2(), |b| b.truncate(100), "its header is cut off");
    // Without its tables, and with one table that is enough for 100 TiB.
    refused(qcow2(), |b| b.truncate(104), "its first-level table is not inside the file");
    let huge = |b: &mut Vec<u8>| {
        b.resize(8 << 20, 0);
        set(b, 24, &(100_u64 << 40).to_be_bytes());
        set(b, 36, &(204_800_u32).to_be_bytes());
    };
    refused(qcow2(), huge, "its disk of 109951162777600 bytes is larger than any here");
}

#[test]
fn bad_vmdk() {
    let with = |from: &str, to: &str| vmdk_of(&DESCRIPTION.replace(from, to));
    let same = |_: &mut Vec<u8>| {};
    let kinds = "only monolithicSparse and streamOptimized are allowed";
    refused(with("monolithicSparse", "monolithicFlat"), same, kinds);
    refused(with("monolithicSparse", "fullDevice"), same, kinds);
    refused(
        with("SPARSE \"disk.vmdk\"", "FLAT \"/etc/passwd\" 0"),
        same,
        "an extent is not inside the file",
    );
    refused(with("disk.vmdk", "/etc/passwd"), same, "an extent points elsewhere");
    refused(with("disk.vmdk", "..\\\\x"), same, "an extent points elsewhere");
    refused(with("parentCID=ffffffff", "parentCID=1"), same, "it has a parent");
    refused(with("version=1", "parentFileNameHint=\"/x\""), same, "it names a parent's file");
    refused(with("RW 2048", "# RW 2048"), same, "its description names no extent");
    refused(
        with("ddb.virtualHWVersion", "RW 1 SPARSE \"b.vmdk\"\nddb.x"),
        same,
        "its description names several extents",
    );
    refused(with("version=1", "hello world"), same, "its description has a line of no known kind");
    refused(with("createType", "createKind"), same, "its description does not say what it is");
    refused(
        with("version=1", "createType=\"monolithicSparse\""),
        same,
        "its description says twice what it is",
    );
    refused(vmdk(), |b| set(b, 4, &[9]), "its version is not known here");
    refused(vmdk(), |b| set(b, 28, &[2]), "its description is not where it must be");
    refused(vmdk(), |b| set(b, 36, &[0]), "its description has no size that is allowed");
    refused(vmdk(), |b| set(b, 43, &[255]), "its description has no size that is allowed");
    refused(vmdk(), |b| set(b, 12, &[255; 8]), "it claims a size beyond all numbers");
    refused(vmdk(), |b| set(b, 520, &[200]), "its description is not plain text");
    refused(vmdk(), |b| b.truncate(100), "its header is cut off");
    let end = vmdk_streamed().len();
    let mark = "the mark of its footer is wrong";
    refused(vmdk_streamed(), |b| set(b, end - 1536 + 12, &[4]), mark);
    refused(vmdk_streamed(), |b| set(b, end - 1, &[4]), "the mark of its end is wrong");
    refused(
        vmdk_streamed(),
        |b| set(b, end - 1024 + 28, &[9]),
        "its footer says something else than its header",
    );
    refused(
        vmdk_streamed(),
        |b| set(b, end - 1024 + 56, &[255; 8]),
        "its footer points to another footer",
    );
    let text = DESCRIPTION.as_bytes().to_vec();
    refused(text, same, "it is a description of files elsewhere");
    refused(b"COWD".to_vec(), same, "ESX server's sparse kind is not allowed");
}

#[test]
fn bad_others() {
    let chain = "it is a part of a chain of disks, or of no known kind";
    refused(
        vhd(),
        |b| {
            set(b, 60, &4_u32.to_be_bytes());
            vhd_sum(b);
        },
        chain,
    );
    refused(vhd(), |b| set(b, 100, &[1]), "the sum of its header is wrong");
    refused(vhd(), |b| set(b, 512, b"x"), "its second header is missing");
    refused(vhd(), |b| b.truncate(1000), "its second header is not inside the file");
    refused(vhd(), |b| set(b, 512 + 35, &[3]), "its blocks have no size that is allowed");
    refused(vhd(), |b| set(b, 512 + 28, &[255]), "its table of blocks is not inside the file");
    refused(
        vhd(),
        |b| {
            set(b, 48, &[0, 0, 1]);
            vhd_sum(b);
        },
        "its table is too small for the size that it claims",
    );
    refused(vhd_fixed(), |b| b.insert(0, 0), "its size is not the size that it claims");
    let facts = 256 << 10;
    refused(vhdx(), |b| set(b, facts + (64 << 10) + 4, &[2]), "it has a parent");
    refused(vhdx(), |b| set(b, facts, b"x"), "the facts about its disk are not where it says");
    refused(vhdx(), |b| set(b, 192 << 10, b"x"), "its table of regions is missing");
    refused(vhdx(), |b| set(b, (192 << 10) + 8, &[0]), "it says nothing about its disk");
    refused(
        vhdx(),
        |b| set(b, (192 << 10) + 8, &[255; 4]),
        "its table of regions is longer than allowed",
    );
    refused(vhdx(), |b| set(b, facts + 10, &[1]), "it does not say how large its disk is");
    refused(
        vhdx(),
        |b| set(b, facts + 80, &[255; 4]),
        "a fact about its disk is not inside the file",
    );
    refused(vdi(), |b| set(b, 0x4c, &[4]), "it is a part of a chain of disks");
    refused(vdi(), |b| set(b, 0x1b8, &[1]), "it has a parent");
    refused(vdi(), |b| set(b, 0x44, &[2]), "its version is not known here");
    refused(vdi(), |b| set(b, 0x178, &[1]), "its blocks have no size that is allowed");
    refused(vdi(), |b| set(b, 0x180, &[1]), "its table is too small for the size that it claims");
    refused(vdi(), |b| set(b, 0x183, &[255]), "its table of blocks is not inside the file");
    refused(luks(), |b| set(b, 7, &[2]), "only LUKS version 1 is supported");
    refused(luks(), |b| set(b, 104, &[255]), "its payload is not inside the file");
    refused(b"QED\0".to_vec(), |_| {}, "this format is not allowed");
    refused(gpt(), |b| set(b, 446, &[1]), "a partition has an invalid boot flag");
    refused(
        gpt(),
        |b| set(b, 462 + 4, &[0x83]),
        "there are partitions beside the one that guards the table",
    );
    refused(
        gpt(),
        |b| set(b, 446 + 8, &[9]),
        "the partition that guards the table has an invalid start",
    );
    refused(gpt(), |b| set(b, 446 + 4, &[0]), "no partition is defined");
}

#[test]
fn several_formats_at_once() {
    let mut both = iso();
    set(&mut both, 0, &mbr()[..512]);
    let matches = look(&both);
    assert_eq!(matches.len(), 2);
    assert_eq!(judge(&matches, "iso"), Verdict::Good { virtual_size: Some(40 << 10) });
    let mut three = qcow2();
    set(&mut three, 32 << 10, b"\x01CD001");
    let verdict = judge(&look(&three), "qcow2");
    assert_eq!(verdict, Verdict::Mismatch("Multiple formats detected: qcow2, iso".to_owned()));
    assert!(matches!(judge(&look(&three), "raw"), Verdict::Mismatch(_)));
    // Hostile under any name, also beside another format.
    set(&mut three, 15, &[1]);
    for name in ["raw", "iso", "qcow2", "aki"] {
        assert!(matches!(judge(&look(&three), name), Verdict::Unsafe(_)), "{name}");
    }
    // A disk's own partition table, however odd, is none of our business when it is used as raw.
    let mut odd = gpt();
    set(&mut odd, 446, &[1]);
    assert_eq!(judge(&look(&odd), "raw"), Verdict::Good { virtual_size: None });
}

/// Counts how much is read.
struct Counted<'a> {
    bytes: &'a [u8],
    length: u64,
    reads: AtomicU64,
    read: AtomicU64,
}

impl Source for Counted<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let length = usize::try_from(self.length.saturating_sub(offset)).expect("64 bits");
        let length = length.min(buffer.len());
        for (at, byte) in buffer[..length].iter_mut().enumerate() {
            let at = usize::try_from(offset).expect("64 bits") + at;
            *byte = self.bytes.get(at).copied().unwrap_or(0);
        }
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Whatever the bytes are, in a file of whatever length: no panic, and work that is bounded.
fn bear(bytes: &[u8], length: u64) -> Result<(), TestCaseError> {
    let source = Counted { bytes, length, reads: AtomicU64::new(0), read: AtomicU64::new(0) };
    let matches = inspect(&source).expect("can be read");
    prop_assert!(!matches.is_empty());
    for name in ["raw", "qcow2", "vmdk", "vhd", "iso", "ami", ""] {
        let _any_verdict_is_fine = judge(&matches, name);
    }
    let (reads, read) = (source.reads.into_inner(), source.read.into_inner());
    prop_assert!(read <= 36 << 20, "{} bytes were read", read);
    prop_assert!(reads <= 3000, "{} reads", reads);
    Ok(())
}

proptest! {
    #[test]
    fn mangled_images_are_borne(
        which in 0..13_usize,
        changes in prop::collection::vec((0..1200_usize, any::<u8>()), 0..12),
        far in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        length in prop::option::of(any::<u32>()),
    ) {
        let (_, _, mut bytes) = good().swap_remove(which);
        let size = bytes.len();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        for (at, value) in far {
            if size > 0 {
                bytes[at.index(size)] = value;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(size + 1));
        }
        let length = length.map_or(bytes.len() as u64, u64::from);
        bear(&bytes, length)?;
    }

    #[test]
    fn noise_behind_a_mark_is_borne(
        mark in prop::sample::select(vec![
            &b"QFI\xfb\0\0\0\x03"[..], b"QFI\xfb\0\0\0\x02", b"KDMV\x01\0\0\0", b"COWD", b"conectix",
            b"vhdxfile", b"LUKS\xba\xbe\0\x01", b"QED\0", b"# Disk DescriptorFile\n", b"",
        ]),
        noise in prop::collection::vec(any::<u8>(), 0..2048),
        length in prop::option::of(any::<u64>().prop_map(|length| length >> 1)),
    ) {
        let mut bytes = mark.to_vec();
        bytes.extend(noise);
        let length = length.unwrap_or(bytes.len() as u64);
        bear(&bytes, length)?;
    }

    #[test]
    fn any_description_is_borne(text in "[a-zA-Z=\" \n#/.]{0,400}") {
        bear(&vmdk_of(&text), 64 * 512)?;
    }
}
