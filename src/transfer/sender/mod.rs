//! Sending: the offer, the blocks, and the wait for a receipt.

mod book;
mod checker;
mod flow;
mod lane_set;
mod ordered;
mod reader;
mod resume;
mod scaler;
mod state;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Channels;
use super::error::TransferError;
use super::event::{Event, Events, Summary};
use super::label::{Label, TransferId};
use super::lanes::Lanes;
use super::message::{ControlMessage, Offer, entries_messages};
use super::record::Packer;
use super::source::Source;
use super::swarm::crowd::Seat;
use super::swarm::plan::Changed;
use super::throttle::message_size;
use super::wire::{LaneEnd, end, next_control, thread_failed, until};
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use lane_set::{LaneEvent, LaneSet};
use reader::{AHEAD, Accepted, FileEnd, Output, Reader};
use state::{Action, SenderState};

pub(super) use state::{BlockId, MAX_RESENDS, MAX_RESENDS_IN_ALL};

/// Offers `source`, and sends it when the other side accepts. Returns when the receiver has
/// confirmed by a receipt with our own digest that everything is verified, synced and in place.
///
/// Cancelled, it tells the receiver. It watches no clock: when the other side falls silent, the
/// owner of the channels closes them, and this ends with [`TransferError::Closed`].
pub async fn send(
    channels: Channels,
    source: Source,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    send_over(channels, Lanes::none(), source, events, cancel).await
}

/// As [`send`], with extra lanes for the blocks: connections of their own, of which each may fail alone.
/// What a lost lane did not deliver goes over the others.
pub async fn send_over(
    channels: Channels,
    lanes: Lanes,
    source: Source,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    send_from(channels, lanes, Arc::new(source), None, events, cancel).await
}

/// With a `seat`, as one of several that send the same.
pub(super) async fn send_from(
    channels: Channels,
    lanes: Lanes,
    source: Arc<Source>,
    seat: Option<Seat>,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> Result<Summary, TransferError> {
    let label = Label::parse(channels.control.label());
    let (control, incoming) = channels.control.split();
    let sender = Sender {
        first: Some(channels.lane),
        lanes: Some(lanes),
        id: match label {
            Some(Label::Control(id)) => Some(id),
            _ => None,
        },
        state: SenderState::new(source.manifest().clone(), seat.is_some()),
        source,
        seat,
        control: control.clone(),
        incoming,
        events: Events(events),
    };
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(TransferError::Cancelled),
        result = sender.run() => result,
    };
    end(&control, result).await
}

struct Sender {
    state: SenderState,
    source: Arc<Source>,
    control: ChannelSender,
    incoming: ChannelReceiver,
    /// The first lane and where others come from, until blocks are sent.
    first: Option<Channel>,
    lanes: Option<Lanes>,
    id: Option<TransferId>,
    /// Its place among others.
    seat: Option<Seat>,
    events: Events,
}

impl Sender {
    async fn run(mut self) -> Result<Summary, TransferError> {
        self.offer().await?;
        self.events
            .emit(Event::Offered(self.source.manifest().clone()))
            .await;
        let accepted = self.accepted().await?;
        self.events.emit(Event::Accepted).await;
        self.blocks(accepted).await
    }

    async fn offer(&mut self) -> Result<(), TransferError> {
        let manifest = self.source.manifest().clone();
        let share = self.seat.is_some();
        let plain = manifest.offer();
        let offer = Offer {
            share,
            // Among several everything is sent, holes as zeros.
            data: plain.data.filter(|_| !share),
            ..plain
        };
        self.tell(ControlMessage::Offer(offer).to_text()).await?;
        for message in entries_messages(&manifest) {
            self.tell(message).await?;
        }
        Ok(())
    }

    /// Sends a message before the accept, unless the receiver ends the transfer meanwhile.
    async fn tell(&mut self, text: String) -> Result<(), TransferError> {
        let control = self.control.clone();
        let sending = control.send(Message::Text(text));
        tokio::pin!(sending);
        let mut refused = false;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending, if !refused => match sent {
                    Ok(()) => return Ok(()),
                    // It also ends for reading, with the reason in front.
                    Err(_) => refused = true,
                },
                action = self.control() => match action? {
                    Action::Nothing => {}
                    _ => return Err(TransferError::protocol("it answered half an offer")),
                },
            }
        }
    }

    async fn control(&mut self) -> Result<Action, TransferError> {
        let message = next_control(&mut self.incoming).await?;
        self.state.control(message)
    }

    async fn blocks(mut self, accepted: Accepted) -> Result<Summary, TransferError> {
        let begun = Instant::now();
        let resumed = accepted.kept.bytes(self.source.manifest());
        let allowed = accepted.lanes;
        let (output, mut ready) = mpsc::channel(AHEAD);
        // Large enough for every request that the state lets through.
        let (resends, requests) = mpsc::channel(MAX_RESENDS_IN_ALL * usize::from(MAX_RESENDS));
        let lanes = self.lanes.take().unwrap_or(Lanes::none());
        // Ends when `ready` and `resends` are dropped with this function.
        let packer = Packer::new(message_size(lanes.limit));
        if let Some(seat) = &self.seat {
            seat.accepted(accepted.shares, &accepted.kept)
                .map_err(|Changed| source_changed(&self.source))?;
        }
        let seat = self.seat.as_ref().map(Seat::reader);
        let mut reader = Reader::new(self.source.clone(), accepted, requests, output, packer);
        reader.seat = seat;
        let mut reading = tokio::task::spawn_blocking(move || reader.run());
        let manifest = self.source.manifest().clone();
        let first = self.first.take().ok_or(TransferError::Closed)?;
        let mut lanes = LaneSet::new(
            begun,
            first,
            lanes,
            self.id.clone(),
            allowed,
            // As much as it likes, if nobody knows.
            self.state.total().map_or(u64::MAX, |total| total - resumed),
        );
        let mut lane_end = LaneEnd::default();
        let mut announced = false;
        loop {
            let now = Instant::now();
            if let Some(lane) = lanes.stalled(now) {
                self.lane_lost(&mut lanes, lane).await;
            }
            lanes.adjust(now, self.state.flow.taken());
            match lanes.is_open() {
                true => lane_end.reopened(),
                false => lane_end.ended(),
            }
            let (wants, deadline) = (lanes.book.wants(), lanes.deadline(now));
            tokio::select! {
                biased;
                message = next_control(&mut self.incoming) => match self.state.control(message?)? {
                    Action::Nothing | Action::Start { .. } | Action::Have { .. } => {}
                    Action::Credit { lane, bytes } => {
                        lanes.book.credit(Instant::now(), lane, bytes)?;
                    }
                    Action::LaneEnded { lane, bytes } => {
                        lanes.ended(lane, bytes, &mut self.state.flow)?;
                    }
                    Action::Progress { bytes, files } => {
                        let total = self.state.total().unwrap_or(0);
                        self.events.progress(bytes, total, files);
                    }
                    Action::Resend(id) => {
                        let path = manifest.entries()[id.file as usize].path.as_str().to_owned();
                        self.events.emit(Event::Resent { path, block: id.block }).await;
                        // Refused only by a reader that has failed, which says why itself.
                        let _ = resends.try_send(id);
                        self.among_others(Seat::wake);
                    }
                    Action::Got(blocks) => {
                        if let Some(seat) = &self.seat {
                            seat.got(&blocks)?;
                        }
                    }
                    Action::Link { helper, up } => self.among_others(|seat| seat.link(helper, up)),
                    Action::Relay { helper, data } => {
                        self.among_others(|seat| seat.relay(helper, data));
                    }
                    Action::Done(digest) => return Ok(Summary {
                        bytes: self.state.total().unwrap_or(0),
                        resumed,
                        helped: 0,
                        files: manifest.files(),
                        directories: manifest.directories(),
                        digest,
                        elapsed: begun.elapsed(),
                        lanes: lanes.used,
                        packet: lanes.packet,
                    }),
                },
                event = lanes.next(&mut self.state.flow) => match event {
                    LaneEvent::Sent | LaneEvent::Opened => {}
                    LaneEvent::Spoke => {
                        return Err(TransferError::protocol("it sent data to the sender"));
                    }
                    LaneEvent::Closed(lane) => self.lane_lost(&mut lanes, lane).await,
                },
                output = ready.recv(), if wants => match output {
                    Some(Output::Message { bytes, files, ends }) => {
                        lanes.book.push(bytes, ends);
                        self.files_ended(files).await;
                    }
                    Some(Output::Zeros { blocks }) => {
                        // If the channel is gone, its reading half is about to say so.
                        let text = ControlMessage::Zeros { blocks }.to_text();
                        let _ = self.control.send(Message::Text(text)).await;
                    }
                    Some(Output::Complete { digest, size, files }) => {
                        self.state.complete(digest, size);
                        self.files_ended(files).await;
                        let text = ControlMessage::Complete { digest, size }.to_text();
                        let _ = self.control.send(Message::Text(text)).await;
                    }
                    Some(Output::Failed(error)) => return Err(error),
                    None => return Err(thread_failed(&mut reading).await),
                },
                () = news(self.seat.as_ref()) => {
                    let Some(seat) = &mut self.seat else { continue };
                    let (messages, whole) = seat.take_news();
                    for message in messages {
                        // If the channel is gone, its reading half is about to say so.
                        let _ = self.control.send(Message::Text(message.to_text())).await;
                    }
                    if let Some(digest) = whole.filter(|_| !announced) {
                        announced = true;
                        self.state.complete(digest, None);
                        let text = ControlMessage::Complete { digest, size: None }.to_text();
                        let _ = self.control.send(Message::Text(text)).await;
                    }
                },
                () = until(deadline) => {}
                () = lane_end.grace_over() => return Err(TransferError::Closed),
            }
        }
    }
}

/// What was read before is not what it was.
fn source_changed(source: &Source) -> TransferError {
    TransferError::SourceChanged {
        path: source.path(0),
    }
}

/// Ends when there is something to tell the receiver of the others.
async fn news(seat: Option<&Seat>) {
    match seat {
        Some(seat) => seat.news().await,
        None => std::future::pending().await,
    }
}

impl Sender {
    fn among_others(&self, act: impl FnOnce(&Seat)) {
        if let Some(seat) = &self.seat {
            act(seat);
        }
    }

    /// The receiver says in return what it has taken of the lane, and the rest goes over others.
    async fn lane_lost(&self, lanes: &mut LaneSet, lane: u16) {
        if lanes.lost(Instant::now(), lane) && lanes.is_accountable() {
            tracing::info!(lane, "a lane was lost");
            let text = ControlMessage::LaneLost { lane }.to_text();
            // If the channel is gone, its reading half is about to say so.
            let _ = self.control.send(Message::Text(text)).await;
        }
    }

    async fn files_ended(&self, files: Vec<FileEnd>) {
        for FileEnd {
            index,
            size,
            digest,
        } in files
        {
            let entry = &self.source.manifest().entries()[index as usize];
            let path = entry.path.as_str().to_owned();
            self.events.emit(Event::File { path, size, digest }).await;
        }
    }
}
