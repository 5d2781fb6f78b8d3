//! Receiving: the manifest, the user's decision, the blocks, and the move into place.

mod area;
mod assembler;
mod disk;
mod helped;
mod journal;
mod lanes;
mod partial;
mod pipe;
mod prepare;
mod reports;
mod resume;
mod staging;
mod state;
mod syncer;
mod target;
mod writer;

use std::collections::VecDeque;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Channels;
use super::digest::Digest;
use super::error::{Fault, TransferError};
use super::event::{Event, Events, Summary};
use super::label::{Label, TransferId};
use super::lanes::MAX_LANES;
use super::manifest::Manifest;
use super::message::ControlMessage;
use super::swarm::helpers::Helpers;
use super::swarm::meet::MeetHelper;
use super::throttle::{Throttle, allows_lanes};
use super::wire::{LaneEnd, end, next_control, thread_failed, until};
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use helped::next_of;
use lanes::{FromLane, LaneSet};
use prepare::start_disk;
use reports::{Next, Progress};
use state::{Action, ReceiverState};
use writer::{Disk, Job};

pub use partial::{DiscardError, Leftover, Partial, PartialState, discard, partials};

/// Bytes of lane messages that the sender may have on their way to the disk thread: 40 MiB a second at
/// 100 ms. The engine and our queues hold this much without closing SCTP's window, which all channels
/// share.
const WINDOW: u64 = 4 << 20;

/// What is taken slowly should not wait in queues: with a limit, the window is what goes through in a second,
/// and at least this.
const LEAST_WINDOW: u64 = 512 << 10;

/// Jobs that came by the control channel and wait for the disk thread; it is not read while there are more.
const ORDERS: usize = 16;

/// How long the sender may take to read the receipt, after which it closes its channels: longer than
/// the receipt's first repetition, which SCTP sends after 1 s.
const RECEIPT: Duration = Duration::from_secs(5);

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
            Self::Pipe(..) => (pipe::LANES, false),
        };
        ControlMessage::Accept {
            window: Some(window),
            lanes: (takes_more && allows_lanes(rate)).then_some(lanes),
            zeros,
            share,
        }
    }
}

async fn receive_from(
    channels: Channels,
    more: Option<mpsc::Receiver<Channel>>,
    (to, meet): (Destination, Option<Arc<dyn MeetHelper>>),
    decide: impl AsyncFnOnce(&Manifest) -> Decision,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let label = Label::parse(channels.control.label());
    let (control, incoming) = channels.control.split();
    let takes_more = more.is_some();
    let lanes = LaneSet::new(channels.lane, more.unwrap_or_else(|| mpsc::channel(1).1));
    let Some(Label::Control(id)) = label else {
        return end(
            &control,
            Err(TransferError::protocol("a strange channel label")),
        )
        .await;
    };
    let mut receiver = Receiver {
        state: ReceiverState::new(),
        throttle: Throttle::new(Instant::now(), to.limits().rate),
        to,
        orders: VecDeque::new(),
        size: None,
        id,
        resumed: 0,
        left: None,
        control: control.clone(),
        incoming,
        lanes,
        takes_more,
        lane_end: LaneEnd::default(),
        events: Events(events),
        meet,
        helpers: None,
        commit_by: None,
        committing: None,
    };
    let mut disk = None;
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(TransferError::Cancelled),
        result = receiver.run(decide, &mut disk) => result,
    };
    if let Some(disk) = disk {
        let closed = disk.close().await;
        if let (Err(_), true, Some(summary)) = (&result, closed.committed, receiver.summary()) {
            receiver.receipt(&summary).await;
            return Ok(summary);
        }
        receiver.leave(closed.left);
    }
    if let (Err(_), Some(left)) = (&result, receiver.left.take()) {
        receiver.events.emit(Event::Kept(left)).await;
    }
    if result.is_ok() {
        // Closing our side first could overtake the receipt.
        let _ = timeout(RECEIPT, receiver.sender_closed()).await;
    }
    end(&control, result).await
}

struct Receiver {
    state: ReceiverState,
    to: Destination,
    throttle: Throttle,
    /// What the control channel has for the disk thread.
    orders: VecDeque<Job>,
    /// Of a stream that has ended.
    size: Option<u64>,
    id: TransferId,
    /// Bytes that were here before.
    resumed: u64,
    /// What stays here if this fails.
    left: Option<Leftover>,
    control: ChannelSender,
    incoming: ChannelReceiver,
    lanes: LaneSet,
    /// Whether extra lanes may come.
    takes_more: bool,
    lane_end: LaneEnd,
    events: Events,
    /// Connects to other receivers, until it is known whether there are any.
    meet: Option<Arc<dyn MeetHelper>>,
    helpers: Option<Helpers>,
    /// Everything is here, and others are still waited for until then.
    commit_by: Option<Instant>,
    /// What will have been received when the files are in place, and when it was accepted.
    committing: Option<(Summary, Instant)>,
}

impl Receiver {
    async fn run(
        &mut self,
        decide: impl AsyncFnOnce(&Manifest) -> Decision,
        disk: &mut Option<Disk>,
    ) -> Result<Summary, TransferError> {
        let manifest = loop {
            if let Action::Decide(manifest) = self.before_blocks().await? {
                break manifest;
            }
        };
        let opened = self.open(&manifest).await?;
        self.events.emit(Event::Offered(manifest.clone())).await;
        if let Decision::Decline(reason) = self.decision(decide(&manifest)).await? {
            return Err(self.decline(reason).await);
        }
        self.look_for_helpers(&manifest);
        let shares = self.helpers.is_some();
        let disk = disk.insert(start_disk(&manifest, opened, shares));
        self.prepare(&manifest, disk).await?;

        self.state.accept();
        self.tell(self.to.terms(self.takes_more, shares)).await;
        self.events.emit(Event::Accepted).await;
        self.blocks(&manifest, disk).await
    }

    /// Tells the sender that there will be nothing.
    async fn decline(&self, reason: String) -> TransferError {
        self.tell(ControlMessage::Decline {
            reason: reason.clone(),
        })
        .await;
        TransferError::Declined {
            by: Fault::Us,
            reason,
        }
    }

    /// The next action while the lane must be silent.
    async fn before_blocks(&mut self) -> Result<Action, TransferError> {
        loop {
            tokio::select! {
                biased;
                message = next_control(&mut self.incoming) => return self.state.control(message?),
                message = self.lanes.next(&self.id), if self.lane_end.is_open() => match message? {
                    FromLane::Message(..) => {
                        return Err(TransferError::protocol("data before it was accepted"));
                    }
                    FromLane::Ended(_) => self.lane_end.ended(),
                },
                () = self.lane_end.grace_over() => return Err(TransferError::Closed),
            }
        }
    }

    /// The user's decision, unless the sender ends the transfer first.
    async fn decision(
        &mut self,
        decision: impl Future<Output = Decision>,
    ) -> Result<Decision, TransferError> {
        tokio::pin!(decision);
        loop {
            tokio::select! {
                biased;
                decision = &mut decision => return Ok(decision),
                action = self.before_blocks() => drop(action?),
            }
        }
    }

    async fn blocks(
        &mut self,
        manifest: &Manifest,
        disk: &mut Disk,
    ) -> Result<Summary, TransferError> {
        let begun = Instant::now();
        let mut progress = Progress {
            bytes: self.resumed,
            files: 0,
            told: begun,
        };
        let mut control_open = true;
        let mut job = None;
        loop {
            let mut action = Action::Nothing;
            match self.lanes.is_open() {
                true => self.lane_end.reopened(),
                false => self.lane_end.ended(),
            }
            let now = Instant::now();
            while let Some(credit) = self.lanes.overdue(now) {
                self.tell(credit).await;
            }
            self.tell_got().await;
            self.commit_if_due(now);
            if job.is_none() {
                job = self.orders.pop_front();
            }
            let pause = self.throttle.wait(now);
            let reads = control_open && self.orders.len() < ORDERS;
            let wants = job.is_none() && pause.is_none() && !self.state.has_everything();
            let helpers_due = self.helpers.as_ref().and_then(Helpers::deadline);
            let deadline = earliest(pause, self.lanes.credit_due());
            let deadline = earliest(earliest(deadline, helpers_due), self.commit_by);
            let room = self.orders.len() < ORDERS && pause.is_none();
            tokio::select! {
                biased;
                message = next_control(&mut self.incoming), if reads => match message {
                    // Too late to undo anything.
                    Err(TransferError::Closed) if self.state.has_everything() => control_open = false,
                    message => action = self.state.control(message?)?,
                },
                batch = disk.reports.recv() => match batch {
                    None => return Err(thread_failed(&mut disk.thread).await),
                    Some(batch) => for report in batch {
                        match self.report(report, manifest, &mut progress).await? {
                            Next::Go(Action::Nothing) => {}
                            Next::Go(next) => action = next,
                            Next::Done(summary) => return Ok(summary),
                        }
                    },
                },
                permit = disk.jobs.reserve(), if job.is_some() => {
                    // An error means that the thread has ended: its report says why.
                    if let (Ok(permit), Some(job)) = (permit, job.take()) {
                        let told = match &job {
                            Job::Message(lane, _) => self.lanes.credit(*lane),
                            Job::LaneEnded(lane) => Some(self.lanes.account(*lane)),
                            _ => None,
                        };
                        permit.send(job);
                        if let Some(told) = told {
                            self.tell(told).await;
                        }
                    }
                }
                // Before the lanes, which always have something: others wait for answers.
                happening = next_of(self.helpers.as_mut()), if room => self.happened(happening).await,
                message = self.lanes.next(&self.id), if wants => {
                    job = Some(match message? {
                        FromLane::Message(lane, bytes) => {
                            self.throttle.spend(Instant::now(), bytes.len());
                            Job::Message(lane, bytes)
                        }
                        FromLane::Ended(lane) => Job::LaneEnded(lane),
                    });
                }
                () = until(deadline) => {}
                () = self.lane_end.grace_over(), if !self.state.has_everything() => {
                    return Err(TransferError::Closed);
                }
            }
            match action {
                Action::LaneLost(lane) => self.lanes.lost(lane),
                Action::Zeros(ranges) => self.orders.push_back(Job::Zeros(ranges)),
                Action::Ended(size) => {
                    self.size = Some(size);
                    self.orders.push_back(Job::Ended(size));
                }
                Action::Digests(runs) => self.with_helpers(|helpers| helpers.digests(&runs))?,
                Action::Introduced { helper, code, side } => {
                    self.with_helpers(|helpers| helpers.introduced(helper, &code, side))?;
                }
                Action::Relayed { helper, data } => self.with_helpers(|helpers| {
                    helpers.relayed(helper, data);
                    Ok(())
                })?,
                Action::Commit(digest) => {
                    if self.helpers.is_some() {
                        self.commit_soon(Instant::now());
                    } else if let Some(Job::Message(..)) = job.replace(Job::Commit) {
                        return Err(TransferError::protocol("data after the last block"));
                    }
                    let summary = Summary {
                        lanes: self.lanes.used,
                        packet: self.lanes.packet,
                        helped: self.helpers.as_ref().map_or(0, |helpers| helpers.bytes),
                        ..summary_of(manifest, digest, self.resumed)
                    };
                    let summary = Summary {
                        bytes: self.size.unwrap_or(summary.bytes),
                        ..summary
                    };
                    self.committing = Some((summary, begun));
                }
                _ => {}
            }
        }
    }

    /// A channel that takes nothing more also ends for reading, which is where it is noticed.
    async fn tell(&self, message: ControlMessage) {
        let _ = self.control.send(Message::Text(message.to_text())).await;
    }

    async fn receipt(&self, summary: &Summary) {
        let Summary {
            digest,
            bytes,
            files,
            ..
        } = *summary;
        self.tell(ControlMessage::Receipt {
            digest,
            bytes,
            files,
        })
        .await;
    }

    async fn sender_closed(&mut self) {
        while self.incoming.recv().await.is_some() {}
    }

    fn summary(&self) -> Option<Summary> {
        self.committing.map(|(summary, begun)| Summary {
            elapsed: begun.elapsed(),
            ..summary
        })
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

fn summary_of(manifest: &Manifest, digest: Digest, resumed: u64) -> Summary {
    Summary {
        bytes: manifest.bytes(),
        resumed,
        helped: 0,
        files: manifest.files(),
        directories: manifest.directories(),
        digest,
        elapsed: Duration::ZERO,
        lanes: 1,
        packet: None,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(TransferError::io(
            Path::new("disk"),
            std::io::Error::other(error),
        )),
    }
}
