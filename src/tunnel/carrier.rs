//! Moves frames between a [`Mux`] and its channel: two tasks, one for each direction, so that neither waits for
//! the other. Both end with the channel, or when the [`Tunnel`] is closed or dropped.

use super::error::TunnelError;
use super::frame::{MAX_TARGET, Reset};
use super::mux::{MAX_STREAMS, Side};
use super::shared::{Next, Shared};
use super::stream::Stream;
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How long a tunnel that is closed goes on sending what it still has to say: resets, and the last frames of
/// streams that are complete here.
const CLOSING: Duration = Duration::from_secs(5);

/// Streams in both directions over one channel.
#[derive(Debug)]
pub struct Tunnel {
    shared: Arc<Shared>,
    seats: Arc<Semaphore>,
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
    /// Speaks the protocol of tunnels over a reliable channel of [`PROTOCOL`](super::PROTOCOL).
    pub fn start(channel: Channel, side: Side) -> Self {
        let (sender, receiver) = channel.split();
        let shared = Arc::new(Shared::new(side));
        let reading = tokio::spawn(receive(shared.clone(), receiver));
        let writing = tokio::spawn(send(shared.clone(), sender));
        Self {
            shared,
            seats: Arc::new(Semaphore::new(MAX_STREAMS)),
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

async fn receive(shared: Arc<Shared>, mut receiver: ChannelReceiver) {
    let error = loop {
        let handled = match receiver.recv().await {
            Some(Message::Binary(message)) => shared.handle(message),
            Some(Message::Text(_)) => Err(TunnelError::Protocol("its message is text")),
            None => break TunnelError::Closed,
        };
        if let Err(error) = handled {
            break error;
        }
    };
    shared.finish(error);
}

async fn send(shared: Arc<Shared>, sender: ChannelSender) {
    loop {
        match shared.next() {
            Next::Message(message) => {
                if sender.send(Message::Binary(message)).await.is_err() {
                    break;
                }
            }
            Next::Later => {
                shared.due.notified().await;
                // Whoever else is ready goes first: what they have to say goes in the same message.
                yield_now().await;
            }
            Next::Nothing => break,
        }
    }
    shared.finish(TunnelError::Closed);
}
