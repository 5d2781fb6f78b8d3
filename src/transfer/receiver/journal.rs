//! The journal of a transfer: which of its blocks are on disk, and what they must be. Pure.
//!
//! ```text
//! journal = "peerline journal 1\n" frame*
//! frame   = length of data (u32) || kind (1 byte) || data || check (8 bytes)
//! kind    = 1: the offer, as JSON; then 2: `entries`, as JSON, until the manifest is complete;
//!           then 3: blocks that are on disk, each `file (u32) || block (u32) || digest (32)`
//! check   = the first 8 bytes of SHA-256(check of the frame before || kind || data)
//! ```
//!
//! The first frame's check follows the first 8 bytes of SHA-256(the first line). Checks are chained,
//! so a frame counts only behind the manifest and the frames that it was written behind; whatever
//! follows the first frame that is cut or wrong does not count. The manifest is read by the rules for
//! a peer's: a file that somebody else wrote is as little trusted.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;

use sha2::{Digest as _, Sha256};

use crate::transfer::digest::Digest;
use crate::transfer::kept::Kept;
use crate::transfer::manifest::Manifest;
use crate::transfer::manifest_builder::ManifestBuilder;
use crate::transfer::message::{ControlMessage, entries_messages};
use crate::transfer::sender::BlockId;

/// More than 16 MiB of paths and the blocks of 4 TiB take; what is larger was not written by us.
pub(super) const MAX_LENGTH: u64 = 512 << 20;

const FAMILY: &[u8] = b"peerline journal ";
const MAGIC: &[u8] = b"peerline journal 1\n";
const CHECK: usize = 8;
const HEADER: usize = 5;
const BLOCK: usize = 40;

/// Blocks in one frame when a whole journal is written anew.
const BLOCKS_A_FRAME: usize = 4096;

const OFFER: u8 = 1;
const ENTRIES: u8 = 2;
const BLOCKS: u8 = 3;

/// Why a journal says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("another version of this program wrote its journal")]
    Version,
    #[error("its journal is damaged from the start")]
    Damaged,
}

/// Writes frames, one behind the other.
#[derive(Debug)]
pub(super) struct Encoder {
    check: [u8; CHECK],
}

impl Encoder {
    /// A new journal for `manifest`, which says that `blocks` are on disk.
    pub(super) fn begin(
        manifest: &Manifest,
        blocks: impl Iterator<Item = (BlockId, Digest)>,
    ) -> (Self, Vec<u8>) {
        let mut encoder = Self {
            check: check_of(&[MAGIC]),
        };
        let mut bytes = MAGIC.to_vec();
        let offer = ControlMessage::Offer(manifest.offer()).to_text();
        encoder.frame(OFFER, offer.as_bytes(), &mut bytes);
        for entries in entries_messages(manifest) {
            encoder.frame(ENTRIES, entries.as_bytes(), &mut bytes);
        }
        let blocks: Vec<_> = blocks.collect();
        for some in blocks.chunks(BLOCKS_A_FRAME) {
            bytes.extend(encoder.blocks(some));
        }
        (encoder, bytes)
    }

    /// The frame that says that `blocks` are on disk.
    pub(super) fn blocks(&mut self, blocks: &[(BlockId, Digest)]) -> Vec<u8> {
        let mut data = Vec::with_capacity(blocks.len() * BLOCK);
        for (id, digest) in blocks {
            data.extend(id.file.to_be_bytes());
            data.extend(id.block.to_be_bytes());
            data.extend(digest.as_bytes());
        }
        let mut frame = Vec::with_capacity(HEADER + data.len() + CHECK);
        self.frame(BLOCKS, &data, &mut frame);
        frame
    }

    fn frame(&mut self, kind: u8, data: &[u8], out: &mut Vec<u8>) {
        let length = u32::try_from(data.len()).expect("messages and groups are far smaller");
        self.check = check_of(&[&self.check, &[kind], data]);
        out.extend(length.to_be_bytes());
        out.push(kind);
        out.extend(data);
        out.extend(self.check);
    }
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) manifest: Manifest,
    pub(super) kept: Kept,
}

/// Reads a journal as far as it is whole.
pub(super) fn replay(bytes: &[u8]) -> Result<Replay, Unreadable> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let other = bytes.starts_with(FAMILY) && bytes.contains(&b'\n');
        return Err(if other {
            Unreadable::Version
        } else {
            Unreadable::Damaged
        });
    };
    let mut frames = Frames {
        rest,
        check: check_of(&[MAGIC]),
    };
    let manifest = read_manifest(&mut frames).ok_or(Unreadable::Damaged)?;
    let mut kept = Kept::default();
    for (kind, data) in frames {
        if kind != BLOCKS || !read_blocks(data, &manifest, &mut kept) {
            break;
        }
    }
    Ok(Replay { manifest, kept })
}

fn read_manifest<'a>(frames: &mut impl Iterator<Item = (u8, &'a [u8])>) -> Option<Manifest> {
    let mut message = |expected| {
        let (kind, data) = frames.next()?;
        (kind == expected).then_some(())?;
        ControlMessage::parse(std::str::from_utf8(data).ok()?).ok()
    };
    let ControlMessage::Offer(offer) = message(OFFER)? else {
        return None;
    };
    (offer.version == 1).then_some(())?;
    let mut builder = ManifestBuilder::new(offer).ok()?;
    while !builder.is_complete() {
        let ControlMessage::Entries { from, entries } = message(ENTRIES)? else {
            return None;
        };
        builder.push(from, entries).ok()?;
    }
    builder.finish().ok()
}

/// `false` if they are not blocks of this manifest.
fn read_blocks(data: &[u8], manifest: &Manifest, kept: &mut Kept) -> bool {
    let (blocks, rest) = data.as_chunks::<BLOCK>();
    if !rest.is_empty() {
        return false;
    }
    for bytes in blocks {
        let (file, bytes) = bytes.split_first_chunk().expect("40 bytes");
        let (block, digest) = bytes.split_first_chunk().expect("36 bytes");
        let id = BlockId {
            file: u32::from_be_bytes(*file),
            block: u32::from_be_bytes(*block),
        };
        let exists = manifest
            .file(id.file)
            .is_some_and(|(_, size)| manifest.block(size, id.block).is_some());
        if !exists {
            return false;
        }
        let digest: [u8; 32] = digest.try_into().expect("32 bytes");
        kept.insert(id, Digest::from(digest));
    }
    true
}

/// The frames that are whole, up to the first that is not.
struct Frames<'a> {
    rest: &'a [u8],
    check: [u8; CHECK],
}

impl<'a> Iterator for Frames<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (check, rest) = rest.split_first_chunk::<CHECK>()?;
        if *check != check_of(&[&self.check, &[*kind], data]) {
            return None;
        }
        (self.check, self.rest) = (*check, rest);
        Some((*kind, data))
    }
}

fn check_of(parts: &[&[u8]]) -> [u8; CHECK] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    *digest.first_chunk().expect("8 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{BlockSize, Entry, Kind};
    use crate::transfer::safe_path::SafePath;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::iter::empty;

    /// A directory and two files, of five blocks and of one.
    fn manifest() -> Manifest {
        let entry = |path, kind| Entry {
            path: SafePath::parse(path).unwrap(),
            kind,
            mtime: Some(-1),
            mode: Some(0o644),
        };
        let entries = vec![
            entry("d", Kind::Directory),
            entry(
                "d/five",
                Kind::File {
                    size: (4 << 20) + 1,
                },
            ),
            entry("d/\u{1F600}", Kind::File { size: 3 }),
        ];
        Manifest::new("d", BlockSize::for_largest(0), entries).unwrap()
    }

    fn blocks() -> Vec<(BlockId, Digest)> {
        [(1, 3), (1, 0), (2, 0), (1, 4), (1, 1)]
            .map(|(file, block)| {
                (
                    BlockId { file, block },
                    Digest::of(&[file as u8, block as u8]),
                )
            })
            .to_vec()
    }

    /// A journal with one frame a block.
    fn journal() -> Vec<u8> {
        let (mut encoder, mut bytes) = Encoder::begin(&manifest(), empty());
        for block in blocks() {
            bytes.extend(encoder.blocks(&[block]));
        }
        bytes
    }

    /// Nothing is ever said to be on disk that was not written down as a whole, whatever happened
    /// to the journal: the blocks are those of some first frames.
    fn says_only_what_was_written(bytes: &[u8]) -> usize {
        let Ok(replay) = replay(bytes) else {
            return 0;
        };
        assert_eq!(replay.manifest, manifest());
        let said: BTreeMap<_, _> = replay.kept.iter().collect();
        let written: BTreeMap<_, _> = blocks().into_iter().take(said.len()).collect();
        assert_eq!(said, written);
        said.len()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(says_only_what_was_written(&journal()), 5);
        let kept = replay(&journal()).unwrap().kept;
        let (_, anew) = Encoder::begin(&manifest(), kept.iter());
        assert_eq!(replay(&anew).unwrap().kept, kept);
    }

    #[test]
    fn cut_anywhere_it_says_less_and_nothing_wrong() {
        let whole = journal();
        let mut last = 0;
        for length in 0..=whole.len() {
            let said = says_only_what_was_written(&whole[..length]);
            assert!(said >= last, "{length}");
            last = said;
        }
        assert_eq!(last, 5);
    }

    #[test]
    fn damaged_anywhere_it_says_less_and_nothing_wrong() {
        let whole = journal();
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(says_only_what_was_written(&bytes) < 5, "{at}");
            }
        }
    }

    #[test]
    fn frames_of_another_journal_do_not_count() {
        let mut entries = manifest().entries().to_vec();
        entries[2].mode = None;
        let other = Manifest::new("d", manifest().block_size(), entries).unwrap();
        let (_, mut bytes) = Encoder::begin(&other, empty());
        let (_, ours) = Encoder::begin(&manifest(), empty());
        bytes.extend(&journal()[ours.len()..]);
        let replay = replay(&bytes).unwrap();
        assert_eq!((replay.manifest, replay.kept), (other, Kept::default()));
    }

    #[test]
    fn blocks_that_cannot_be_do_not_count() {
        for (file, block) in [(0, 0), (1, 5), (2, 1), (3, 0), (u32::MAX, u32::MAX)] {
            let (mut encoder, mut bytes) = Encoder::begin(&manifest(), empty());
            bytes.extend(encoder.blocks(&blocks()[..1]));
            bytes.extend(encoder.blocks(&[(BlockId { file, block }, Digest::of(b""))]));
            assert_eq!(says_only_what_was_written(&bytes), 1, "{file} {block}");
        }
    }

    #[test]
    fn other_versions_are_told_from_damage() {
        let version = |text: &[u8]| replay(text).unwrap_err();
        assert_eq!(version(b"peerline journal 2\n..."), Unreadable::Version);
        assert_eq!(version(b"peerline jour"), Unreadable::Damaged);
        assert_eq!(version(b""), Unreadable::Damaged);
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(
            cut in any::<proptest::sample::Index>(),
            tail in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let whole = journal();
            let mut bytes = whole[..cut.index(whole.len())].to_vec();
            bytes.extend(&tail);
            says_only_what_was_written(&bytes);
            let _ = replay(&tail);
            let _ = replay(&[MAGIC, &tail].concat());
        }

        #[test]
        fn any_damage_in_many_places(
            places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = journal();
            for (place, value) in places {
                let at = place.index(bytes.len());
                bytes[at] = value;
            }
            says_only_what_was_written(&bytes);
        }
    }
}
