//! The receiver's blocking thread: hashes, writes, syncs and moves into place.
//!
//! It ends when its queue of jobs is dropped, and keeps or removes the staging directory before.

use std::sync::Arc;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::assembler::{Assembler, Helped, Step};
use super::resume::Resuming;
use super::staging::{Left, Staging};
use super::target::{Existing, commit};
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;
use crate::transfer::kept::{Kept, Range, Run, extend};
use crate::transfer::manifest::Manifest;
use crate::transfer::sender::BlockId;

/// Lane messages that wait for the disk, of less than 64 KiB each: 2 MiB.
pub(super) const BACKLOG: usize = 32;

/// Batches of reports that wait for the receiver. It drains them whatever else it waits for.
pub(super) const BATCHES: usize = 16;

/// Reports in a batch. The reports on one message travel together: waking the receiver for each of
/// many small files would take longer than writing them.
const BATCH: usize = 1024;

/// How long a transfer that ends early waits for the disk to let go of its files. A disk that hangs
/// would keep the user waiting for ever; the thread then removes the files when it can.
const CLEANUP: Duration = Duration::from_secs(5);

/// What the receiver wants.
#[derive(Debug)]
pub(super) enum Job {
    /// A message of a lane.
    Message(u16, Bytes),
    /// Nothing more comes on a lane.
    LaneEnded(u16),
    /// These blocks, which exist, are zeros.
    Zeros(Vec<Range>),
    /// The stream had so many bytes.
    Ended(u64),
    /// A whole block from another receiver, and what it must be.
    Helped {
        helper: u32,
        id: BlockId,
        digest: Digest,
        data: Bytes,
    },
    /// Read a verified block for another receiver.
    Serve { helper: u32, id: BlockId },
    /// Everything is verified: make it durable and put it in place.
    Commit,
    /// The sender has something else in the place of these kept blocks.
    Changed(Vec<Range>),
    /// The sender has compared all kept blocks.
    Checked,
}

/// Where the thread begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// And files of which an earlier attempt has something else.
    Fresh(Box<Staging>, Vec<String>),
    Unfinished(Resuming),
}

/// What the thread has done.
#[derive(Debug)]
pub(super) enum Report {
    /// Blocks of an earlier attempt that are good; [`Job::Checked`] is the answer to the last ones.
    Have {
        blocks: Vec<Run>,
        last: bool,
    },
    /// The staging directory is there, with this many bytes in it that need not be sent, and these files
    /// are not what they were at the earlier attempt.
    Ready {
        resumed: u64,
        changed: Vec<String>,
    },
    /// These blocks are here of an earlier attempt.
    Has(Vec<Range>),
    Verified {
        id: BlockId,
        bytes: u32,
    },
    Damaged(BlockId),
    /// Another receiver gave a block that was here.
    Late(BlockId),
    /// Another receiver gave something else than the block.
    Wrong {
        helper: u32,
        id: BlockId,
    },
    /// A block for another receiver; `None` if it cannot be read.
    Served {
        helper: u32,
        id: BlockId,
        data: Option<Vec<u8>>,
    },
    File {
        file: u32,
        digest: Digest,
    },
    Complete(Digest),
    /// Everything is in place.
    Committed,
    /// This much stays in the staging directory, perhaps nothing.
    Left(Left),
    /// Nothing follows.
    Failed(TransferError),
}

/// How the thread left the disk.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The files are in place.
    pub(super) committed: bool,
    /// What stays in the staging directory, if the thread has said so.
    pub(super) left: Option<Left>,
}

/// The thread and its queues.
pub(super) struct Disk {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) reports: mpsc::Receiver<Vec<Report>>,
    pub(super) thread: JoinHandle<()>,
}

impl Disk {
    /// Starts the thread, which makes the staging directory itself: from its first change to the disk
    /// on, [`Disk::close`] waits for it.
    pub(super) fn start(
        manifest: Arc<Manifest>,
        existing: Existing,
        shares: bool,
        begin: impl FnOnce() -> Result<Begin, TransferError> + Send + 'static,
    ) -> Self {
        let (jobs, mut orders) = mpsc::channel(BACKLOG);
        let (report, reports) = mpsc::channel(BATCHES);
        let thread = spawn_blocking(move || {
            let begun = begin().map_err(Stop::Failed).and_then(|begin| match begin {
                Begin::Fresh(staging, changed) => Ok((*staging, Kept::default(), changed)),
                Begin::Unfinished(transfer) => transfer.agree(&mut orders, &report),
            });
            match begun {
                Ok((staging, kept, changed)) => {
                    let resumed = kept.bytes(&manifest);
                    let writer = Writer {
                        manifest,
                        existing,
                        staging,
                        jobs: orders,
                        reports: report,
                        batch: vec![Report::Ready { resumed, changed }],
                        shares,
                    };
                    writer.run(kept);
                }
                Err(Stop::Failed(error)) => {
                    drop(report.blocking_send(vec![Report::Failed(error)]));
                }
                Err(Stop::Unwanted) => {}
            }
        });
        Self {
            jobs,
            reports,
            thread,
        }
    }

    /// Waits until the thread has put the files in place or has left the staging directory as it will
    /// stay.
    pub(super) async fn close(self) -> Closed {
        let Self {
            jobs, mut reports, ..
        } = self;
        drop(jobs);
        let mut closed = Closed::default();
        let last = async {
            while let Some(batch) = reports.recv().await {
                for report in batch {
                    match report {
                        Report::Committed => closed.committed = true,
                        Report::Left(left) => closed.left = Some(left),
                        _ => {}
                    }
                }
            }
        };
        let _ = timeout(CLEANUP, last).await;
        closed
    }
}

struct Writer {
    manifest: Arc<Manifest>,
    existing: Existing,
    staging: Staging,
    jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Vec<Report>>,
    batch: Vec<Report>,
    /// Whether blocks come from other receivers, too.
    shares: bool,
}

pub(super) enum Stop {
    /// The receiver is gone: nobody wants to know.
    Unwanted,
    Failed(TransferError),
}

impl From<TransferError> for Stop {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    fn run(mut self, kept: Kept) {
        let result = self.run_inner(kept);
        let Self {
            staging,
            reports,
            mut batch,
            ..
        } = self;
        // Before the last report: whoever hears it finds the directory as it will stay.
        match result {
            Ok(()) => {
                staging.remove();
                batch.push(Report::Committed);
            }
            Err(stop) => {
                batch.push(Report::Left(staging.end()));
                if let Stop::Failed(error) = stop {
                    batch.push(Report::Failed(error));
                }
            }
        }
        if !batch.is_empty() {
            let _ = reports.blocking_send(batch);
        }
    }

    fn run_inner(&mut self, kept: Kept) -> Result<(), Stop> {
        self.report()?;
        self.staging.make_directories()?;
        let (mut assembler, mut steps) = Assembler::new(&self.manifest);
        for (id, digest) in kept.iter() {
            assembler.kept(id, digest, &mut steps);
        }
        if self.shares {
            assembler.share();
            let mut ranges = Vec::new();
            for (id, _) in kept.iter() {
                extend(&mut ranges, id);
            }
            self.batch.push(Report::Has(ranges));
        }
        drop(kept);
        loop {
            for step in steps.drain(..) {
                self.step(step)?;
            }
            self.report()?;
            match self.jobs.blocking_recv().ok_or(Stop::Unwanted)? {
                Job::Message(lane, message) => assembler.message(lane, message, &mut steps)?,
                Job::LaneEnded(lane) => assembler.lane_ended(lane),
                Job::Zeros(ranges) => self.zeros(&ranges, &mut assembler, &mut steps)?,
                Job::Ended(size) => assembler.ended(size, &mut steps)?,
                Job::Helped {
                    helper,
                    id,
                    digest,
                    data,
                } => match assembler.helped(id, digest, data, &mut steps) {
                    Helped::Taken => {}
                    Helped::Late => self.batch.push(Report::Late(id)),
                    Helped::Wrong => self.batch.push(Report::Wrong { helper, id }),
                },
                Job::Serve { helper, id } => self.serve(helper, id),
                Job::Commit => break,
                Job::Changed(_) | Job::Checked => {}
            }
        }
        self.staging.finish()?;
        // The transfer may have been cancelled during the sync, which can take long.
        if self.jobs.is_closed() {
            return Err(Stop::Unwanted);
        }
        Ok(commit(&self.staging, &self.manifest, self.existing)?)
    }

    /// One by one: a few words may stand for as many blocks as the disk is large.
    fn zeros(
        &mut self,
        ranges: &[Range],
        assembler: &mut Assembler,
        steps: &mut Vec<Step>,
    ) -> Result<(), Stop> {
        for Range { file, from, count } in ranges.iter().copied() {
            for block in from..from + count {
                if self.jobs.is_closed() {
                    return Err(Stop::Unwanted);
                }
                assembler.zeros(BlockId { file, block }, steps)?;
                for step in steps.drain(..) {
                    self.step(step)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a block for another receiver. That it cannot be read is no reason to stop receiving.
    fn serve(&mut self, helper: u32, id: BlockId) {
        let file = self.manifest.file(id.file);
        let block = file.and_then(|(_, size)| self.manifest.block(size, id.block));
        let data = block.and_then(|(position, length)| {
            let read = self.staging.read(id.file, position, length);
            read.inspect_err(|error| tracing::info!(%error, "a block cannot be read back"))
                .ok()
        });
        self.batch.push(Report::Served { helper, id, data });
    }

    fn step(&mut self, step: Step) -> Result<(), Stop> {
        let report = match step {
            Step::Write {
                file,
                position,
                data,
            } => {
                return Ok(self.staging.write(file, position, &data)?);
            }
            Step::Zeros {
                file,
                position,
                length,
            } => return Ok(self.staging.zeros(file, position, length)?),
            Step::Verified {
                id,
                digest,
                bytes,
                written,
            } => {
                self.staging.verified(id, digest, bytes, written)?;
                Report::Verified { id, bytes }
            }
            Step::Damaged(id) => Report::Damaged(id),
            Step::File { file, digest } => {
                self.staging.finish_file(file)?;
                Report::File { file, digest }
            }
            Step::Complete(digest) => Report::Complete(digest),
        };
        self.batch.push(report);
        if self.batch.len() < BATCH {
            Ok(())
        } else {
            self.report()
        }
    }

    fn report(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.reports
            .blocking_send(batch)
            .map_err(|_| Stop::Unwanted)
    }
}
