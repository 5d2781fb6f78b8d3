//! Handing on one file instead of storing it: every block once it is verified, in order.
//!
//! Blocks may come in another order, over two lanes or after one that was damaged; those that must wait are
//! held in memory. Nothing can be taken up again: what went out is gone.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::assembler::{Assembler, Step};
use super::writer::{BACKLOG, BATCHES, Disk, Job, Report, Stop};
use crate::transfer::error::TransferError;
use crate::transfer::manifest::Manifest;
use crate::transfer::sender::BlockId;

/// Bytes held in memory. A sender begins no block further ahead than 24 MiB (`MOST_AHEAD`), which may have 16 MiB; what is
/// left is for one that stands still, comes damaged, and stands still once more.
const MOST_HELD: usize = 64 << 20;

/// Where the blocks go.
pub(super) type Out = Box<dyn Write + Send>;

impl Disk {
    /// Starts a thread that writes the only file of `manifest` to `out`.
    pub(super) fn pipe(manifest: Arc<Manifest>, out: Out) -> Self {
        let (jobs, orders) = mpsc::channel(BACKLOG);
        let (reports, reported) = mpsc::channel(BATCHES);
        let thread = spawn_blocking(move || {
            let pipe = Pipe {
                manifest,
                out,
                held: Held::default(),
                jobs: orders,
                reports,
            };
            pipe.run();
        });
        Self {
            jobs,
            reports: reported,
            thread,
        }
    }
}

struct Pipe {
    manifest: Arc<Manifest>,
    out: Out,
    held: Held,
    jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Vec<Report>>,
}

impl Pipe {
    fn run(mut self) {
        let last = match self.run_inner() {
            Ok(()) => Report::Committed,
            Err(Stop::Failed(error)) => Report::Failed(error),
            Err(Stop::Unwanted) => return,
        };
        let _ = self.reports.blocking_send(vec![last]);
    }

    fn run_inner(&mut self) -> Result<(), Stop> {
        self.report(vec![Report::Ready {
            resumed: 0,
            changed: Vec::new(),
        }])?;
        let (mut assembler, mut steps) = Assembler::new(&self.manifest);
        loop {
            let mut reports = Vec::new();
            for step in steps.drain(..) {
                reports.extend(self.step(step)?);
            }
            self.report(reports)?;
            match self.jobs.blocking_recv().ok_or(Stop::Unwanted)? {
                Job::Message(lane, message) => assembler.message(lane, message, &mut steps)?,
                Job::LaneEnded(lane) => assembler.lane_ended(lane),
                Job::Ended(size) => assembler.ended(size, &mut steps)?,
                // It was not told that it may.
                Job::Zeros(_) => return Err(TransferError::protocol("zeros unasked").into()),
                Job::Commit => return Ok(()),
                // It said nothing of sharing.
                Job::Changed(_) | Job::Checked | Job::Helped { .. } | Job::Serve { .. } => {}
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<Option<Report>, Stop> {
        Ok(match step {
            Step::Write { position, data, .. } => {
                let block_size = u64::from(self.manifest.block_size().bytes());
                let block = (position / block_size) as u32;
                self.held.add(block, position % block_size == 0, &data)?;
                None
            }
            Step::Verified { id, bytes, .. } => {
                self.held.verified(id.block);
                while let Some(block) = self.held.next() {
                    self.out.write_all(&block).map_err(cannot_write)?;
                }
                Some(Report::Verified { id, bytes })
            }
            Step::Damaged(id) => {
                self.held.damaged(id.block);
                Some(Report::Damaged(BlockId { ..id }))
            }
            Step::File { file, digest } => Some(Report::File { file, digest }),
            Step::Complete(digest) => {
                self.out.flush().map_err(cannot_write)?;
                Some(Report::Complete(digest))
            }
            Step::Zeros { .. } => None,
        })
    }

    fn report(&self, reports: Vec<Report>) -> Result<(), Stop> {
        if reports.is_empty() {
            return Ok(());
        }
        self.reports
            .blocking_send(reports)
            .map_err(|_| Stop::Unwanted)
    }
}

fn cannot_write(error: io::Error) -> TransferError {
    TransferError::io(Path::new("stdout"), error)
}

/// Blocks that cannot go out yet.
#[derive(Debug, Default)]
struct Held {
    /// The block that goes out next.
    next: u32,
    coming: HashMap<u32, Vec<u8>>,
    verified: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
}

impl Held {
    /// Adds to a block, or begins it again, when its lane was lost before it was complete.
    fn add(&mut self, block: u32, begins: bool, data: &[u8]) -> Result<(), TransferError> {
        if begins {
            self.damaged(block);
        }
        self.bytes += data.len();
        if self.bytes > MOST_HELD {
            return Err(TransferError::protocol(
                "its blocks are too far out of order",
            ));
        }
        self.coming
            .entry(block)
            .or_default()
            .extend_from_slice(data);
        Ok(())
    }

    fn damaged(&mut self, block: u32) {
        let gone = self.coming.remove(&block);
        self.bytes -= gone.map_or(0, |gone| gone.len());
    }

    fn verified(&mut self, block: u32) {
        if let Some(data) = self.coming.remove(&block) {
            self.verified.insert(block, data);
        }
    }

    /// Takes out what goes out next, if it is there.
    fn next(&mut self) -> Option<Vec<u8>> {
        let block = self.verified.remove(&self.next)?;
        self.next += 1;
        self.bytes -= block.len();
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_out_in_order_whatever_order_they_come_in() {
        let mut held = Held::default();
        held.add(1, true, b"cd").unwrap();
        held.verified(1);
        assert_eq!(held.next(), None);
        // Its lane is lost, then it is damaged, then it is right.
        held.add(0, true, b"x").unwrap();
        held.add(0, true, b"ax").unwrap();
        held.damaged(0);
        held.add(0, true, b"a").unwrap();
        held.add(0, false, b"b").unwrap();
        assert_eq!(held.next(), None);
        held.verified(0);
        assert_eq!(held.next().as_deref(), Some(&b"ab"[..]));
        assert_eq!(held.next().as_deref(), Some(&b"cd"[..]));
        assert_eq!((held.next(), held.bytes), (None, 0));
    }

    #[test]
    fn what_waits_is_limited() {
        let mut held = Held::default();
        let block = vec![0; 16 << 20];
        for number in 1..=4 {
            held.add(number, true, &block).unwrap();
            held.verified(number);
        }
        let error = held.add(5, true, b"x").unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
    }
}
