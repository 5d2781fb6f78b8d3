//! Digests of blocks, files and transfers: `docs/protocol.md` section 5.4.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use super::holes::{Holes, ZeroDigest};

/// A SHA-256 digest; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(DigestError),
        };
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| DigestError)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The digest of one block, as its bytes come by.
#[derive(Debug, Default)]
pub(super) struct BlockDigest(Sha256);

impl BlockDigest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// The digest of `length` bytes of a file from `start` on, read in pieces of the buffer's length unless they
/// are in a hole.
pub(super) fn digest_of_range(
    file: &mut std::fs::File,
    (holes, zeros): (&mut Holes, &mut ZeroDigest),
    start: u64,
    length: u32,
    buffer: &mut [u8],
) -> io::Result<Digest> {
    if holes.cover(file, start, length) {
        return Ok(zeros.of(length));
    }
    let mut digest = BlockDigest::default();
    let mut left = length as usize;
    file.seek(SeekFrom::Start(start))?;
    while left > 0 {
        let piece = left.min(buffer.len());
        let piece = &mut buffer[..piece];
        file.read_exact(piece)?;
        digest.update(piece);
        left -= piece.len();
    }
    Ok(digest.finish())
}

/// The digest of one file, from the digests of its blocks in any order.
#[derive(Debug, Default)]
pub(super) struct FileDigest {
    hasher: Sha256,
    next: u32,
    /// Blocks that came before block `next`, by the first of each run: none on a single lane, but for those
    /// after a damaged one.
    early: BTreeMap<u32, Run>,
}

/// Blocks without a gap that are the same: a few words of the sender's stand for millions that are zeros.
#[derive(Debug)]
struct Run {
    count: u32,
    digest: Digest,
}

impl FileDigest {
    /// Whether this block was added.
    pub(super) fn contains(&self, block: u32) -> bool {
        let before = self.early.range(..=block).next_back();
        block < self.next || before.is_some_and(|(from, run)| block - from < run.count)
    }

    /// Adds a block that is not in yet.
    pub(super) fn add(&mut self, block: u32, digest: Digest) {
        match self.early.range_mut(..block).next_back() {
            Some((from, run)) if from + run.count == block && run.digest == digest => {
                run.count += 1;
            }
            _ => drop(self.early.insert(block, Run { count: 1, digest })),
        }
        while let Some(Run { count, digest }) = self.early.remove(&self.next) {
            (0..count).for_each(|_| self.hasher.update(digest.0));
            self.next += count;
        }
    }

    /// Blocks added without a gap from the first.
    pub(super) fn complete_to(&self) -> u32 {
        self.next
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.hasher.finalize().into())
    }
}

/// The digest of a transfer, entry by entry in the order of the manifest.
#[derive(Debug, Default)]
pub(super) struct TransferDigest(Sha256);

impl TransferDigest {
    pub(super) fn file(&mut self, path: &str, size: u64, digest: Digest) {
        self.path(1, path);
        self.0.update(size.to_be_bytes());
        self.0.update(digest.0);
    }

    pub(super) fn directory(&mut self, path: &str) {
        self.path(2, path);
    }

    fn path(&mut self, kind: u8, path: &str) {
        let length = u32::try_from(path.len()).expect("a safe path has at most 4096 bytes");
        self.0.update([kind]);
        self.0.update(length.to_be_bytes());
        self.0.update(path.as_bytes());
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_back_and_checked() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let upper = digest.to_string().to_uppercase();
        let wide = "é".repeat(32);
        for bad in ["", "ba78", upper.as_str(), wide.as_str()] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError), "{bad}");
        }
    }

    #[test]
    fn the_order_of_blocks_does_not_matter() {
        let blocks: Vec<_> = (0..5u8).map(|n| Digest::of(&[n])).collect();
        let joined: Vec<u8> = blocks.iter().flat_map(|digest| digest.0).collect();
        let mut file = FileDigest::default();
        for block in [3, 0, 4, 2, 1] {
            assert!(!file.contains(block));
            file.add(block, blocks[block as usize]);
            assert!(file.contains(block));
        }
        assert_eq!(file.complete_to(), 5);
        assert_eq!(file.finish(), Digest::of(&joined));
        assert_eq!(FileDigest::default().finish(), Digest::of(b""));
    }

    #[test]
    fn early_blocks_that_are_the_same_take_no_room() {
        let (first, zeros, last) = (Digest::of(b"1"), Digest::of(b"0"), Digest::of(b"9"));
        let count = 100_000;
        let mut joined = first.0.to_vec();
        (1..count).for_each(|_| joined.extend(zeros.0));
        joined.extend(last.0);
        let mut file = FileDigest::default();
        file.add(count, last);
        for block in 1..count {
            assert!(!file.contains(block));
            file.add(block, zeros);
        }
        assert_eq!(file.early.len(), 2);
        let there = [1, count - 1, count].map(|block| file.contains(block));
        assert_eq!((there, file.contains(0)), ([true; 3], false));
        assert!(!file.contains(count + 1) && !file.contains(u32::MAX));
        file.add(0, first);
        assert_eq!((file.complete_to(), file.early.len()), (count + 1, 0));
        assert_eq!(file.finish(), Digest::of(&joined));
    }

    #[test]
    fn a_transfer_digest_covers_paths_sizes_and_kinds() {
        let digest = |directory: &str, path: &str, size| {
            let mut transfer = TransferDigest::default();
            transfer.directory(directory);
            transfer.file(path, size, Digest::of(b""));
            transfer.finish()
        };
        let mut bytes = b"\x02\0\0\0\x01d\x01\0\0\0\x03d/f\0\0\0\0\0\0\0\x09".to_vec();
        bytes.extend(Digest::of(b"").0);
        assert_eq!(digest("d", "d/f", 9), Digest::of(&bytes));
        assert_ne!(digest("d", "d/f", 9), digest("d", "d/g", 9));
        assert_ne!(digest("d", "d/f", 9), digest("d", "d/f", 8));
    }
}
