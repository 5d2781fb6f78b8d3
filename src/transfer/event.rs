//! What a transfer reports while it runs, and when it is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::digest::Digest;
use super::manifest::Manifest;
use super::receiver::Leftover;

/// Something that happened. The queue belongs to the caller: [`Event::Progress`] is dropped while
/// it is full, everything else waits for room, so read the queue or drop its receiver. Results are
/// not events: [`send`](super::send) and [`receive`](super::receive) return them.
#[derive(Debug, Clone)]
pub enum Event {
    /// The manifest has been sent, or has been received and is valid.
    Offered(Arc<Manifest>),
    /// The receiver has something of an earlier attempt that the source still holds.
    Resuming {
        /// Bytes that are not sent again.
        bytes: u64,
        /// All bytes.
        total: u64,
    },
    /// A file is not what it was at the earlier attempt: what differs is sent anew.
    Changed {
        /// Its path in the manifest: clean it with [`display_name`](super::display_name).
        path: String,
    },
    /// The receiver accepted: blocks follow.
    Accepted,
    /// How much the receiver has verified.
    Progress {
        /// Verified bytes, what was there before included.
        bytes: u64,
        /// All bytes.
        total: u64,
        /// Verified files.
        files: u32,
    },
    /// One file was sent or, on the receiving side, was verified; it is in place when the transfer
    /// is done.
    File {
        /// Its path in the manifest: clean it with [`display_name`](super::display_name).
        path: String,
        /// Its length in bytes.
        size: u64,
        /// SHA-256 over the digests of its blocks.
        digest: Digest,
    },
    /// The transfer fails, and this stays on the receiver's disk for another attempt.
    Kept(Leftover),
    /// A block arrived damaged and is sent again.
    Resent {
        /// Path of the file in the manifest.
        path: String,
        /// Number of the block in the file.
        block: u32,
    },
}

/// A transfer that is done: everything is verified, synced and in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of all files.
    pub bytes: u64,
    /// Those of them that an earlier attempt had transferred.
    pub resumed: u64,
    /// Those of them that other receivers gave; a sender does not know.
    pub helped: u64,
    /// Number of files.
    pub files: u32,
    /// Number of directories.
    pub directories: u32,
    /// The digest that both sides computed.
    pub digest: Digest,
    /// From the receiver's consent to its receipt.
    pub elapsed: Duration,
    /// Most lanes that carried blocks at a time.
    pub lanes: u16,
    /// The largest datagrams in which they travelled, in bytes of UDP payload; `None` in memory.
    pub packet: Option<u16>,
}

/// The sending end of the caller's queue.
#[derive(Debug)]
pub(super) struct Events(pub(super) mpsc::Sender<Event>);

impl Events {
    /// Waits for room; a caller that dropped the queue wants no events.
    pub(super) async fn emit(&self, event: Event) {
        let _ = self.0.send(event).await;
    }

    /// Drops the event while the queue is full: the next one says more.
    pub(super) fn progress(&self, bytes: u64, total: u64, files: u32) {
        let _ = self.0.try_send(Event::Progress {
            bytes,
            total,
            files,
        });
    }
}
