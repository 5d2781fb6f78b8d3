//! The receiving side of one transfer, from its offer to its receipt.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::helped::next_of;
use super::lanes::{FromLane, LaneSet, PROMPT};
use super::partial::Leftover;
use super::prepare::start_disk;
use super::reports::{Next, Progress};
use super::state::{Action, ReceiverState};
use super::writer::{Disk, Job};
use super::{Decision, Destination};
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use crate::transfer::Channels;
use crate::transfer::digest::Digest;
use crate::transfer::error::{Fault, TransferError};
use crate::transfer::event::{Event, Events, Summary};
use crate::transfer::label::{Label, TransferId};
use crate::transfer::manifest::Manifest;
use crate::transfer::message::ControlMessage;
use crate::transfer::swarm::helpers::Helpers;
use crate::transfer::swarm::meet::MeetHelper;
use crate::transfer::throttle::Throttle;
use crate::transfer::wire::{LaneEnd, end, next_control, thread_failed, until};

/// Jobs that came by the control channel and wait for the disk thread; it is not read while there are more.
const ORDERS: usize = 16;

/// How long the sender may take to read the receipt, after which it closes its channels: longer than
/// the receipt's first repetition, which SCTP sends after 1 s.
const RECEIPT: Duration = Duration::from_secs(5);

/// Receives one transfer to `to`, and exchanges blocks with those whom `meet` reaches.
pub(super) async fn receive_from(
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
    let mut lanes = LaneSet::new(channels.lane, more.unwrap_or_else(|| mpsc::channel(1).1));
    if matches!(to, Destination::Pipe(..)) {
        lanes.tell_within(PROMPT);
    }
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
        // A thread that says nothing has left everything as it was.
        if let Some(left) = closed.left {
            receiver.leave(left);
        }
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

/// The receiving side of one transfer.
pub(super) struct Receiver {
    pub(super) state: ReceiverState,
    pub(super) to: Destination,
    pub(super) throttle: Throttle,
    /// What the control channel has for the disk thread.
    pub(super) orders: VecDeque<Job>,
    /// Of a stream that has ended.
    pub(super) size: Option<u64>,
    pub(super) id: TransferId,
    /// Bytes that were here before.
    pub(super) resumed: u64,
    /// What stays here if this fails.
    pub(super) left: Option<Leftover>,
    pub(super) control: ChannelSender,
    pub(super) incoming: ChannelReceiver,
    pub(super) lanes: LaneSet,
    /// Whether extra lanes may come.
    pub(super) takes_more: bool,
    pub(super) lane_end: LaneEnd,
    pub(super) events: Events,
    /// Connects to other receivers, until it is known whether there are any.
    pub(super) meet: Option<Arc<dyn MeetHelper>>,
    pub(super) helpers: Option<Helpers>,
    /// Everything is here, and others are still waited for until then.
    pub(super) commit_by: Option<Instant>,
    /// What will have been received when the files are in place, and when it was accepted.
    pub(super) committing: Option<(Summary, Instant)>,
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
    pub(super) async fn decline(&self, reason: String) -> TransferError {
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
    pub(super) async fn before_blocks(&mut self) -> Result<Action, TransferError> {
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
    pub(super) async fn decision(
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

    pub(super) async fn blocks(
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
    pub(super) async fn tell(&self, message: ControlMessage) {
        let _ = self.control.send(Message::Text(message.to_text())).await;
    }

    pub(super) async fn receipt(&self, summary: &Summary) {
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

    pub(super) fn summary(&self) -> Option<Summary> {
        self.committing.map(|(summary, begun)| Summary {
            elapsed: begun.elapsed(),
            ..summary
        })
    }
}

pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

pub(super) fn summary_of(manifest: &Manifest, digest: Digest, resumed: u64) -> Summary {
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

pub(super) async fn blocking<T: Send + 'static>(
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
