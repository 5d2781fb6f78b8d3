//! Blocks numbered through a transfer, and sets of them: pure.

use serde::{Deserialize, Serialize};

use crate::transfer::manifest::Manifest;
use crate::transfer::sender::BlockId;

/// Blocks of the largest transfer that is shared among its receivers: a tebibyte in blocks of a mebibyte. A set
/// of them takes 128 KiB, their digests 32 MiB.
pub(in crate::transfer) const MOST_BLOCKS: u32 = 1 << 20;

/// Spans in one message: 24 bytes of text each at most.
pub(in crate::transfer) const MOST_SPANS: usize = 2048;

/// Blocks one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::transfer) struct Span(
    /// The first.
    pub(in crate::transfer) u32,
    /// How many.
    pub(in crate::transfer) u32,
);

/// The blocks of a manifest: those of its first file come first.
#[derive(Debug)]
pub(in crate::transfer) struct BlockMap {
    /// The first block of each entry.
    starts: Vec<u32>,
    /// The length of each entry in bytes.
    sizes: Vec<u64>,
    count: u32,
    block_size: u32,
}

impl BlockMap {
    /// `None` for what is not shared: streams, and what has too many blocks.
    pub(in crate::transfer) fn new(manifest: &Manifest) -> Option<Self> {
        if manifest.is_stream() {
            return None;
        }
        let mut map = Self {
            starts: Vec::with_capacity(manifest.entries().len()),
            sizes: Vec::with_capacity(manifest.entries().len()),
            count: 0,
            block_size: manifest.block_size().bytes(),
        };
        for entry in manifest.entries() {
            map.starts.push(map.count);
            map.sizes.push(entry.size());
            let blocks = manifest.blocks(entry.size());
            map.count = map.count.checked_add(blocks)?;
            if map.count > MOST_BLOCKS {
                return None;
            }
        }
        Some(map)
    }

    pub(in crate::transfer) fn count(&self) -> u32 {
        self.count
    }

    /// The number of a block that exists.
    pub(in crate::transfer) fn number(&self, id: BlockId) -> Option<u32> {
        let file = id.file as usize;
        let start = *self.starts.get(file)?;
        let end = self.starts.get(file + 1).copied().unwrap_or(self.count);
        let number = start.checked_add(id.block)?;
        (number < end).then_some(number)
    }

    /// The block with this number, if there is one.
    pub(in crate::transfer) fn id(&self, number: u32) -> Option<BlockId> {
        if number >= self.count {
            return None;
        }
        // The last entry that begins there: those before it are empty.
        let after = self.starts.partition_point(|start| *start <= number);
        let file = after.checked_sub(1)?;
        Some(BlockId {
            file: file as u32,
            block: number - self.starts[file],
        })
    }

    /// Bytes of a block; 0 if there is none.
    pub(in crate::transfer) fn bytes(&self, number: u32) -> u32 {
        let Some(id) = self.id(number) else {
            return 0;
        };
        let before = u64::from(id.block) * u64::from(self.block_size);
        let rest = self.sizes[id.file as usize].saturating_sub(before);
        rest.min(self.block_size.into()) as u32
    }

    /// The blocks of an entry.
    pub(in crate::transfer) fn of_file(&self, file: u32) -> std::ops::Range<u32> {
        let file = file as usize;
        let end = self.starts.get(file + 1).copied().unwrap_or(self.count);
        self.starts.get(file).copied().unwrap_or(end)..end
    }

    /// Whether all of these exist.
    pub(in crate::transfer) fn holds(&self, span: Span) -> bool {
        span.1 > 0
            && span
                .0
                .checked_add(span.1)
                .is_some_and(|end| end <= self.count)
    }
}

/// Some of the blocks.
#[derive(Debug, Clone)]
pub(in crate::transfer) struct BlockSet {
    words: Vec<u64>,
}

impl BlockSet {
    /// None of them.
    pub(in crate::transfer) fn none(map: &BlockMap) -> Self {
        Self {
            words: vec![0; (map.count as usize).div_ceil(64)],
        }
    }

    /// Adds a block that exists; whether it is new.
    pub(in crate::transfer) fn insert(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(number as usize / 64) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(in crate::transfer) fn remove(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(number as usize / 64) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    pub(in crate::transfer) fn contains(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(in crate::transfer) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    pub(in crate::transfer) fn words(&self) -> usize {
        self.words.len()
    }

    pub(in crate::transfer) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.words).flat_map(|(index, word)| {
            let word = *word;
            (0..64u32)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| index * 64 + bit)
        })
    }

    /// As spans, in order.
    pub(in crate::transfer) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for number in self.iter() {
            extend(&mut spans, number);
        }
        spans
    }
}

/// Adds a block to spans; those that follow one another are joined.
pub(in crate::transfer) fn extend(spans: &mut Vec<Span>, number: u32) {
    match spans.last_mut() {
        Some(span) if span.0 + span.1 == number => span.1 += 1,
        _ => spans.push(Span(number, 1)),
    }
}

/// The lowest block, from word `from` on, for which `wanted` says a bit of its word.
pub(in crate::transfer) fn lowest(
    words: std::ops::Range<usize>,
    wanted: impl Fn(usize) -> u64,
) -> Option<u32> {
    words.into_iter().find_map(|index| {
        let word = wanted(index);
        (word != 0).then(|| index as u32 * 64 + word.trailing_zeros())
    })
}

/// The highest one.
pub(in crate::transfer) fn highest(
    words: std::ops::Range<usize>,
    wanted: impl Fn(usize) -> u64,
) -> Option<u32> {
    words.rev().find_map(|index| {
        let word = wanted(index);
        (word != 0).then(|| index as u32 * 64 + 63 - word.leading_zeros())
    })
}

#[cfg(test)]
pub(in crate::transfer) mod tests {
    use super::*;
    use crate::transfer::manifest::{BlockSize, Entry, Kind};
    use crate::transfer::safe_path::SafePath;
    use proptest::prelude::*;

    /// Files of so many bytes, in blocks of 64 KiB; `None` is a directory.
    pub(in crate::transfer) fn manifest(sizes: &[Option<u64>]) -> Manifest {
        let entries = (0..).zip(sizes).map(|(number, size): (u32, _)| Entry {
            path: SafePath::parse(&format!("{number}")).unwrap(),
            kind: match size {
                Some(size) => Kind::File { size: *size },
                None => Kind::Directory,
            },
            mtime: None,
            mode: None,
        });
        let block_size = BlockSize::new(1 << 16).unwrap();
        Manifest::new("t", block_size, entries.collect()).unwrap()
    }

    proptest! {
        /// Every block has one number, in order, and its own length.
        #[test]
        fn numbers_are_dense_and_lead_back(
            sizes in proptest::collection::vec(proptest::option::of(0u64..300_000), 1..20),
        ) {
            let manifest = manifest(&sizes);
            let map = BlockMap::new(&manifest).unwrap();
            let mut next = 0;
            for (file, size) in (0..).zip(&sizes) {
                let mut bytes = 0;
                prop_assert_eq!(map.of_file(file).start, next);
                for block in 0..manifest.blocks(size.unwrap_or(0)) {
                    let id = BlockId { file, block };
                    prop_assert_eq!(map.number(id), Some(next));
                    prop_assert_eq!(map.id(next), Some(id));
                    bytes += u64::from(map.bytes(next));
                    next += 1;
                }
                prop_assert_eq!(bytes, size.unwrap_or(0));
                let beyond = manifest.blocks(size.unwrap_or(0));
                prop_assert_eq!(map.number(BlockId { file, block: beyond }), None);
            }
            prop_assert_eq!(map.count(), next);
            prop_assert_eq!(map.id(next), None);
            prop_assert!(!map.holds(Span(next, 1)) && !map.holds(Span(0, 0)));
        }

        /// A set is what it is told.
        #[test]
        fn sets(blocks in proptest::collection::btree_set(0u32..500, 0..200)) {
            let manifest = manifest(&[Some(500 << 16)]);
            let mut set = BlockSet::none(&BlockMap::new(&manifest).unwrap());
            for block in &blocks {
                prop_assert!(set.insert(*block) && !set.insert(*block));
            }
            prop_assert!(set.iter().eq(blocks.iter().copied()));
            let spans = set.spans();
            let from_spans = spans.iter().flat_map(|Span(from, count)| *from..from + count);
            prop_assert!(from_spans.eq(blocks.iter().copied()));
            prop_assert_eq!(lowest(0..set.words(), |at| set.word(at)), blocks.first().copied());
            prop_assert_eq!(highest(0..set.words(), |at| set.word(at)), blocks.last().copied());
            for block in &blocks {
                prop_assert!(set.remove(*block) && !set.remove(*block));
            }
            prop_assert_eq!(set.iter().count(), 0);
        }
    }

    #[test]
    fn what_is_too_large_is_not_shared() {
        let large = manifest(&[Some(u64::from(MOST_BLOCKS) << 16), Some(1)]);
        assert!(BlockMap::new(&large).is_none());
    }
}
