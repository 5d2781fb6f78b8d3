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
    /// Whether blocks also come from others than the sender, who may send them all the same.
    shares: bool,
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
    /// It is here already: nothing more of it is written.
    late: bool,
}

/// What came of a block that was not the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helped {
    /// It is right.
    Taken,
    /// It was here before.
    Late,
    /// It is not what the sender says it is.
    Wrong,
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
            shares: false,
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

    /// From now on blocks may come from others as well, and twice.
    pub(super) fn share(&mut self) {
        self.shares = true;
    }

    /// A whole block that somebody else gave. Nothing of it is written unless it is right.
    pub(super) fn helped(
        &mut self,
        id: BlockId,
        expected: Digest,
        data: Bytes,
        steps: &mut Vec<Step>,
    ) -> Helped {
        let file = self.manifest.file(id.file);
        let block = file.and_then(|(_, size)| Some((size, self.manifest.block(size, id.block)?)));
        let Some((size, (start, length))) = block else {
            return Helped::Wrong;
        };
        if self.is_verified(id) {
            return Helped::Late;
        }
        let digest = Digest::of(&data);
        if data.len() as u64 != u64::from(length) || digest != expected {
            return Helped::Wrong;
        }
        for open in self.open.values_mut().filter(|open| open.id == id) {
            open.late = true;
        }
        steps.push(Step::Write {
            file: id.file,
            position: start,
            data,
        });
        steps.push(Step::Verified {
            id,
            digest,
            bytes: length,
            written: length,
        });
        self.block_done(id, size, digest, steps);
        Helped::Taken
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
            None if self.is_verified(id) && !self.shares => {
                return Err(fault("a block came twice"));
            }
            None if self.open.values().any(|open| open.id == id) => {
                return Err(fault("a block on two lanes"));
            }
            None => Open {
                id,
                received: 0,
                digest: BlockDigest::default(),
                late: self.is_verified(id),
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
        let position = start + u64::from(open.received);
        open.received += bytes;
        if open.late {
            if !ends {
                self.open.insert(lane, open);
            }
            return Ok(());
        }
        open.digest.update(&record.data);
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
#[path = "assembler_tests.rs"]
mod tests;
