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
use crate::transfer::kept::Kept;
use crate::transfer::manifest::Kind;
use crate::transfer::record::Packer;
use crate::transfer::source::{Source, modified};

/// Messages read ahead, of less than 64 KiB each: 2 MiB.
pub(super) const AHEAD: usize = 32;

/// A chunk, which stays on one lane, ends with the block that brings it to this length: small enough to
/// spread over lanes, large enough for small files to share messages.
const CHUNK: usize = 256 << 10;

/// What the thread has for the sender.
#[derive(Debug)]
pub(super) enum Output {
    /// A message for a lane, and the files that end with it. If it `ends` a chunk, so does its last block.
    Message {
        bytes: Bytes,
        files: Vec<FileEnd>,
        ends: bool,
    },
    /// Everything has been read; `files` are empty ones at the end.
    Complete { digest: Digest, files: Vec<FileEnd> },
    /// Nothing follows.
    Failed(TransferError),
}

/// A file that has been read to its end.
#[derive(Debug)]
pub(super) struct FileEnd {
    pub(super) index: u32,
    pub(super) digest: Digest,
}

pub(super) struct Reader {
    source: Arc<Source>,
    /// Blocks that the receiver has, found equal to those of the source.
    kept: Kept,
    /// Blocks to send again.
    resends: mpsc::Receiver<BlockId>,
    output: mpsc::Sender<Output>,
    packer: Packer,
    /// Files that end in the message being packed. They travel with it: waking the sender for each
    /// of many small files would take longer than reading them.
    ended: Vec<FileEnd>,
    /// Bytes of blocks since the last chunk ended.
    chunk: usize,
    /// The block that comes next; those before it have been sent.
    next: BlockId,
}

enum Stop {
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
        kept: Kept,
        resends: mpsc::Receiver<BlockId>,
        output: mpsc::Sender<Output>,
    ) -> Self {
        let next = BlockId { file: 0, block: 0 };
        Self {
            source,
            kept,
            resends,
            output,
            packer: Packer::default(),
            ended: Vec::new(),
            chunk: 0,
            next,
        }
    }

    pub(super) fn run(mut self) {
        if let Err(Stop::Failed(error)) = self.run_inner() {
            let _ = self.output.blocking_send(Output::Failed(error));
        }
    }

    fn run_inner(&mut self) -> Result<(), Stop> {
        let digest = self.everything()?;
        self.flush()?;
        let files = std::mem::take(&mut self.ended);
        self.put(Output::Complete { digest, files })?;
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
                    self.ended.push(FileEnd { index, digest });
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
            if std::mem::take(&mut skipped) {
                self.seek(id, &mut file)?;
            }
            let read = self.block(id, size, &mut file)?;
            digest.add(block, read);
        }
        if skipped {
            file.seek(SeekFrom::Start(size))
                .map_err(|e| self.io(index, e))?;
        }
        self.check_unchanged(index, &mut file)?;
        Ok(digest.finish())
    }

    fn resend(&mut self, id: BlockId) -> Result<(), Stop> {
        if id >= self.next {
            let error = TransferError::protocol("it asked for a block that was not sent yet");
            return Err(error.into());
        }
        let mut file = self.open(id.file)?;
        let size = self.source.manifest().entries()[id.file as usize].size();
        self.seek(id, &mut file)?;
        self.block(id, size, &mut file)?;
        Ok(())
    }

    fn seek(&self, id: BlockId, file: &mut File) -> Result<(), TransferError> {
        let start = u64::from(id.block) * u64::from(self.source.manifest().block_size().bytes());
        file.seek(SeekFrom::Start(start))
            .map(drop)
            .map_err(|e| self.io(id.file, e))
    }

    fn block(&mut self, id: BlockId, size: u64, file: &mut File) -> Result<Digest, Stop> {
        let (_, length) = self
            .source
            .manifest()
            .block(size, id.block)
            .expect("checked by the state");
        let (output, ended) = (&self.output, &mut self.ended);
        let emit = |bytes| {
            let files = std::mem::take(ended);
            let ends = false;
            output
                .blocking_send(Output::Message { bytes, files, ends })
                .is_ok()
        };
        match self.packer.block((id.file, id.block), length, file, emit) {
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

    fn open(&self, index: u32) -> Result<File, TransferError> {
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
    fn flush(&mut self) -> Result<(), Stop> {
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

    fn io(&self, index: u32, error: io::Error) -> TransferError {
        TransferError::io(&self.source.path(index), error)
    }

    fn changed(&self, index: u32) -> TransferError {
        TransferError::SourceChanged {
            path: self.source.path(index),
        }
    }
}
