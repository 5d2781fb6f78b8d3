//! Receiving: the manifest, the user's decision, the blocks, and the move into place.

mod area;
mod assembler;
mod disk;
#[cfg(feature = "fuzzing")]
pub(in crate::transfer) mod fuzzing;
mod helped;
mod journal;
mod lanes;
mod partial;
mod pipe;
mod prepare;
mod receiving;
mod reports;
mod resume;
mod staging;
mod state;
mod syncer;
mod target;
mod writer;

use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Channels;
use super::error::TransferError;
use super::event::{Event, Summary};
use super::lanes::{IN_ORDER, MAX_LANES};
use super::manifest::Manifest;
use super::message::ControlMessage;
use super::swarm::meet::MeetHelper;
use super::throttle::allows_lanes;
use crate::channel::Channel;
use receiving::{Receiver, blocking, receive_from};

pub use partial::{DiscardError, Leftover, Partial, PartialState, discard, partials};

/// Bytes of lane messages that the sender may have on their way to the disk thread: 40 MiB a second at
/// 100 ms. The engine and our queues hold this much without closing SCTP's window, which all channels
/// share.
const WINDOW: u64 = 4 << 20;

/// What is taken slowly should not wait in queues: with a limit, the window is what goes through in a second,
/// and at least this.
const LEAST_WINDOW: u64 = 512 << 10;

/// Where to receive to, and what to do there.
#[derive(Debug, Clone)]
pub struct ReceiveOptions {
    /// An existing directory.
    pub out: PathBuf,
    /// Replace existing files, and merge into existing directories.
    pub overwrite: bool,
    /// How much, and how fast.
    pub limits: Limits,
}

/// What a receiver takes at most; by default, there is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Bytes a second, of all lanes together.
    pub rate: Option<NonZeroU64>,
    /// Bytes of a file whose size is not known before its end ([`Manifest::is_stream`]); when there are more,
    /// the transfer ends with [`TransferError::TooLarge`]. Other sizes are the user's to decide about.
    pub stream: Option<u64>,
}

/// What the user says to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Receive it.
    Accept,
    /// Do not, for a reason that the sender is shown.
    Decline(String),
}

/// Receives one transfer below `options.out`, if `decide` accepts the offer. Nothing is created
/// before that, and before the whole manifest has been found valid, free of collisions with
/// existing files, and no larger than the free space. Nothing is in place before everything is
/// verified and synced; on any failure nothing new is, except that a failing disk can interrupt the
/// merge into existing directories between two files.
///
/// What was verified by then stays below `options.out/.peerline`, also when this process is killed, and
/// [`Event::Kept`] says so; the next transfer of the same files into the same directory goes on from
/// there ([`partials`], [`discard`]).
///
/// Cancelled, it tells the sender; it cannot be stopped any more once files are being moved into place. When the connection is lost then, the files are in place and
/// this returns `Ok`, though the sender could not be told. It watches no clock: when the other side
/// falls silent, the owner of the channels closes them, and this ends with
/// [`TransferError::Closed`].
pub async fn receive(
    channels: Channels,
    options: ReceiveOptions,
    decide: impl AsyncFnOnce(&Manifest) -> Decision,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let to = Destination::Directory(options);
    receive_from(channels, None, (to, None), decide, events, cancel).await
}

/// As [`receive`], and takes blocks from every lane of the transfer that comes through `more`.
pub async fn receive_over(
    channels: Channels,
    more: mpsc::Receiver<Channel>,
    options: ReceiveOptions,
    decide: impl AsyncFnOnce(&Manifest) -> Decision,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let to = (Destination::Directory(options), None);
    receive_from(channels, Some(more), to, decide, events, cancel).await
}

/// As [`receive_over`], and exchanges blocks with other receivers of the same, if the sender has any who do:
/// `meet` connects to those whom the sender introduces. They learn the addresses of this side, and of the
/// transfer what the sender gives everybody. Every block is what the sender says it is, whoever gave it.
pub async fn receive_among(
    channels: Channels,
    more: mpsc::Receiver<Channel>,
    meet: Arc<dyn MeetHelper>,
    options: ReceiveOptions,
    decide: impl AsyncFnOnce(&Manifest) -> Decision,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let to = (Destination::Directory(options), Some(meet));
    receive_from(channels, Some(more), to, decide, events, cancel).await
}

/// As [`receive_over`], for a single file, which is written to `out`: block by block as they are verified, in
/// order. An offer of anything else is declined, and `decide` is not asked.
///
/// Nothing of it is kept when it fails, and it cannot be resumed. That all of `out` is right is known only when
/// this returns `Ok`; that every block so far is what the sender read, always. A write that blocks cannot be
/// called off: its thread is left behind when the transfer ends first.
pub async fn receive_into(
    channels: Channels,
    more: mpsc::Receiver<Channel>,
    out: Box<dyn Write + Send>,
    limits: Limits,
    decide: impl AsyncFnOnce(&Manifest) -> Decision,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let to = (Destination::Pipe(Mutex::new(Some(out)), limits), None);
    receive_from(channels, Some(more), to, decide, events, cancel).await
}

/// Where what is received goes.
enum Destination {
    Directory(ReceiveOptions),
    /// Taken when there is an offer. The lock is for the compiler: what is not shared need not be `Sync`.
    Pipe(Mutex<Option<pipe::Out>>, Limits),
}

impl Destination {
    fn limits(&self) -> Limits {
        match self {
            Self::Directory(options) => options.limits,
            Self::Pipe(_, limits) => *limits,
        }
    }

    /// What an `accept` says.
    fn terms(&self, takes_more: bool, share: bool) -> ControlMessage {
        let rate = self.limits().rate;
        let window = rate.map_or(WINDOW, |rate| rate.get().clamp(LEAST_WINDOW, WINDOW));
        let (lanes, zeros) = match self {
            Self::Directory(_) => (MAX_LANES, true),
            Self::Pipe(..) => (IN_ORDER, false),
        };
        ControlMessage::Accept {
            window: Some(window),
            lanes: (takes_more && allows_lanes(rate)).then_some(lanes),
            zeros,
            share,
        }
    }
}
