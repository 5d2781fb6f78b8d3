//! What to do with each message of a lane: pure, though it hashes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::transfer::digest::{BlockDigest, Digest, FileDigest, TransferDigest};
use crate::transfer::error::TransferError;
use crate::transfer::holes::ZeroDigest;
use crate::transfer::manifest::{Kind, Manifest};
use crate::transfer::record::{Record, Records};
use crate::transfer::sender::BlockId;

/// What a message leads to, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write `data` at `position` of the file.
    Write {
        file: u32,
        position: u64,
        data: Bytes,
    },
    /// These `length` bytes of the file are zeros.
    Zeros {
        file: u32,
        position: u64,
        length: u32,
    },
    /// A block of `bytes` bytes matches its digest, and `written` of them have been written; the rest
    /// are zeros.
    Verified {
        id: BlockId,
        digest: Digest,
        bytes: u32,
        written: u32,
    },
    /// A block does not.
    Damaged(BlockId),
    /// All blocks of a file are verified.
    File { file: u32, digest: Digest },
    /// All files are.
    Complete(Digest),
}

/// Follows the blocks of a transfer. One block is open at a time on each lane, which carries block after
/// block.
#[derive(Debug)]
pub(super) struct Assembler {
    manifest: Arc<Manifest>,
    open: HashMap<u16, Open>,
    /// Files of which some blocks are verified.
    begun: HashMap<u32, FileDigest>,
    /// By entry; directories stay `None`.
    done: Vec<Option<Digest>>,
    files_left: u32,
    zeros: ZeroDigest,
    stream: Option<Stream>,
}

/// What is known of the end of a stream.
#[derive(Debug, Default)]
struct Stream {
    /// The block behind the last one that came.
    blocks: u32,
    /// A block that is not full, and its length: it must be the last.
    short: Option<(u32, u32)>,
    /// What the sender said.
    size: Option<u64>,
}

#[derive(Debug)]
struct Open {
    id: BlockId,
    received: u32,
    digest: BlockDigest,
}

fn fault(what: &str) -> TransferError {
    TransferError::protocol(what)
}

impl Stream {
    /// A block is here, which is `short` if it is not full.
    fn came(&mut self, block: u32, short: Option<u32>) -> Result<(), TransferError> {
        let behind = block
            .checked_add(1)
            .ok_or_else(|| fault("a block beyond the file"))?;
        self.blocks = self.blocks.max(behind);
        if let Some(length) = short {
            let other = self.short.replace((block, length));
            if other.is_some() {
                return Err(fault("a stream with two ends"));
            }
        }
        Ok(())
    }
}

impl Assembler {
    /// Also returns the steps that need no message: files without blocks are done.
    pub(super) fn new(manifest: &Arc<Manifest>) -> (Self, Vec<Step>) {
        let mut assembler = Self {
            open: HashMap::new(),
            begun: HashMap::new(),
            done: vec![None; manifest.entries().len()],
            files_left: manifest.files(),
            zeros: ZeroDigest::default(),
            stream: manifest.is_stream().then(Stream::default),
            manifest: manifest.clone(),
        };
        let mut steps = Vec::new();
        for (file, entry) in (0..).zip(manifest.entries()) {
            if entry.kind == (Kind::File { size: 0 }) && assembler.stream.is_none() {
                assembler.file_done(file, FileDigest::default().finish(), &mut steps);
            }
        }
        if manifest.files() == 0 {
            steps.push(Step::Complete(assembler.digest()));
        }
        (assembler, steps)
    }

    /// A block that an earlier attempt left on disk, and that the sender still has.
    pub(super) fn kept(&mut self, id: BlockId, digest: Digest, steps: &mut Vec<Step>) {
        if let Some((_, size)) = self.manifest.file(id.file)
            && !self.is_verified(id)
        {
            self.block_done(id, size, digest, steps);
        }
    }

    /// Adds the steps of one lane message to `steps`.
    pub(super) fn message(
        &mut self,
        lane: u16,
        message: Bytes,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransferError> {
        if message.is_empty() {
            return Err(fault("a message without records"));
        }
        for record in Records(message) {
            self.record(
                lane,
                record.map_err(|_| fault("a record is cut short"))?,
                steps,
            )?;
        }
        Ok(())
    }

    /// A block holds nothing but zeros.
    pub(super) fn zeros(
        &mut self,
        id: BlockId,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransferError> {
        let file = self.manifest.file(id.file);
        let block = file.and_then(|(_, size)| Some((size, self.manifest.block(size, id.block)?)));
        let (size, (position, bytes)) = block.ok_or_else(|| fault("a block beyond the file"))?;
        if self.is_verified(id) || self.open.values().any(|open| open.id == id) {
            return Err(fault("a block came twice"));
        }
        let digest = self.zeros.of(bytes);
        steps.push(Step::Zeros {
            file: id.file,
            position,
            length: bytes,
        });
        steps.push(Step::Verified {
            id,
            digest,
            bytes,
            written: 0,
        });
        self.block_done(id, size, digest, steps);
        Ok(())
    }

    /// The sender says how long the stream was.
    pub(super) fn ended(&mut self, size: u64, steps: &mut Vec<Step>) -> Result<(), TransferError> {
        if let Some(stream) = &mut self.stream {
            stream.size = Some(size);
        }
        self.end_stream(steps)
    }

    /// Ends the stream if it has an end and everything before it is here.
    fn end_stream(&mut self, steps: &mut Vec<Step>) -> Result<(), TransferError> {
        let Some((stream, size)) = self
            .stream
            .as_ref()
            .and_then(|stream| Some((stream, stream.size?)))
        else {
            return Ok(());
        };
        let whole = self.manifest.ended(size)?;
        let blocks = whole.blocks(size);
        let short = (size % u64::from(whole.block_size().bytes())) as u32;
        let short = (short > 0).then(|| (blocks - 1, short));
        if stream.blocks > blocks || (stream.short.is_some() && stream.short != short) {
            return Err(fault("the stream has another length"));
        }
        let there = self.begun.get(&0).map_or(0, FileDigest::complete_to);
        if there < blocks {
            return Ok(());
        }
        // The last block may have been full where it must not be.
        if stream.short != short {
            return Err(fault("the stream has another length"));
        }
        self.stream = None;
        self.manifest = Arc::new(whole);
        let digest = self.begun.remove(&0).unwrap_or_default().finish();
        self.file_done(0, digest, steps);
        Ok(())
    }

    /// Nothing more comes on a lane: a block that is not complete there will begin again on another.
    pub(super) fn lane_ended(&mut self, lane: u16) {
        self.open.remove(&lane);
    }

    fn record(
        &mut self,
        lane: u16,
        record: Record,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransferError> {
        let id = BlockId {
            file: record.file,
            block: record.block,
        };
        let (_, size) = self
            .manifest
            .file(id.file)
            .ok_or_else(|| fault("data for something not a file"))?;
        let (start, length) = self
            .manifest
            .block(size, id.block)
            .ok_or_else(|| fault("a block beyond the file"))?;
        let mut open = match self.open.remove(&lane) {
            Some(open) if open.id == id => open,
            Some(_) => return Err(fault("a block began inside another")),
            None if self.is_verified(id) => return Err(fault("a block came twice")),
            None if self.open.values().any(|open| open.id == id) => {
                return Err(fault("a block on two lanes"));
            }
            None => Open {
                id,
                received: 0,
                digest: BlockDigest::default(),
            },
        };
        if record.offset != open.received {
            return Err(fault("a gap or an overlap in a block"));
        }
        if record.data.is_empty() {
            return Err(fault("a record without data"));
        }
        let left = length - open.received;
        // A message, and so a record, has less than 64 KiB.
        let bytes = record.data.len() as u32;
        let ends = record.digest.is_some();
        // A block of a stream may end before it is full.
        let early = self.stream.is_some() && ends;
        if bytes > left || ((bytes == left) != ends && !early) {
            return Err(fault("a block of the wrong length"));
        }
        open.digest.update(&record.data);
        let position = start + u64::from(open.received);
        open.received += bytes;
        steps.push(Step::Write {
            file: id.file,
            position,
            data: record.data,
        });
        match record.digest {
            None => drop(self.open.insert(lane, open)),
            Some(expected) => {
                let digest = open.digest.finish();
                if digest == expected {
                    let bytes = open.received;
                    if let Some(stream) = &mut self.stream {
                        stream.came(id.block, (bytes < length).then_some(bytes))?;
                    }
                    steps.push(Step::Verified {
                        id,
                        digest,
                        bytes,
                        written: bytes,
                    });
                    self.block_done(id, size, digest, steps);
                    self.end_stream(steps)?;
                } else {
                    steps.push(Step::Damaged(id));
                }
            }
        }
        Ok(())
    }

    fn is_verified(&self, id: BlockId) -> bool {
        self.done[id.file as usize].is_some()
            || self
                .begun
                .get(&id.file)
                .is_some_and(|file| file.contains(id.block))
    }

    fn block_done(&mut self, id: BlockId, size: u64, digest: Digest, steps: &mut Vec<Step>) {
        let mut file = self.begun.remove(&id.file).unwrap_or_default();
        file.add(id.block, digest);
        if self.stream.is_none() && file.complete_to() == self.manifest.blocks(size) {
            self.file_done(id.file, file.finish(), steps);
        } else {
            self.begun.insert(id.file, file);
        }
    }

    fn file_done(&mut self, file: u32, digest: Digest, steps: &mut Vec<Step>) {
        self.done[file as usize] = Some(digest);
        self.files_left -= 1;
        steps.push(Step::File { file, digest });
        if self.files_left == 0 {
            steps.push(Step::Complete(self.digest()));
        }
    }

    fn digest(&self) -> Digest {
        let mut transfer = TransferDigest::default();
        for (entry, digest) in self.manifest.entries().iter().zip(&self.done) {
            match digest {
                Some(digest) => transfer.file(entry.path.as_str(), entry.size(), *digest),
                None => transfer.directory(entry.path.as_str()),
            }
        }
        transfer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{BlockSize, Entry};
    use crate::transfer::safe_path::SafePath;
    use proptest::prelude::*;

    const MIB: u32 = 1 << 20;

    /// 0: directory, 1: three bytes, 2: nothing, 3: a block and five bytes.
    fn assembler() -> Assembler {
        let entry = |path, kind| Entry {
            path: SafePath::parse(path).unwrap(),
            kind,
            mtime: None,
            mode: None,
        };
        let entries = vec![
            entry("d", Kind::Directory),
            entry("d/three", Kind::File { size: 3 }),
            entry("d/none", Kind::File { size: 0 }),
            entry(
                "d/two",
                Kind::File {
                    size: u64::from(MIB) + 5,
                },
            ),
        ];
        let manifest = Manifest::new("d", BlockSize::for_largest(0), entries).unwrap();
        let (assembler, steps) = Assembler::new(&Arc::new(manifest));
        assert!(matches!(steps[..], [Step::File { file: 2, .. }]));
        assembler
    }

    fn record(file: u32, block: u32, offset: u32, data: &[u8], digest: Option<Digest>) -> Vec<u8> {
        let flag = u32::from(digest.is_some()) << 31;
        let words = [file, block, offset, flag | data.len() as u32];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(data);
        bytes.extend(digest.iter().flat_map(|digest| digest.as_bytes()));
        bytes
    }

    fn whole(file: u32, block: u32, data: &[u8]) -> Vec<u8> {
        record(file, block, 0, data, Some(Digest::of(data)))
    }

    fn run(assembler: &mut Assembler, message: Vec<u8>) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        match assembler.message(0, message.into(), &mut steps) {
            Ok(()) => Ok(steps),
            Err(TransferError::Protocol(what)) => Err(what),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn blocks_in_any_order_complete_the_transfer() {
        let mut assembler = assembler();
        let steps = run(&mut assembler, whole(3, 1, b"12345")).unwrap();
        assert!(matches!(
            steps[..],
            [
                Step::Write {
                    file: 3,
                    position: 1_048_576,
                    ..
                },
                Step::Verified { bytes: 5, .. }
            ]
        ));
        let big = vec![7; MIB as usize];
        for offset in (0..MIB).step_by(1 << 15) {
            let piece = &big[offset as usize..][..1 << 15];
            let last = (offset + (1 << 15) == MIB).then(|| Digest::of(&big));
            let message = record(3, 0, offset, piece, last);
            let steps = run(&mut assembler, message).unwrap();
            assert_eq!(steps.len(), if last.is_some() { 3 } else { 1 });
        }
        let steps = run(&mut assembler, whole(1, 0, b"abc")).unwrap();
        let blocks = [Digest::of(&big), Digest::of(b"12345")];
        let joined: Vec<u8> = blocks
            .iter()
            .flat_map(|digest| *digest.as_bytes())
            .collect();
        let mut expected = TransferDigest::default();
        expected.directory("d");
        expected.file("d/three", 3, Digest::of(Digest::of(b"abc").as_bytes()));
        expected.file("d/none", 0, Digest::of(b""));
        expected.file("d/two", u64::from(MIB) + 5, Digest::of(&joined));
        assert_eq!(steps.last(), Some(&Step::Complete(expected.finish())));
    }

    #[test]
    fn a_damaged_block_may_come_again() {
        let mut assembler = assembler();
        let bad = record(1, 0, 0, b"abx", Some(Digest::of(b"abc")));
        let id = BlockId { file: 1, block: 0 };
        for _ in 0..2 {
            let steps = run(&mut assembler, bad.clone()).unwrap();
            assert_eq!(steps.last(), Some(&Step::Damaged(id)));
        }
        let steps = run(&mut assembler, whole(1, 0, b"abc")).unwrap();
        assert!(matches!(steps.last(), Some(Step::File { file: 1, .. })));
    }

    #[test]
    fn lanes_carry_different_blocks_and_one_that_ends_gives_its_block_back() {
        let mut assembler = assembler();
        let mut steps = Vec::new();
        let mut message = |assembler: &mut Assembler, lane, message: Vec<u8>| {
            steps.clear();
            assembler
                .message(lane, message.into(), &mut steps)
                .map(|()| steps.len())
        };
        let begin = || record(1, 0, 0, b"ab", None);
        assert_eq!(message(&mut assembler, 1, begin()).unwrap(), 1);
        assert!(message(&mut assembler, 2, whole(3, 1, b"12345")).is_ok());
        let twice = message(&mut assembler, 2, begin()).unwrap_err();
        assert!(matches!(twice, TransferError::Protocol(what) if what == "a block on two lanes"));
        assembler.lane_ended(1);
        assert!(message(&mut assembler, 2, whole(1, 0, b"abc")).is_ok());
        assert!(assembler.is_verified(BlockId { file: 1, block: 0 }));
    }

    #[test]
    fn hostile_records() {
        let digest = Some(Digest::of(b"abc"));
        let cut = whole(1, 0, b"abc")[..20].to_vec();
        let two = [record(1, 0, 0, b"ab", None), record(1, 0, 1, b"bc", digest)].concat();
        let gap = [record(3, 0, 0, b"ab", None), record(3, 0, 3, b"c", None)].concat();
        let mixed = [record(3, 0, 0, b"ab", None), whole(1, 0, b"abc")].concat();
        let twice = [whole(1, 0, b"abc"), whole(1, 0, b"abc")].concat();
        for (name, message, expected) in [
            ("empty message", vec![], "a message without records"),
            ("cut", cut, "a record is cut short"),
            (
                "directory",
                whole(0, 0, b"abc"),
                "data for something not a file",
            ),
            (
                "no such entry",
                whole(4, 0, b"abc"),
                "data for something not a file",
            ),
            (
                "entry u32::MAX",
                whole(u32::MAX, 0, b"a"),
                "data for something not a file",
            ),
            ("size 0", whole(2, 0, b"a"), "a block beyond the file"),
            (
                "no such block",
                whole(1, 1, b"a"),
                "a block beyond the file",
            ),
            (
                "block u32::MAX",
                whole(3, u32::MAX, b"a"),
                "a block beyond the file",
            ),
            (
                "begins late",
                record(3, 0, 5, b"a", None),
                "a gap or an overlap in a block",
            ),
            (
                "offset u32::MAX",
                record(3, 0, u32::MAX, b"a", None),
                "a gap or an overlap in a block",
            ),
            ("overlap", two, "a gap or an overlap in a block"),
            ("gap", gap, "a gap or an overlap in a block"),
            (
                "no data",
                record(1, 0, 0, b"", None),
                "a record without data",
            ),
            (
                "no data, last",
                record(1, 0, 0, b"", digest),
                "a record without data",
            ),
            (
                "too long",
                whole(1, 0, b"abcd"),
                "a block of the wrong length",
            ),
            (
                "too short",
                whole(1, 0, b"ab"),
                "a block of the wrong length",
            ),
            (
                "no digest",
                record(1, 0, 0, b"abc", None),
                "a block of the wrong length",
            ),
            ("interleaved", mixed, "a block began inside another"),
            ("twice", twice, "a block came twice"),
        ] {
            assert_eq!(
                run(&mut assembler(), message),
                Err(expected.to_owned()),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_message_is_handled_and_writes_stay_inside(
            records in proptest::collection::vec(
                (0u32..5, 0u32..3, 0u32..4, 0usize..8, any::<bool>(), any::<bool>()), 0..12),
            tail in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut assembler = assembler();
            for (file, block, offset, length, last, right) in records {
                let data = vec![1; length];
                let digest = if right { Digest::of(&data) } else { Digest::of(b"") };
                let message = record(file, block, offset, &data, last.then_some(digest));
                let mut steps = Vec::new();
                let result = assembler.message(0, message.into(), &mut steps);
                for step in &steps {
                    if let Step::Write { file, position, data } = step {
                        let size = assembler.manifest.entries()[*file as usize].size();
                        prop_assert!(position + data.len() as u64 <= size);
                    }
                }
                if result.is_err() {
                    return Ok(());
                }
            }
            let _ = assembler.message(0, tail.into(), &mut Vec::new());
        }
    }
}
