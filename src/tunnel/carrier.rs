//! Moves messages between a multiplexer and its channel and lanes: two tasks, one for each direction, so that neither
//! waits for the other. Both end with the channel, or when the [`Tunnel`] is closed or dropped.

use super::error::TunnelError;
use super::frame::{MAX_TARGET, Reset};
use super::lane::{Change, Ours, Road};
use super::mux::{MAX_STREAMS, Side};
use super::shared::{Next, Shared};
use super::stream::Stream;
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use crate::session::OpenLane;
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long a tunnel that is closed goes on sending what it still has to say: resets, and the last frames of
/// streams that are complete here.
const CLOSING: Duration = Duration::from_secs(5);

/// How often it is looked whether our lane is of use: one through which nothing went since then is left. While it is there, it
/// is proved ten times a second that its packets get through.
const IDLE: Duration = Duration::from_secs(30);

/// Lanes of the peer that arrived and were not looked at. It opens one at a time.
const ARRIVED: usize = 2;

/// Streams in both directions over one channel.
#[derive(Debug)]
pub struct Tunnel {
    shared: Arc<Shared>,
    seats: Arc<Semaphore>,
    lanes: mpsc::Sender<Channel>,
    _reading: AbortOnDropHandle<()>,
    _writing: AbortOnDropHandle<()>,
}

/// The right to open one more stream.
#[derive(Debug)]
pub(super) struct Seat(OwnedSemaphorePermit);

/// A stream that the peer has opened. Dropped, it is reset.
#[derive(Debug)]
pub struct Arrival {
    target: String,
    stream: Stream,
}

impl Arrival {
    /// What it is to reach. It comes from the peer: clean it before showing it.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Takes it.
    pub fn accept(self) -> Stream {
        self.stream.accept();
        self.stream
    }

    /// Says why it is not taken.
    pub fn refuse(self, reset: Reset) {
        self.stream.reset(reset);
    }
}

impl Tunnel {
    /// Speaks the protocol of tunnels over a reliable channel of [`PROTOCOL`](super::PROTOCOL). Who sends much opens
    /// lanes for it with `opener`, if there is one.
    pub fn start(channel: Channel, side: Side, opener: Option<Arc<dyn OpenLane>>) -> Self {
        let (sender, receiver) = channel.split();
        let shared = Arc::new(Shared::new(side));
        let (lanes, arrived) = mpsc::channel(ARRIVED);
        let reading = tokio::spawn(receive(shared.clone(), receiver, arrived));
        let writing = tokio::spawn(send(shared.clone(), sender, Ours::new(opener)));
        Self {
            shared,
            seats: Arc::new(Semaphore::new(MAX_STREAMS)),
            lanes,
            _reading: AbortOnDropHandle::new(reading),
            _writing: AbortOnDropHandle::new(writing),
        }
    }

    /// Opens a stream to the thing that the peer calls `target`, at most 64 bytes. It may be written to at once,
    /// before the peer has accepted it. Waits while [`MAX_STREAMS`] are open.
    ///
    /// # Errors
    /// The tunnel has ended.
    ///
    /// # Panics
    /// `target` has more than 64 bytes.
    pub async fn open(&self, target: &str) -> Result<Stream, TunnelError> {
        self.open_in(self.seat().await?, target)
    }

    /// Waits until one more stream may be open.
    pub(super) async fn seat(&self) -> Result<Seat, TunnelError> {
        tokio::select! {
            seat = self.seats.clone().acquire_owned() => {
                seat.map(Seat).map_err(|_| TunnelError::Closed)
            }
            error = self.ended() => Err(error),
        }
    }

    /// As [`open`](Self::open), without waiting.
    pub(super) fn open_in(&self, Seat(seat): Seat, target: &str) -> Result<Stream, TunnelError> {
        assert!(target.len() <= MAX_TARGET, "a target of more than 64 bytes");
        let (id, bells) = self.shared.open(seat, target)?;
        Ok(Stream::new(self.shared.clone(), id, bells))
    }

    /// The next stream that the peer opens. To be called by one task at a time; cancelled, it has lost nothing.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn accept(&self) -> Result<Arrival, TunnelError> {
        loop {
            if let Some((id, target, bells)) = self.shared.arrival()? {
                let stream = Stream::new(self.shared.clone(), id, bells);
                return Ok(Arrival { target, stream });
            }
            self.shared.arrived.notified().await;
        }
    }

    /// Takes a channel that the peer opened with the protocol [`LANE_PROTOCOL`](super::LANE_PROTOCOL).
    pub fn take_lane(&self, lane: Channel) {
        // overflow: closed, so that the peer goes on without it.
        let _ = self.lanes.try_send(lane);
    }

    /// Waits until nothing more can go through, and says why.
    pub async fn ended(&self) -> TunnelError {
        self.shared.over().await
    }

    /// Sends what is still to be said, for up to 5 s, and closes the channel.
    pub async fn close(&self) {
        self.shared.close();
        let _ = timeout(CLOSING, self.ended()).await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.finish(TunnelError::Closed);
    }
}

/// Reads the channel and the peer's lane until the channel, or the tunnel, ends.
async fn receive(
    shared: Arc<Shared>,
    mut receiver: ChannelReceiver,
    mut arriving: mpsc::Receiver<Channel>,
) {
    // The lane that is in use, and the newest one that is not.
    let (mut lane, mut arrived): (Option<Channel>, Option<(u32, Channel)>) = (None, None);
    let mut used = None;
    let error = loop {
        let handled = tokio::select! {
            message = receiver.recv() => match message {
                Some(Message::Binary(message)) => shared.on_channel(message).map(|now| {
                    if std::mem::replace(&mut used, now) != now {
                        // One that is not there any more is as good as ended.
                        let is_meant = |(number, _): &mut (u32, Channel)| now == Some(*number);
                        lane = arrived.take_if(is_meant).map(|(_, lane)| lane);
                    }
                }),
                Some(Message::Text(_)) => Err(TEXT),
                None => break TunnelError::Closed,
            },
            message = from_lane(&mut lane) => match message {
                Some(Message::Binary(message)) => shared.on_lane(message),
                Some(Message::Text(_)) => Err(TEXT),
                // The peer says on the channel from where it goes on.
                None => {
                    lane = None;
                    Ok(())
                }
            },
            Some(opened) = arriving.recv() => {
                if let Ok(number) = opened.label().parse()
                    && shared.lane_arrived(number)
                {
                    arrived = Some((number, opened));
                }
                Ok(())
            }
        };
        if let Err(error) = handled {
            break error;
        }
    };
    shared.finish(error);
}

const TEXT: TunnelError = TunnelError::Protocol("its message is text");

async fn from_lane(lane: &mut Option<Channel>) -> Option<Message> {
    match lane {
        Some(lane) => lane.recv().await,
        None => std::future::pending().await,
    }
}

/// Sends what there is to be sent, through the channel or our lane.
async fn send(shared: Arc<Shared>, sender: ChannelSender, mut lane: Ours) {
    let mut looks = interval(IDLE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut used = false;
    loop {
        match shared.next() {
            Next::Message(Road::Channel, message) => {
                if sender.send(Message::Binary(message)).await.is_err() {
                    break;
                }
            }
            Next::Message(Road::Lane, message) => {
                used = true;
                let sent = tokio::select! {
                    biased;
                    sent = lane.send(message) => sent,
                    // It is kept, and goes through the channel then.
                    () = shared.ending() => true,
                };
                if !sent {
                    shared.lane_lost();
                }
            }
            Next::Open(number) => lane.open(number),
            Next::Leave => lane.leave(),
            Next::Later => {
                tokio::select! {
                    () = shared.due.notified() => {}
                    change = lane.changed() => note(&shared, change),
                    _ = looks.tick() => {
                        if !std::mem::take(&mut used) && lane.is_open() {
                            lane.leave();
                            shared.lane_lost();
                        }
                    }
                }
                // Whoever else is ready goes first: what they have to say goes in the same message.
                yield_now().await;
            }
            Next::Nothing => break,
        }
        if let Some(change) = lane.changed().now_or_never() {
            note(&shared, change);
        }
    }
    shared.finish(TunnelError::Closed);
}

fn note(shared: &Shared, change: Change) {
    match change {
        Change::Opened => shared.lane_opened(),
        Change::Lost => shared.lane_lost(),
    }
}
