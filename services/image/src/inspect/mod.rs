//! Looks into an image's bytes before anything trusts them: which format they are, how large a disk a
//! guest would see, and whether they reach outside themselves (a backing file, a data file, extents).
//!
//! Every parser reads a bounded number of bytes at places that it checks first, keeps nothing that the
//! image's numbers decide the size of, and never panics.

mod bytes;
mod gpt;
mod iso;
mod luks;
mod qcow2;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::io;

use self::bytes::Reader;

/// Bytes that can be read anywhere.
pub trait Source: Send + Sync {
    /// How many there are.
    fn length(&self) -> u64;

    /// Reads some bytes at an offset; 0 only at the end.
    ///
    /// # Errors
    /// Of what holds the bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Source for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// A format that is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// None of the others.
    Raw,
    /// QEMU's, version 2 and 3.
    Qcow2,
    /// QEMU's abandoned one.
    Qed,
    /// VMware's.
    Vmdk,
    /// Virtual PC's.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox's.
    Vdi,
    /// ISO 9660 and UDF.
    Iso,
    /// Encrypted.
    Luks,
    /// A disk with a partition table: GPT or MBR.
    Gpt,
}

impl Format {
    /// Its name as a `disk_format`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
            Format::Qed => "qed",
            Format::Vmdk => "vmdk",
            Format::Vhd => "vhd",
            Format::Vhdx => "vhdx",
            Format::Vdi => "vdi",
            Format::Iso => "iso",
            Format::Luks => "luks",
            Format::Gpt => "gpt",
        }
    }

    /// Whether content of a declared format can be recognised (a kernel, say, cannot).
    fn known(name: &str) -> bool {
        const ALL: [Format; 10] = [
            Format::Raw,
            Format::Qcow2,
            Format::Qed,
            Format::Vmdk,
            Format::Vhd,
            Format::Vhdx,
            Format::Vdi,
            Format::Iso,
            Format::Luks,
            Format::Gpt,
        ];
        ALL.iter().any(|format| format.name() == name)
    }

    /// Whether a refusal counts even when the image is declared to be raw, and so never parsed by anything
    /// here: what reaches outside itself is hostile under any name, a partition table is just bytes.
    fn hostile_as_raw(self) -> bool {
        !matches!(self, Format::Gpt | Format::Luks | Format::Iso | Format::Raw)
    }
}

/// One format that the bytes match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which.
    pub format: Format,
    /// What a guest would see, in bytes.
    pub virtual_size: u64,
    /// Why it is not to be trusted.
    pub refusal: Option<String>,
}

/// What a parser says of bytes that have its mark: the virtual size, or why they are refused.
type Parsed = Result<u64, String>;

/// No disk here is larger: 64 TiB.
pub const LARGEST_DISK: u64 = 64 << 40;

/// All formats that the bytes match; [`Format::Raw`] alone when there is no other.
///
/// # Errors
/// Of what holds the bytes. Bad bytes are no error.
pub fn inspect(source: &dyn Source) -> io::Result<Vec<Match>> {
    type Parser = fn(&Reader<'_>) -> io::Result<Option<Parsed>>;
    const PARSERS: [(Format, Parser); 9] = [
        (Format::Qcow2, qcow2::parse),
        (Format::Qed, qed),
        (Format::Vmdk, vmdk::parse),
        (Format::Vhd, vhd::parse),
        (Format::Vhdx, vhdx::parse),
        (Format::Vdi, vdi::parse),
        (Format::Iso, iso::parse),
        (Format::Luks, luks::parse),
        (Format::Gpt, gpt::parse),
    ];
    let reader = Reader::new(source);
    let mut matches = Vec::new();
    for (format, parse) in PARSERS {
        let Some(parsed) = parse(&reader)? else { continue };
        let (virtual_size, refusal) = match parsed {
            Ok(size) if size > LARGEST_DISK => {
                (0, Some(format!("its disk of {size} bytes is larger than any here")))
            }
            Ok(size) => (size, None),
            Err(why) => (0, Some(why)),
        };
        matches.push(Match { format, virtual_size, refusal });
    }
    if matches.is_empty() {
        let virtual_size = source.length();
        matches.push(Match { format: Format::Raw, virtual_size, refusal: None });
    }
    Ok(matches)
}

fn qed(reader: &Reader<'_>) -> io::Result<Option<Parsed>> {
    let Some(mark) = reader.bytes::<4>(0)? else { return Ok(None) };
    Ok((&mark == b"QED\0").then(|| Err("this format is not allowed".to_owned())))
}

/// What an inspection of declared content comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what it is declared to be.
    Good {
        /// What a guest would see; none when that cannot be known.
        virtual_size: Option<u64>,
    },
    /// It is something else.
    Mismatch(String),
    /// It is not to be trusted under any name.
    Unsafe(String),
}

/// Holds what the bytes match against the declared `disk_format`, as Glance does.
pub fn judge(matches: &[Match], disk_format: &str) -> Verdict {
    let raw = disk_format == "raw";
    if let Some((format, why)) = matches.iter().find_map(|found| {
        let counts = !raw || found.format.hostile_as_raw();
        found.refusal.as_ref().filter(|_| counts).map(|why| (found.format, why))
    }) {
        return Verdict::Unsafe(format!("Image failed safety checks: {}: {why}", format.name()));
    }
    let iso_with_table = matches.len() == 2
        && matches.iter().all(|found| matches!(found.format, Format::Iso | Format::Gpt));
    let found = match matches {
        [one] => one,
        // A disc that can also be booted as a disk has a partition table in front.
        [one, other] if iso_with_table => {
            if one.format == Format::Iso {
                one
            } else {
                other
            }
        }
        several => {
            let names: Vec<_> = several.iter().map(|found| found.format.name()).collect();
            return Verdict::Mismatch(format!("Multiple formats detected: {}", names.join(", ")));
        }
    };
    if found.format.name() == disk_format {
        return Verdict::Good { virtual_size: Some(found.virtual_size) };
    }
    if raw {
        // Used as raw, whatever it is: a guest sees the bytes themselves.
        return Verdict::Good { virtual_size: None };
    }
    if found.format == Format::Raw && !Format::known(disk_format) {
        return Verdict::Good { virtual_size: None };
    }
    Verdict::Mismatch(format!(
        "Image disk_format {disk_format} does not match stream data {}",
        found.format.name()
    ))
}

#[cfg(test)]
mod tests;
