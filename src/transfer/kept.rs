//! What a receiver has of an earlier attempt, as both sides speak of it: `docs/protocol.md` section
//! 5.6. Pure.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::digest::Digest;
use super::manifest::Manifest;
use super::sender::BlockId;

/// Digests in one run: 43 KiB of text, so that a run always fits into a message.
const MAX_RUN: usize = 1024;

/// Text of the runs in one message; what is around them takes far less than the rest of 65,535 bytes.
const MAX_BATCH: usize = 60_000;

/// What a run takes as JSON, beyond its digests, at most.
const RUN_OVERHEAD: usize = 64;

/// Blocks of one file without a gap, and the digest of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) file: u32,
    pub(super) from: u32,
    pub(super) digests: Digests,
}

/// Blocks of one file without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) file: u32,
    pub(super) from: u32,
    pub(super) count: u32,
}

/// Digests, joined and in base64url without padding on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Digests(pub(super) Vec<Digest>);

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} digests", self.0.len())
    }
}

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|digest| *digest.as_bytes())
            .collect();
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let (digests, rest) = bytes.as_chunks::<32>();
        if digests.is_empty() || !rest.is_empty() {
            return Err(de::Error::custom("not one or more digests"));
        }
        Ok(Self(
            digests.iter().map(|bytes| Digest::from(*bytes)).collect(),
        ))
    }
}

/// Blocks and their digests, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept(BTreeMap<BlockId, Digest>);

impl Kept {
    pub(super) fn insert(&mut self, id: BlockId, digest: Digest) {
        self.0.insert(id, digest);
    }

    pub(super) fn get(&self, id: BlockId) -> Option<Digest> {
        self.0.get(&id).copied()
    }

    /// Takes out what is there of these blocks.
    pub(super) fn remove(&mut self, range: Range) -> Vec<(BlockId, Digest)> {
        let Some(more) = range.count.checked_sub(1) else {
            return Vec::new();
        };
        let id = |block| BlockId {
            file: range.file,
            block,
        };
        // The count is the other side's: only what is there is looked at.
        let gone = self
            .0
            .range(id(range.from)..=id(range.from.saturating_add(more)));
        let gone: Vec<(BlockId, Digest)> = gone.map(|(id, digest)| (*id, *digest)).collect();
        for (id, _) in &gone {
            self.0.remove(id);
        }
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BlockId, Digest)> {
        self.0.iter().map(|(id, digest)| (*id, *digest))
    }

    /// The files of which there is something, in order.
    pub(super) fn files(&self) -> Vec<u32> {
        let mut files: Vec<u32> = self.0.keys().map(|id| id.file).collect();
        files.dedup();
        files
    }

    pub(super) fn of_file(&self, file: u32) -> impl Iterator<Item = (u32, Digest)> {
        let first = BlockId { file, block: 0 };
        let last = BlockId {
            file,
            block: u32::MAX,
        };
        let range = self.0.range(first..=last);
        range.map(|(id, digest)| (id.block, *digest))
    }

    /// Bytes of these blocks, which are all in the manifest.
    pub(super) fn bytes(&self, manifest: &Manifest) -> u64 {
        let length = |id: &BlockId| {
            let (_, size) = manifest.file(id.file)?;
            let (_, length) = manifest.block(size, id.block)?;
            Some(u64::from(length))
        };
        self.0.keys().filter_map(length).sum()
    }
}

/// Collects blocks, in order, into lists of runs that each fit into one message.
#[derive(Debug, Default)]
pub(super) struct Batch {
    runs: Vec<Run>,
    size: usize,
}

impl Batch {
    /// Adds a block; what came before it, if there is no more room.
    pub(super) fn push(&mut self, id: BlockId, digest: Digest) -> Option<Vec<Run>> {
        const DIGEST: usize = 43;
        let full = (self.size + RUN_OVERHEAD + DIGEST > MAX_BATCH).then(|| self.take());
        match self.runs.last_mut() {
            Some(run)
                if run.file == id.file
                    && run.digests.0.len() < MAX_RUN
                    && u64::from(run.from) + run.digests.0.len() as u64 == u64::from(id.block) =>
            {
                run.digests.0.push(digest);
            }
            _ => {
                self.size += RUN_OVERHEAD;
                self.runs.push(Run {
                    file: id.file,
                    from: id.block,
                    digests: Digests(vec![digest]),
                });
            }
        }
        self.size += DIGEST;
        full
    }

    /// What is left.
    pub(super) fn take(&mut self) -> Vec<Run> {
        self.size = 0;
        std::mem::take(&mut self.runs)
    }
}

/// Lists of ranges that each fit into one message.
pub(super) fn batches(ranges: &[Range]) -> impl Iterator<Item = &[Range]> {
    ranges.chunks(MAX_BATCH / RUN_OVERHEAD)
}

/// Adds a block to ranges that are in order.
pub(super) fn extend(ranges: &mut Vec<Range>, id: BlockId) {
    match ranges.last_mut() {
        Some(range) if range.file == id.file && range.from + range.count == id.block => {
            range.count += 1;
        }
        _ => ranges.push(Range {
            file: id.file,
            from: id.block,
            count: 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::MAX_MESSAGE;
    use crate::transfer::message::ControlMessage;
    use proptest::prelude::*;

    #[test]
    fn digests_are_read_back_and_checked() {
        let digests = Digests(vec![Digest::of(b"a"), Digest::of(b"b")]);
        let text = serde_json::to_string(&digests).unwrap();
        assert_eq!(text.len(), 2 + 86);
        assert_eq!(serde_json::from_str::<Digests>(&text).unwrap(), digests);
        for bad in [r#""""#, r#""AA""#, r#""=""#, "[]", "1"] {
            assert!(serde_json::from_str::<Digests>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever blocks there are, the messages are short enough and say exactly these.
        #[test]
        fn batches_fit_and_lose_nothing(
            blocks in proptest::collection::btree_set((0u32..2000, 0u32..3000), 0..4000),
        ) {
            let mut batch = Batch::default();
            let mut messages = Vec::new();
            for (file, block) in &blocks {
                let digest = Digest::of(&block.to_be_bytes());
                messages.extend(batch.push(BlockId { file: *file, block: *block }, digest));
            }
            messages.push(batch.take());
            let mut seen = Vec::new();
            for blocks in messages {
                for run in &blocks {
                    for (block, digest) in (run.from..).zip(&run.digests.0) {
                        prop_assert_eq!(*digest, Digest::of(&block.to_be_bytes()));
                        seen.push((run.file, block));
                    }
                }
                let text = ControlMessage::Have { blocks, last: true }.to_text();
                prop_assert!(text.len() <= MAX_MESSAGE, "{}", text.len());
            }
            prop_assert!(seen.iter().eq(blocks.iter()));
        }
    }

    #[test]
    fn long_runs_and_many_ranges_fit() {
        let mut batch = Batch::default();
        let mut lists: Vec<Vec<Run>> = (0..5000)
            .filter_map(|block| {
                let block = u32::MAX - 5000 + block;
                batch.push(
                    BlockId {
                        file: u32::MAX,
                        block,
                    },
                    Digest::of(b""),
                )
            })
            .collect();
        lists.push(batch.take());
        for blocks in lists {
            let text = ControlMessage::Have { blocks, last: true }.to_text();
            assert!(text.len() <= MAX_MESSAGE);
        }
        let far = Range {
            file: u32::MAX,
            from: u32::MAX,
            count: u32::MAX,
        };
        for list in batches(&vec![far; 3000]) {
            let blocks = list.to_vec();
            let text = ControlMessage::Changed { blocks }.to_text();
            assert!(text.len() <= MAX_MESSAGE);
        }
    }
}
