//! Records on a lane: `docs/protocol.md` section 5.2.
//!
//! `file (u32) || block (u32) || offset (u32) || flags and length (u32) || data || digest (32, if last)`

use std::io::{self, Read};

use bytes::{Buf, Bytes};

use super::digest::{BlockDigest, Digest};
use crate::channel::FULL_MESSAGE;

const HEADER: usize = 16;
const DIGEST: usize = 32;
const LAST: u32 = 1 << 31;

/// A message with less room than this for data is sent as it is: a header for less is not worth it.
const WORTHWHILE: usize = 1024;

/// One piece of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) file: u32,
    pub(super) block: u32,
    /// Where `data` begins in the block.
    pub(super) offset: u32,
    /// A slice of the message it came in.
    pub(super) data: Bytes,
    /// The digest of the whole block, on its last record.
    pub(super) digest: Option<Digest>,
}

/// The message ends inside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record is cut short")]
pub(super) struct CutShort;

/// The records of one message.
#[derive(Debug)]
pub(super) struct Records(pub(super) Bytes);

impl Iterator for Records {
    type Item = Result<Record, CutShort>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.parse();
        if record.is_err() {
            self.0.clear();
        }
        Some(record)
    }
}

impl Records {
    fn parse(&mut self) -> Result<Record, CutShort> {
        let rest = &mut self.0;
        if rest.len() < HEADER {
            return Err(CutShort);
        }
        let (file, block, offset) = (rest.get_u32(), rest.get_u32(), rest.get_u32());
        let word = rest.get_u32();
        let length = (word & !LAST) as usize;
        let last = word & LAST != 0;
        if rest.len() < length || (last && rest.len() - length < DIGEST) {
            return Err(CutShort);
        }
        let data = rest.split_to(length);
        let digest = last.then(|| {
            let mut digest = [0; DIGEST];
            rest.copy_to_slice(&mut digest);
            Digest::from(digest)
        });
        Ok(Record {
            file,
            block,
            offset,
            data,
            digest,
        })
    }
}

/// Packs blocks into messages, reading file data straight to where it is sent from.
#[derive(Debug)]
pub(super) struct Packer {
    message: Vec<u8>,
    /// Longest message.
    most: usize,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new(FULL_MESSAGE)
    }
}

impl Packer {
    /// For messages of up to `most` bytes, at least 4 KiB and at most what fills packets.
    pub(super) fn new(most: usize) -> Self {
        Self {
            message: Vec::new(),
            most: most.clamp(4 << 10, FULL_MESSAGE),
        }
    }

    /// Reads a block of `length` bytes, at least one, and gives every message that became full to
    /// `emit`; the last records may wait for the next block or [`Packer::flush`].
    ///
    /// `emit` returning `false` stops the packing, and `None` is returned.
    pub(super) fn block(
        &mut self,
        (file, block): (u32, u32),
        length: u32,
        source: &mut impl Read,
        mut emit: impl FnMut(Bytes) -> bool,
    ) -> io::Result<Option<Digest>> {
        let mut hasher = BlockDigest::default();
        let mut offset = 0;
        loop {
            let left = length - offset;
            let room = self
                .most
                .saturating_sub(self.message.len() + HEADER + DIGEST);
            if room < WORTHWHILE.min(left as usize) {
                if !self.flush(&mut emit) {
                    return Ok(None);
                }
                continue;
            }
            // One message carries less than 64 KiB, so this is exact.
            let now = left.min(room as u32);
            let last = now == left;
            if self.message.capacity() == 0 {
                self.message.reserve_exact(self.most);
            }
            let flag = if last { LAST } else { 0 };
            for word in [file, block, offset, flag | now] {
                self.message.extend_from_slice(&word.to_be_bytes());
            }
            let start = self.message.len();
            // Into room that nothing was written to: it takes four reads, and to fill it with zeros for one was 3 % of all
            // that a sender does.
            let read = source.take(now.into()).read_to_end(&mut self.message)?;
            if read < now as usize {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&self.message[start..]);
            offset += now;
            if last {
                let digest = hasher.finish();
                self.message.extend_from_slice(digest.as_bytes());
                return Ok(Some(digest));
            }
        }
    }

    /// Gives what is left to `emit`; returns what it returned.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(Bytes) -> bool) -> bool {
        if self.message.is_empty() {
            return true;
        }
        emit(Bytes::from(std::mem::take(&mut self.message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(blocks: &[Vec<u8>]) -> Vec<Bytes> {
        let mut packer = Packer::default();
        let mut messages = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let at = (index as u32, 7);
            let digest = packer.block(at, block.len() as u32, &mut block.as_slice(), |message| {
                messages.push(message);
                true
            });
            assert_eq!(digest.unwrap(), Some(Digest::of(block)));
        }
        assert!(packer.flush(|message| {
            messages.push(message);
            true
        }));
        messages
    }

    fn unpack(messages: Vec<Bytes>) -> Vec<Vec<u8>> {
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        let mut open: Option<Vec<u8>> = None;
        for message in messages {
            assert!(message.len() <= FULL_MESSAGE && !message.is_empty());
            for record in Records(message).map(Result::unwrap) {
                assert_eq!((record.file as usize, record.block), (blocks.len(), 7));
                let mut block = open.take().unwrap_or_default();
                assert_eq!(record.offset as usize, block.len());
                assert!(!record.data.is_empty());
                block.extend_from_slice(&record.data);
                match record.digest {
                    Some(digest) => {
                        assert_eq!(digest, Digest::of(&block));
                        blocks.push(block);
                    }
                    None => open = Some(block),
                }
            }
        }
        assert_eq!(open, None);
        blocks
    }

    #[test]
    fn small_files_share_a_message() {
        let blocks = vec![vec![1; 4096]; 15];
        assert_eq!(pack(&blocks).len(), 1);
        assert_eq!(unpack(pack(&blocks)), blocks);
    }

    #[test]
    fn every_length_near_a_message_is_packed() {
        let near = FULL_MESSAGE - 100..FULL_MESSAGE + 100;
        for length in (1..40).chain(near).chain([130_000, 1 << 20]) {
            let blocks = vec![vec![length as u8; length], vec![9; 3]];
            assert_eq!(unpack(pack(&blocks)), blocks, "{length}");
        }
    }

    #[test]
    fn a_short_source_is_an_error() {
        let result = Packer::default().block((0, 0), 10, &mut &b"only 8 b"[..], |_| true);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn blocks_survive_packing(
            lengths in proptest::collection::vec(prop_oneof![1usize..100, 1usize..200_000], 1..12),
            fill in any::<u8>(),
        ) {
            let blocks: Vec<_> = lengths
                .iter()
                .map(|&n| (0..n).map(|i| (i as u8).wrapping_mul(31) ^ fill).collect())
                .collect();
            prop_assert_eq!(unpack(pack(&blocks)), blocks);
        }

        #[test]
        fn any_message_is_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let total = bytes.len();
            let records: Vec<_> = Records(bytes.into()).collect();
            prop_assert!(records.len() <= total / HEADER + 1);
        }
    }

    #[test]
    fn a_cut_anywhere_is_noticed() {
        let whole = pack(&[vec![5; 100]]).remove(0);
        for cut in 1..whole.len() {
            let records: Vec<_> = Records(whole.slice(..cut)).collect();
            assert_eq!(records, vec![Err(CutShort)], "{cut}");
        }
    }
}
