//! Numbers out of a source, without a way to run past its end.

use std::io;

use super::Source;

/// A source being parsed.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Reader<'a> {
        Reader { source }
    }

    pub(super) fn length(&self) -> u64 {
        self.source.length()
    }

    /// So many bytes at an offset; none when they are not all there.
    pub(super) fn bytes<const N: usize>(&self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok(self.fill(offset, &mut bytes)?.then_some(bytes))
    }

    /// At most so many bytes at an offset, fewer at the end. `most` is a parser's own number, never one
    /// that was read from the image.
    pub(super) fn up_to(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let rest = self.length().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(rest).unwrap_or(usize::MAX).min(most)];
        // A source that shrinks while it is read gives none.
        if self.fill(offset, &mut bytes)? { Ok(bytes) } else { Ok(Vec::new()) }
    }

    fn fill(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = offset.checked_add(done as u64) else { return Ok(false) };
            let Some(rest) = buffer.get_mut(done..) else { return Ok(false) };
            match self.source.read_at(at, rest) {
                Ok(0) => return Ok(false),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether `length` bytes at `offset` are all inside.
    pub(super) fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.length())
    }
}

macro_rules! numbers {
    ($($name:ident $type:ident $from:ident),* $(,)?) => {
        $(
            /// The number at an offset; 0 beyond the end.
            pub(super) fn $name(bytes: &[u8], at: usize) -> $type {
                const N: usize = size_of::<$type>();
                let mut number = [0; N];
                if let Some(there) = at.checked_add(N).and_then(|end| bytes.get(at..end)) {
                    number.copy_from_slice(there);
                }
                $type::$from(number)
            }
        )*
    };
}

numbers! {
    be16 u16 from_be_bytes,
    be32 u32 from_be_bytes,
    be64 u64 from_be_bytes,
    le16 u16 from_le_bytes,
    le32 u32 from_le_bytes,
    le64 u64 from_le_bytes,
}
