//! Compares what a receiver kept of an earlier attempt with the source, on a blocking thread.
//!
//! A file that is not what it was when it was scanned, or cannot be read, holds none of the blocks:
//! whoever sends it next says why.

use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::state::BlockId;
use crate::transfer::digest::digest_of_range;
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
    /// Blocks that the source does not hold, in order.
    pub(super) changed: Vec<Range>,
}

/// The thread; it ends when all runs are compared or this is dropped.
#[derive(Debug)]
pub(super) struct Checker {
    runs: mpsc::Sender<Vec<Run>>,
    thread: JoinHandle<Compared>,
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
                    compare(&source, &run, (&mut open, &mut zeros), &mut compared);
                    if stopped.is_cancelled() {
                        return compared;
                    }
                }
            }
            compared
        });
        Self {
            runs,
            thread,
            stop: stop.drop_guard(),
        }
    }

    /// Adds runs of blocks that exist; waits while many are to be compared.
    pub(super) async fn add(&self, runs: Vec<Run>) {
        // Refused only after a panic, which `finish` reports.
        let _ = self.runs.send(runs).await;
    }

    /// Waits for the result.
    pub(super) async fn finish(self) -> io::Result<Compared> {
        let Self { runs, thread, stop } = self;
        drop(runs);
        let compared = thread.await.map_err(io::Error::other);
        drop(stop);
        compared
    }
}

/// A file that is still what it was, and its number.
type Opened = (u32, Option<(File, Holes)>);

fn compare(
    source: &Source,
    run: &Run,
    (open, zeros): (&mut Option<Opened>, &mut ZeroDigest),
    compared: &mut Compared,
) {
    let manifest = source.manifest();
    let size = manifest.entries()[run.file as usize].size();
    if open.as_ref().is_none_or(|(file, _)| *file != run.file) {
        let file = source.open(run.file).ok().flatten();
        let file = file.map(|file| {
            let holes = Holes::of(&file);
            (file, holes)
        });
        *open = Some((run.file, file));
    }
    let mut file = open.as_mut().and_then(|(_, file)| file.as_mut());
    let mut buffer = vec![0; PIECE];
    for (block, digest) in (run.from..).zip(&run.digests.0) {
        let id = BlockId {
            file: run.file,
            block,
        };
        let (start, length) = manifest
            .block(size, block)
            .expect("the state lets only existing blocks through");
        let ours = file.as_mut().and_then(|(file, holes)| {
            digest_of_range(file, (holes, zeros), start, length, &mut buffer).ok()
        });
        if ours == Some(*digest) {
            compared.kept.insert(id, *digest);
        } else {
            extend(&mut compared.changed, id);
        }
    }
}
