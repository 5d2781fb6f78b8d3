//! Moves frames between a [`Mux`] and its channel: two tasks, one for each direction, so that neither waits for
//! the other. Both end with the channel, or when the [`Tunnel`] is closed or dropped.

use super::error::TunnelError;
use super::frame::{Frame, MAX_TARGET, Reset};
use super::mux::{Event, MAX_STREAMS, Mux, Side};
use super::stream::Stream;
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use bytes::Bytes;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
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

/// What the tasks and the handles of streams share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<Inner>,
    /// There may be something to send.
    due: Notify,
    /// The peer may have opened a stream.
    arrived: Notify,
    /// It is over.
    over: Notify,
}

#[derive(Debug)]
struct Inner {
    mux: Mux,
    /// Who waits for which stream.
    bells: HashMap<u32, Entry>,
    end: End,
}

/// How far a tunnel is from its end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    No,
    /// It ends when everything is sent.
    Closing,
    Over(TunnelError),
}

#[derive(Debug)]
struct Entry {
    bells: Arc<Bells>,
    /// For a stream of ours.
    _seat: Option<OwnedSemaphorePermit>,
}

/// Rung when something may have changed. Each has one task that waits for it.
#[derive(Debug, Default)]
pub(super) struct Bells {
    pub(super) reader: Notify,
    pub(super) writer: Notify,
}

impl Bells {
    fn ring(&self) {
        self.reader.notify_one();
        self.writer.notify_one();
    }
}

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
        let inner = Inner {
            mux: Mux::new(side),
            bells: HashMap::new(),
            end: End::No,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(inner),
            due: Notify::new(),
            arrived: Notify::new(),
            over: Notify::new(),
        });
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
        let mut inner = self.shared.lock();
        if let End::Over(error) = &inner.end {
            return Err(error.clone());
        }
        let opened = inner.mux.open(target.to_owned());
        let id = opened.ok_or(TunnelError::Protocol("all numbers of streams are used up"))?;
        let bells = inner.enter(id, Some(seat));
        drop(inner);
        self.shared.due.notify_one();
        Ok(Stream::new(self.shared.clone(), id, bells))
    }

    /// The next stream that the peer opens. To be called by one task at a time; cancelled, it has lost nothing.
    ///
    /// # Errors
    /// The tunnel has ended.
    pub async fn accept(&self) -> Result<Arrival, TunnelError> {
        loop {
            if let Some(arrival) = self.shared.arrival()? {
                return Ok(arrival);
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the stream `id`, and tells who has to know.
    pub(super) fn with<T>(&self, id: u32, act: impl FnOnce(&mut Mux) -> T) -> T {
        let mut inner = self.lock();
        let result = act(&mut inner.mux);
        inner.forget(id);
        drop(inner);
        self.due.notify_one();
        result
    }

    /// Whether it is worth while to wait for the peer. What it has said before is good all the same: it may have
    /// closed the tunnel behind its last word.
    pub(super) fn check(&self) -> Result<(), TunnelError> {
        match &self.lock().end {
            End::Over(error) => Err(error.clone()),
            End::No | End::Closing => Ok(()),
        }
    }

    fn arrival(self: &Arc<Self>) -> Result<Option<Arrival>, TunnelError> {
        let mut inner = self.lock();
        if let End::Over(error) = &inner.end {
            return Err(error.clone());
        }
        let Some((id, target)) = inner.mux.arrival() else {
            return Ok(None);
        };
        let bells = inner.enter(id, None);
        drop(inner);
        let stream = Stream::new(self.clone(), id, bells);
        Ok(Some(Arrival { target, stream }))
    }

    /// Takes in a frame, and rings for whoever it is about.
    fn handle(&self, frame: Frame) -> Result<(), TunnelError> {
        let mut inner = self.lock();
        let event = inner.mux.handle(frame).map_err(TunnelError::Protocol)?;
        match event {
            Event::Arrived => self.arrived.notify_one(),
            Event::Changed(id) => inner.ring(id),
        }
        drop(inner);
        self.due.notify_one();
        Ok(())
    }

    fn next(&self) -> Next {
        let mut inner = self.lock();
        if let End::Over(_) = inner.end {
            return Next::Nothing;
        }
        match inner.mux.transmit() {
            Some((id, message)) => {
                // There may be room for more.
                inner.ring(id);
                Next::Message(message)
            }
            None if inner.end == End::Closing => Next::Nothing,
            None => Next::Later,
        }
    }

    fn close(&self) {
        let mut inner = self.lock();
        if inner.end == End::No {
            inner.end = End::Closing;
        }
        drop(inner);
        self.due.notify_one();
    }

    /// Nothing more goes through. The first reason counts.
    fn finish(&self, error: TunnelError) {
        let mut inner = self.lock();
        if let End::Over(_) = inner.end {
            return;
        }
        inner.end = End::Over(error);
        inner.bells.values().for_each(|entry| entry.bells.ring());
        drop(inner);
        self.due.notify_one();
        self.arrived.notify_one();
        self.over.notify_waiters();
    }

    async fn over(&self) -> TunnelError {
        loop {
            let mut rung = pin!(self.over.notified());
            rung.as_mut().enable();
            if let End::Over(error) = &self.lock().end {
                return error.clone();
            }
            rung.await;
        }
    }
}

/// What is to be sent now.
enum Next {
    Message(Bytes),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    Nothing,
}

impl Inner {
    fn enter(&mut self, id: u32, seat: Option<OwnedSemaphorePermit>) -> Arc<Bells> {
        let bells = Arc::<Bells>::default();
        let entry = Entry {
            bells: bells.clone(),
            _seat: seat,
        };
        self.bells.insert(id, entry);
        bells
    }

    fn ring(&mut self, id: u32) {
        if let Some(entry) = self.bells.get(&id) {
            entry.bells.ring();
        }
        self.forget(id);
    }

    /// Gives the place of a stream back that is over on both sides.
    fn forget(&mut self, id: u32) {
        if !self.mux.knows(id) {
            self.bells.remove(&id);
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.finish(TunnelError::Closed);
    }
}

async fn receive(shared: Arc<Shared>, mut receiver: ChannelReceiver) {
    let error = loop {
        let frame = match receiver.recv().await {
            Some(Message::Binary(message)) => Frame::read(message),
            Some(Message::Text(_)) => None,
            None => break TunnelError::Closed,
        };
        let Some(frame) = frame else {
            break TunnelError::Protocol("its message makes no sense");
        };
        if let Err(error) = shared.handle(frame) {
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
            Next::Later => shared.due.notified().await,
            Next::Nothing => break,
        }
    }
    shared.finish(TunnelError::Closed);
}
