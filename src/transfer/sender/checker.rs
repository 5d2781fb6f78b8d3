//! Compares what a receiver kept of an earlier attempt with the source, on a blocking thread.
//!
//! A block is changed only if it was read and is another one. A file that cannot be read, or is not what
//! it was when it was scanned, ends the transfer: the receiver would give up what it has for nothing.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::state::BlockId;
use crate::transfer::digest::digest_of_range;
use crate::transfer::error::TransferError;
use crate::transfer::holes::{Holes, ZeroDigest};
use crate::transfer::kept::{Kept, Range, Run, extend};
use crate::transfer::source::Source;

/// Messages of runs that wait to be compared; the receiver waits when there are more.
const BACKLOG: usize = 4;

/// Read at once.
const PIECE: usize = 256 << 10;

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Blocks that both sides have.
    pub(super) kept: Kept,
    /// Blocks of which the source holds something else, in order.
    pub(super) changed: Vec<Range>,
}

/// The thread; it ends when all runs are compared, one cannot be, or this is dropped.
#[derive(Debug)]
pub(super) struct Checker {
    runs: mpsc::Sender<Vec<Run>>,
    thread: JoinHandle<Result<Compared, TransferError>>,
    stop: DropGuard,
}

impl Checker {
    pub(super) fn start(source: Arc<Source>) -> Self {
        let (runs, mut orders) = mpsc::channel::<Vec<Run>>(BACKLOG);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = spawn_blocking(move || {
            let mut compared = Compared::default();
            let (mut open, mut zeros) = (None, ZeroDigest::default());
            while let Some(runs) = orders.blocking_recv() {
                for run in runs {
                    compare(&source, &run, (&mut open, &mut zeros), &mut compared)?;
                    if stopped.is_cancelled() {
                        return Ok(compared);
                    }
                }
            }
            Ok(compared)
        });
        Self {
            runs,
            thread,
            stop: stop.drop_guard(),
        }
    }

    /// Adds runs of blocks that exist; waits while many are to be compared. `false` if it has failed, which
    /// [`Checker::finish`] reports.
    pub(super) async fn add(&self, runs: Vec<Run>) -> bool {
        self.runs.send(runs).await.is_ok()
    }

    /// Waits for the result.
    pub(super) async fn finish(self) -> Result<Compared, TransferError> {
        let Self { runs, thread, stop } = self;
        drop(runs);
        let compared = thread.await;
        drop(stop);
        compared.unwrap_or_else(|panic| {
            Err(TransferError::io(
                Path::new("disk"),
                io::Error::other(panic),
            ))
        })
    }
}

/// A file that was what it should be when it was opened, and its number.
type Opened = (u32, File, Holes);

fn compare(
    source: &Source,
    run: &Run,
    (open, zeros): (&mut Option<Opened>, &mut ZeroDigest),
    compared: &mut Compared,
) -> Result<(), TransferError> {
    let failed = |error| TransferError::io(&source.path(run.file), error);
    let changed = || TransferError::SourceChanged {
        path: source.path(run.file),
    };
    let manifest = source.manifest();
    let size = manifest.entries()[run.file as usize].size();
    let (_, file, holes) = match open.take() {
        Some(same) if same.0 == run.file => open.insert(same),
        _ => {
            let opened = source.open(run.file).map_err(failed)?;
            let file = opened.ok_or_else(changed)?;
            let holes = Holes::of(&file);
            open.insert((run.file, file, holes))
        }
    };
    let mut buffer = vec![0; PIECE];
    for (block, digest) in (run.from..).zip(&run.digests.0) {
        let id = BlockId {
            file: run.file,
            block,
        };
        let (start, length) = manifest
            .block(size, block)
            .expect("the state lets only existing blocks through");
        let ours = digest_of_range(file, (holes, zeros), start, length, &mut buffer);
        let ours = ours.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => failed(error),
        })?;
        if ours == *digest {
            compared.kept.insert(id, *digest);
        } else {
            extend(&mut compared.changed, id);
        }
    }
    Ok(())
}
