//! What the two tasks of a tunnel and the handles of its streams share: the multiplexer, and who waits for what.

use super::error::TunnelError;
use super::frame::{Body, Word};
use super::half::Violation;
use super::lane::{Coming, Leaving, Road};
use super::message::{frames, pack};
use super::mux::{Event, Mux, Side};
use bytes::Bytes;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// What the tasks and the handles of streams share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<Inner>,
    /// There may be something to send.
    pub(super) due: Notify,
    /// The peer may have opened a stream.
    pub(super) arrived: Notify,
    /// It is over, or to be closed.
    over: Notify,
}

#[derive(Debug)]
struct Inner {
    mux: Mux,
    /// A frame that did not fit into the message before.
    left: Option<Bytes>,
    leaving: Leaving,
    coming: Coming,
    /// Who waits for which stream.
    bells: HashMap<u32, Waiting>,
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
struct Waiting {
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

impl Shared {
    pub(super) fn new(side: Side) -> Self {
        let inner = Inner {
            mux: Mux::new(side),
            left: None,
            leaving: Leaving::new(),
            coming: Coming::new(),
            bells: HashMap::new(),
            end: End::No,
        };
        Self {
            state: Mutex::new(inner),
            due: Notify::new(),
            arrived: Notify::new(),
            over: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the stream `id`, and tells who has to know.
    pub(super) fn with<T>(&self, id: u32, act: impl FnOnce(&mut Mux) -> T) -> T {
        let mut inner = self.lock();
        let result = act(&mut inner.mux);
        self.settle(inner, id);
        result
    }

    /// Ends what was done with the stream `id`: it may be over, and something may have to be sent.
    fn settle(&self, mut inner: MutexGuard<'_, Inner>, id: u32) {
        inner.forget(id);
        self.wake_sender(inner);
    }

    fn wake_sender(&self, inner: MutexGuard<'_, Inner>) {
        let due = inner.left.is_some()
            || inner.mux.is_due()
            || inner.coming.is_due()
            || inner.leaving.is_due();
        drop(inner);
        if due {
            self.due.notify_one();
        }
    }

    /// Whether it is worth while to wait for the peer. What it has said before is good all the same: it may have
    /// closed the tunnel behind its last word.
    pub(super) fn check(&self) -> Result<(), TunnelError> {
        match &self.lock().end {
            End::Over(error) => Err(error.clone()),
            End::No | End::Closing => Ok(()),
        }
    }

    /// The next stream that the peer has opened.
    pub(super) fn arrival(&self) -> Result<Option<(u32, String, Arc<Bells>)>, TunnelError> {
        let mut inner = self.lock();
        if let End::Over(error) = &inner.end {
            return Err(error.clone());
        }
        let Some((id, target)) = inner.mux.arrival() else {
            return Ok(None);
        };
        let bells = inner.enter(id, None);
        Ok(Some((id, target, bells)))
    }

    /// Opens a stream.
    pub(super) fn open(
        &self,
        seat: OwnedSemaphorePermit,
        target: &str,
    ) -> Result<(u32, Arc<Bells>), TunnelError> {
        let mut inner = self.lock();
        if let End::Over(error) = &inner.end {
            return Err(error.clone());
        }
        let opened = inner.mux.open(target.to_owned());
        let id = opened.ok_or(TunnelError::Protocol("all numbers of streams are used up"))?;
        let bells = inner.enter(id, Some(seat));
        drop(inner);
        self.due.notify_one();
        Ok((id, bells))
    }

    /// Takes in a message that came through the channel, and says on which lane the next one comes, if on any.
    pub(super) fn on_channel(&self, message: Bytes) -> Result<Option<u32>, TunnelError> {
        let mut inner = self.lock();
        let message = inner.coming.on_channel(message);
        if let Some(message) = message.map_err(TunnelError::Protocol)? {
            self.handle(&mut inner, message)?;
        }
        let lane = inner.coming.lane();
        self.wake_sender(inner);
        Ok(lane)
    }

    /// Takes in a message that came on the peer's lane.
    pub(super) fn on_lane(&self, message: Bytes) -> Result<(), TunnelError> {
        let mut inner = self.lock();
        inner.coming.on_lane(&message);
        self.handle(&mut inner, message)?;
        self.wake_sender(inner);
        Ok(())
    }

    /// A lane of the peer arrived; whether it is of any use.
    pub(super) fn lane_arrived(&self, number: u32) -> bool {
        let mut inner = self.lock();
        let useful = inner.coming.arrived(number);
        self.wake_sender(inner);
        useful
    }

    /// The lane that [`Next::Open`] asked for is up.
    pub(super) fn lane_opened(&self) {
        let mut inner = self.lock();
        inner.leaving.opened();
        self.wake_sender(inner);
    }

    /// It is gone, or did not come up.
    pub(super) fn lane_lost(&self) {
        let mut inner = self.lock();
        inner.leaving.lost();
        self.wake_sender(inner);
    }

    /// Takes in what a message says, and rings for whomever its frames are about.
    fn handle(&self, inner: &mut Inner, message: Bytes) -> Result<(), TunnelError> {
        for frame in frames(message) {
            let frame = frame.ok_or(TunnelError::Protocol("its message makes no sense"))?;
            let id = frame.stream;
            if let Body::Lane(word) = frame.body {
                inner.heard(id, word).map_err(TunnelError::Protocol)?;
                continue;
            }
            if let Body::End(_) | Body::Taken | Body::Reset(_) = frame.body {
                // So that hardly anything is kept when it is closed.
                inner.coming.tell();
            }
            let event = inner.mux.handle(frame).map_err(TunnelError::Protocol)?;
            match event {
                Event::Arrived => self.arrived.notify_one(),
                Event::Readable(id) => inner.ring(id, |bells| bells.reader.notify_one()),
                Event::Answered(id) => inner.ring(id, |bells| bells.writer.notify_one()),
                Event::Broken(id) => inner.ring(id, Bells::ring),
                Event::Nothing => {}
            }
            inner.forget(id);
        }
        Ok(())
    }

    pub(super) fn next(&self) -> Next {
        let mut inner = self.lock();
        match inner.end {
            End::Over(_) => return Next::Nothing,
            End::No => {
                if let Some(number) = inner.leaving.wanted() {
                    return Next::Open(number);
                }
            }
            // The channel's end is the end of everything, so the last words go through it.
            End::Closing => {
                if inner.leaving.lost() {
                    return Next::Leave;
                }
            }
        }
        if let Some(message) = inner.leaving.before() {
            return Next::Message(Road::Channel, message);
        }
        match inner.message() {
            Some(message) => Next::Message(inner.leaving.leaves(&message), message),
            None if inner.end == End::Closing => Next::Nothing,
            None => Next::Later,
        }
    }

    pub(super) fn close(&self) {
        let mut inner = self.lock();
        if inner.end == End::No {
            inner.end = End::Closing;
        }
        drop(inner);
        self.due.notify_one();
        self.over.notify_waiters();
    }

    /// Nothing more goes through. The first reason counts.
    pub(super) fn finish(&self, error: TunnelError) {
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

    pub(super) async fn over(&self) -> TunnelError {
        self.until(|end| match end {
            End::Over(error) => Some(error.clone()),
            End::No | End::Closing => None,
        })
        .await
    }

    /// Waits until it is over, or to be closed.
    pub(super) async fn ending(&self) {
        self.until(|end| (*end != End::No).then_some(())).await;
    }

    async fn until<T>(&self, reached: impl Fn(&End) -> Option<T>) -> T {
        loop {
            let mut rung = pin!(self.over.notified());
            rung.as_mut().enable();
            if let Some(reached) = reached(&self.lock().end) {
                return reached;
            }
            rung.await;
        }
    }
}

/// What is to be sent now.
pub(super) enum Next {
    Message(Road, Bytes),
    /// A lane is to be opened.
    Open(u32),
    /// It is to be left.
    Leave,
    /// Nothing yet.
    Later,
    /// Nothing any more.
    Nothing,
}

impl Inner {
    fn enter(&mut self, id: u32, seat: Option<OwnedSemaphorePermit>) -> Arc<Bells> {
        let bells = Arc::<Bells>::default();
        let entry = Waiting {
            bells: bells.clone(),
            _seat: seat,
        };
        self.bells.insert(id, entry);
        bells
    }

    /// The next message to send.
    fn message(&mut self) -> Option<Bytes> {
        if !self.leaving.has_room() {
            // Two sides that wait for each other's word would wait for ever. For the same reason words are packed below
            // before all that is not left over, and so never left over themselves.
            let may = self.leaving.has_room_for_words();
            return may.then(|| self.coming.word()).flatten();
        }
        let mut left = self.left.take();
        let message = pack(&mut left, || {
            let word = self.coming.word();
            word.or_else(|| self.transmit())
        });
        self.left = left;
        message
    }

    /// What the peer says of a lane.
    fn heard(&mut self, number: u32, word: Word) -> Result<(), Violation> {
        match word {
            Word::Awaited => self.leaving.awaited(number),
            Word::Moving => self.coming.moving(number),
            Word::Got(count) => self.leaving.got(number, count),
            Word::Back(_) => Err("it is back from a lane that it does not use"),
        }
    }

    /// The next frame to send.
    fn transmit(&mut self) -> Option<Bytes> {
        let (id, frame) = self.mux.transmit()?;
        if self.mux.made_room(id) {
            self.ring(id, |bells| bells.writer.notify_one());
        }
        self.forget(id);
        Some(frame)
    }

    fn ring(&self, id: u32, ring: impl FnOnce(&Bells)) {
        if let Some(entry) = self.bells.get(&id) {
            ring(&entry.bells);
        }
    }

    /// Gives the place of a stream back that is over on both sides.
    fn forget(&mut self, id: u32) {
        if !self.mux.knows(id) {
            self.bells.remove(&id);
        }
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
