//! Makes blocks durable and writes down that they are, on a thread of its own: writing goes on
//! meanwhile.
//!
//! A group of blocks is synced first and written down then, so the journal never says more than is
//! on disk. At most [`MOST_UNSYNCED`] is not written down: with a window of 4 MiB on its way and
//! 2 MiB in the queue to the disk, what a crash costs stays under 16 MiB and a block.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk;
use super::journal::Encoder;
use crate::transfer::digest::Digest;
use crate::transfer::sender::BlockId;

/// A group is synced when it is this large and the one before is done.
const GROUP: u64 = 5 << 20;

/// And when it is this old: on a slow line, 5 MiB are a minute's work.
const INTERVAL: Duration = Duration::from_secs(1);

/// Or when so many blocks are in it: those that are zeros cost nothing but their place in the journal.
const GROUP_BLOCKS: usize = 4096;

/// Verified and not written down, the group that is being synced included; more has to wait.
const MOST_UNSYNCED: u64 = 10 << 20;

/// What has to be durable before a group is.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) files: Vec<File>,
    pub(super) directories: Vec<File>,
    /// A directory on the file system that is to be synced as a whole.
    pub(super) everything: Option<File>,
}

#[derive(Debug)]
struct Group {
    targets: Targets,
    frame: Vec<u8>,
}

/// The thread, and what it has not been given yet. Dropping it waits for the thread.
#[derive(Debug)]
pub(super) struct Syncer {
    encoder: Encoder,
    pending: Vec<(BlockId, Digest)>,
    /// Bytes of them of which the journal does not speak yet.
    pending_bytes: u64,
    /// Bytes of them that were written.
    pending_written: u64,
    /// The group that the thread has: the bytes that it adds to the journal, and those that were written.
    syncing: Option<(u64, u64)>,
    /// When it was given that.
    given: Instant,
    /// Bytes that the journal speaks of.
    synced: u64,
    /// Blocks among them that will be written again; then they are not counted again.
    again: HashSet<BlockId>,
    /// `None` when it is being dropped.
    groups: Option<SyncSender<Group>>,
    results: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Appends to `journal`, which speaks of `synced` bytes, those of the blocks in `again` included.
    pub(super) fn start(
        journal: File,
        encoder: Encoder,
        (synced, again): (u64, HashSet<BlockId>),
    ) -> io::Result<Self> {
        let (groups, orders) = sync_channel::<Group>(1);
        let (report, results) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let mut journal = journal;
                while let Ok(group) = orders.recv() {
                    let result = sync(&group, &mut journal);
                    if result.is_err() | report.send(result).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            encoder,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_written: 0,
            syncing: None,
            given: Instant::now(),
            synced,
            again,
            groups: Some(groups),
            results,
            thread: Some(thread),
        })
    }

    /// A block is what it should be, and this much of it has been written.
    pub(super) fn verified(&mut self, id: BlockId, digest: Digest, bytes: u32, written: u32) {
        self.pending.push((id, digest));
        if !self.again.remove(&id) {
            self.pending_bytes += u64::from(bytes);
        }
        self.pending_written += u64::from(written);
    }

    /// Whether a group should be given to the thread now. Waits for the thread if too much would
    /// not be written down otherwise.
    pub(super) fn is_due(&mut self, now: Instant) -> io::Result<bool> {
        let many = self.pending.len() >= GROUP_BLOCKS;
        let large = self.pending_written >= GROUP || many;
        let old = now.saturating_duration_since(self.given) >= INTERVAL;
        if self.pending.is_empty() || !(large || old) {
            return Ok(false);
        }
        if let Some((_, written)) = self.syncing {
            if self.pending_written + written >= MOST_UNSYNCED || many {
                self.wait()?;
            } else {
                match self.results.try_recv() {
                    Ok(result) => self.done(result)?,
                    Err(TryRecvError::Empty) => return Ok(false),
                    Err(TryRecvError::Disconnected) => return Err(stopped()),
                }
            }
        }
        Ok(true)
    }

    /// Gives the thread everything that was verified, when it has nothing to do.
    pub(super) fn give(&mut self, targets: Targets, now: Instant) -> io::Result<()> {
        let blocks = std::mem::take(&mut self.pending);
        let frame = self.encoder.blocks(&blocks);
        let written = std::mem::take(&mut self.pending_written);
        self.syncing = Some((std::mem::take(&mut self.pending_bytes), written));
        self.given = now;
        let groups = self.groups.as_ref().expect("taken only when dropped");
        groups.send(Group { targets, frame }).map_err(|_| stopped())
    }

    /// Whether there is anything that the thread was not given.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits until the thread has nothing to do.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        if self.syncing.is_none() {
            return Ok(());
        }
        let result = self.results.recv().unwrap_or_else(|_| Err(stopped()));
        self.done(result)
    }

    /// Bytes that the journal speaks of.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    fn done(&mut self, result: io::Result<()>) -> io::Result<()> {
        let synced = self.syncing.take();
        result?;
        self.synced += synced.map_or(0, |(bytes, _)| bytes);
        Ok(())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.groups = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the transfer by the missing result.
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the journal's thread stopped")
}

fn sync(group: &Group, journal: &mut File) -> io::Result<()> {
    let Targets {
        files,
        directories,
        everything,
    } = &group.targets;
    for file in files {
        file.sync_data()?;
    }
    for directory in directories {
        disk::sync_std_dir(directory)?;
    }
    if let Some(directory) = everything {
        disk::sync_file_system_of(directory)?;
    }
    journal.write_all(&group.frame)?;
    journal.sync_data()
}
