//! The sender's blocking thread: reads, hashes and packs.
//!
//! It runs ahead of the lane by [`AHEAD`] messages and ends when either of its queues is dropped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::state::BlockId;
use crate::transfer::digest::{Digest, FileDigest, TransferDigest};
use crate::transfer::error::TransferError;
use crate::transfer::holes::{Holes, ZeroDigest};
use crate::transfer::kept::{Kept, Range, batches, extend};
use crate::transfer::manifest::{Kind, ManifestError};
use crate::transfer::record::Packer;
use crate::transfer::source::{Source, modified};
use crate::transfer::swarm::crowd::ReaderSeat;

/// Messages read ahead, of less than 64 KiB each: 2 MiB.
pub(super) const AHEAD: usize = 32;

/// A chunk, which stays on one lane, ends with the block that brings it to this length: small enough to
/// spread over lanes, large enough for small files to share messages.
const CHUNK: usize = 256 << 10;

/// Runs of zeros that are told together, at the latest with the end of their file.
const ZERO_RUNS: usize = 512;

/// Blocks of zeros after which they are told, in the middle of a hole and before more data is read: what was not
/// told is not there when the transfer goes on after an interruption.
const ZEROS: u32 = 4096;
const ZEROS_BEFORE_DATA: u32 = 16;

/// What the thread has for the sender.
#[derive(Debug)]
pub(super) enum Output {
    /// A message for a lane, and the files that end with it. If it `ends` a chunk, so does its last block.
    Message {
        bytes: Bytes,
        files: Vec<FileEnd>,
        ends: bool,
    },
    /// Blocks that need not be sent.
    Zeros { blocks: Vec<Range> },
    /// Everything has been read; `files` are empty ones at the end. Of a stream it is known now how long it
    /// was.
    Complete {
        digest: Digest,
        size: Option<u64>,
        files: Vec<FileEnd>,
    },
    /// Nothing follows.
    Failed(TransferError),
}

/// A file that has been read to its end.
#[derive(Debug)]
pub(super) struct FileEnd {
    pub(super) index: u32,
    /// What was read of it.
    pub(super) size: u64,
    pub(super) digest: Digest,
}

pub(super) struct Reader {
    pub(super) source: Arc<Source>,
    /// Blocks that the receiver has, found equal to those of the source.
    kept: Kept,
    /// Blocks to send again.
    pub(super) resends: mpsc::Receiver<BlockId>,
    pub(super) output: mpsc::Sender<Output>,
    packer: Packer,
    /// Files that end in the message being packed. They travel with it: waking the sender for each
    /// of many small files would take longer than reading them.
    pub(super) ended: Vec<FileEnd>,
    /// Bytes of blocks since the last chunk ended.
    chunk: usize,
    /// Blocks in holes, if the receiver can be told so.
    zeros: Option<Zeros>,
    /// The block that comes next; those before it have been sent.
    next: BlockId,
    /// Says which blocks to send, if there are other receivers.
    pub(super) seat: Option<ReaderSeat>,
}

#[derive(Debug, Default)]
struct Zeros {
    digest: ZeroDigest,
    /// Not told yet, and how many blocks that is.
    found: Vec<Range>,
    blocks: u32,
}

/// What the receiver said that changes what is sent.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// Blocks that it has, found equal to those of the source.
    pub(super) kept: Kept,
    /// It can be told of zeros.
    pub(super) zeros: bool,
    /// How many extra lanes it takes.
    pub(super) lanes: u16,
    /// It exchanges blocks with others.
    pub(super) shares: bool,
}

pub(super) enum Stop {
    /// The sender is gone: nobody wants to know.
    Unwanted,
    Failed(TransferError),
}

impl From<TransferError> for Stop {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    pub(super) fn new(
        source: Arc<Source>,
        accepted: Accepted,
        resends: mpsc::Receiver<BlockId>,
        output: mpsc::Sender<Output>,
        packer: Packer,
    ) -> Self {
        let next = BlockId { file: 0, block: 0 };
        Self {
            source,
            kept: accepted.kept,
            resends,
            output,
            packer,
            ended: Vec::new(),
            chunk: 0,
            zeros: accepted.zeros.then(Zeros::default),
            next,
            seat: None,
        }
    }

    pub(super) fn run(mut self) {
        if let Err(Stop::Failed(error)) = self.run_inner() {
            let _ = self.output.blocking_send(Output::Failed(error));
        }
    }

    fn run_inner(&mut self) -> Result<(), Stop> {
        if let Some(seat) = self.seat.take() {
            return self.as_ordered(&seat);
        }
        let (digest, size) = match self.source.take_stream() {
            Some(mut stream) => {
                let (digest, size) = self.stream(&mut *stream)?;
                (digest, Some(size))
            }
            None if self.source.manifest().is_stream() => {
                let again = io::Error::other("it was read before");
                return Err(self.io(0, again).into());
            }
            None => (self.everything()?, None),
        };
        self.flush()?;
        let files = std::mem::take(&mut self.ended);
        self.put(Output::Complete {
            digest,
            size,
            files,
        })?;
        while let Some(id) = self.resends.blocking_recv() {
            self.resend(id)?;
            self.flush()?;
        }
        Ok(())
    }

    fn everything(&mut self) -> Result<Digest, Stop> {
        let source = self.source.clone();
        let mut transfer = TransferDigest::default();
        for (index, entry) in (0..).zip(source.manifest().entries()) {
            match entry.kind {
                Kind::Directory => transfer.directory(entry.path.as_str()),
                Kind::File { size } => {
                    let digest = self.file(index, size)?;
                    transfer.file(entry.path.as_str(), size, digest);
                    self.ended.push(FileEnd {
                        index,
                        size,
                        digest,
                    });
                }
            }
        }
        self.next = BlockId {
            file: u32::MAX,
            block: u32::MAX,
        };
        Ok(transfer.finish())
    }

    fn file(&mut self, index: u32, size: u64) -> Result<Digest, Stop> {
        let mut file = self.open(index)?;
        let mut digest = FileDigest::default();
        let mut skipped = false;
        let mut holes = match self.zeros {
            Some(_) => Holes::of(&file),
            None => Holes::None,
        };
        for block in 0..self.source.manifest().blocks(size) {
            let id = BlockId { file: index, block };
            self.next = id;
            while let Ok(again) = self.resends.try_recv() {
                self.resend(again)?;
            }
            if let Some(kept) = self.kept.get(id) {
                digest.add(block, kept);
                skipped = true;
                continue;
            }
            if let Some(zeros) = self.zeros(id, size, &file, &mut holes)? {
                digest.add(block, zeros);
                skipped = true;
                continue;
            }
            if self
                .zeros
                .as_ref()
                .is_some_and(|zeros| zeros.blocks >= ZEROS_BEFORE_DATA)
            {
                self.tell_zeros()?;
            }
            // Looking for holes moves the position.
            if std::mem::take(&mut skipped) | holes.may_be() {
                self.seek(id, &mut file)?;
            }
            let read = self.block(id, size, &mut file)?;
            digest.add(block, read);
        }
        if skipped | holes.may_be() {
            file.seek(SeekFrom::Start(size))
                .map_err(|e| self.io(index, e))?;
        }
        self.check_unchanged(index, &mut file)?;
        self.tell_zeros()?;
        Ok(digest.finish())
    }

    /// The digest of a block that is in a hole, which will be told.
    fn zeros(
        &mut self,
        id: BlockId,
        size: u64,
        file: &File,
        holes: &mut Holes,
    ) -> Result<Option<Digest>, Stop> {
        let block = self.source.manifest().block(size, id.block);
        let (Some(zeros), Some((start, length))) = (&mut self.zeros, block) else {
            return Ok(None);
        };
        if !holes.cover(file, start, length) {
            return Ok(None);
        }
        extend(&mut zeros.found, id);
        zeros.blocks += 1;
        let digest = zeros.digest.of(length);
        if zeros.found.len() > ZERO_RUNS || zeros.blocks >= ZEROS {
            self.tell_zeros()?;
        }
        Ok(Some(digest))
    }

    fn tell_zeros(&mut self) -> Result<(), Stop> {
        let found = match &mut self.zeros {
            Some(zeros) if !zeros.found.is_empty() => {
                zeros.blocks = 0;
                std::mem::take(&mut zeros.found)
            }
            _ => return Ok(()),
        };
        for blocks in batches(&found) {
            let blocks = blocks.to_vec();
            self.put(Output::Zeros { blocks })?;
        }
        Ok(())
    }

    /// Reads to the end of what cannot be read twice.
    fn stream(&mut self, stream: &mut dyn Read) -> Result<(Digest, u64), Stop> {
        let manifest = self.source.manifest().clone();
        let mut buffer = vec![0; manifest.block_size().bytes() as usize];
        let (mut digest, mut size) = (FileDigest::default(), 0);
        for block in 0..u32::MAX {
            let id = BlockId { file: 0, block };
            self.next = id;
            if self.resends.try_recv().is_ok() {
                return Err(not_again(id).into());
            }
            let length = fill(stream, &mut buffer).map_err(|e| self.io(0, e))?;
            if length > 0 {
                let filled = &buffer[..length];
                let read = self.pack(id, length as u32, &mut &*filled)?;
                digest.add(block, read);
                size += length as u64;
            }
            // It is filled up, unless the end is here.
            if length < buffer.len() {
                let digest = digest.finish();
                let mut transfer = TransferDigest::default();
                transfer.file(manifest.entries()[0].path.as_str(), size, digest);
                self.ended.push(FileEnd {
                    index: 0,
                    size,
                    digest,
                });
                return Ok((transfer.finish(), size));
            }
        }
        Err(TransferError::from(ManifestError::TooLarge).into())
    }

    fn resend(&mut self, id: BlockId) -> Result<(), Stop> {
        if id >= self.next {
            return Err(not_sent().into());
        }
        if self.source.manifest().is_stream() {
            return Err(not_again(id).into());
        }
        let mut file = self.open(id.file)?;
        let size = self.source.manifest().entries()[id.file as usize].size();
        self.seek(id, &mut file)?;
        self.block(id, size, &mut file)?;
        Ok(())
    }

    pub(super) fn seek(&self, id: BlockId, file: &mut File) -> Result<(), TransferError> {
        let start = u64::from(id.block) * u64::from(self.source.manifest().block_size().bytes());
        file.seek(SeekFrom::Start(start))
            .map(drop)
            .map_err(|e| self.io(id.file, e))
    }

    pub(super) fn block(
        &mut self,
        id: BlockId,
        size: u64,
        file: &mut File,
    ) -> Result<Digest, Stop> {
        let (_, length) = self
            .source
            .manifest()
            .block(size, id.block)
            .expect("checked by the state");
        self.pack(id, length, file)
    }

    fn pack(&mut self, id: BlockId, length: u32, from: &mut impl Read) -> Result<Digest, Stop> {
        let (output, ended) = (&self.output, &mut self.ended);
        let emit = |bytes| {
            let files = std::mem::take(ended);
            let ends = false;
            output
                .blocking_send(Output::Message { bytes, files, ends })
                .is_ok()
        };
        match self.packer.block((id.file, id.block), length, from, emit) {
            Ok(Some(digest)) => {
                self.chunk += length as usize;
                if self.chunk >= CHUNK {
                    self.flush()?;
                }
                Ok(digest)
            }
            Ok(None) => Err(Stop::Unwanted),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.changed(id.file).into())
            }
            Err(error) => Err(self.io(id.file, error).into()),
        }
    }

    pub(super) fn open(&self, index: u32) -> Result<File, TransferError> {
        let opened = self.source.open(index).map_err(|e| self.io(index, e))?;
        opened.ok_or_else(|| self.changed(index))
    }

    /// After the last byte: a file that grew has more to read, one that was written to has a new
    /// time.
    fn check_unchanged(&self, index: u32, file: &mut File) -> Result<(), TransferError> {
        let more = file.read(&mut [0]).map_err(|e| self.io(index, e))?;
        let metadata = file.metadata().map_err(|e| self.io(index, e))?;
        let entry = &self.source.manifest().entries()[index as usize];
        if more > 0 || metadata.len() != entry.size() || modified(&metadata) != entry.mtime {
            return Err(self.changed(index));
        }
        Ok(())
    }

    /// Ends the chunk.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        self.chunk = 0;
        let (output, ended) = (&self.output, &mut self.ended);
        let sent = self.packer.flush(|bytes| {
            let files = std::mem::take(ended);
            let ends = true;
            output
                .blocking_send(Output::Message { bytes, files, ends })
                .is_ok()
        });
        if sent { Ok(()) } else { Err(Stop::Unwanted) }
    }

    fn put(&self, output: Output) -> Result<(), Stop> {
        self.output
            .blocking_send(output)
            .map_err(|_| Stop::Unwanted)
    }

    pub(super) fn io(&self, index: u32, error: io::Error) -> TransferError {
        TransferError::io(&self.source.path(index), error)
    }

    pub(super) fn changed(&self, index: u32) -> TransferError {
        TransferError::SourceChanged {
            path: self.source.path(index),
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

pub(super) fn not_sent() -> TransferError {
    TransferError::protocol("it asked for a block that was not sent yet")
}

/// What was piped is gone. Nothing below damages data, so this is a broken machine.
fn not_again(id: BlockId) -> TransferError {
    TransferError::BadBlock {
        what: format!("block {} of what was piped", id.block),
    }
}
