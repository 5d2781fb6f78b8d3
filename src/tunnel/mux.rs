//! Many streams over one channel: who may send what, and what comes next. Pure: frames of the peer and calls
//! of the application go in, [`Mux::transmit`] hands out what to send.
//!
//! Each stream has credit of its own, so one whose reader stands still holds nobody up, and what is kept of it
//! is bounded by what was granted. Whoever waits to send gets one frame in turn.

use super::entry::{Entry, Live, Opening, State};
use super::frame::{Body, Frame, Reset, ResetCode};
use super::half::{FIRST_WINDOW, Read, Violation};
use super::turns::Turns;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// Streams that each side may have opened at a time.
pub const MAX_STREAMS: usize = 1024;

/// What all streams together may have granted and not read; shared evenly.
const BUDGET: u64 = 64 << 20;

/// Most that one stream may have granted and not read: more than what SCTP's window of 2 MiB keeps on its way.
const MOST_WINDOW: u64 = 4 << 20;

/// Refusals that the peer has not read yet. One that opens more does not listen.
const MAX_REFUSALS: usize = 256;

/// Which side of the tunnel this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It opened the channel; its streams have even numbers.
    Opener,
    /// It accepted the channel; its streams have odd numbers.
    Acceptor,
}

/// What a frame changed, and so who has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The peer opened a stream, which [`Mux::arrival`] tells.
    Arrived,
    /// There is something to read on this stream.
    Readable(u32),
    /// The peer answered to what was sent on it.
    Answered(u32),
    /// It was reset.
    Broken(u32),
    /// Nothing.
    Nothing,
}

/// All streams of a tunnel.
#[derive(Debug)]
pub(super) struct Mux {
    /// The number of our next stream, and the lowest that the peer's next one may have.
    next: u32,
    expected: u32,
    streams: HashMap<u32, Entry>,
    /// The peer's streams that nobody has looked at.
    arrivals: VecDeque<(u32, String)>,
    refusals: VecDeque<u32>,
    /// Streams with something small to send, and with data, each at most once.
    urgent: Turns,
    ready: Turns,
}

impl Mux {
    pub(super) fn new(side: Side) -> Self {
        let (next, expected) = match side {
            Side::Opener => (0, 1),
            Side::Acceptor => (1, 0),
        };
        Self {
            next,
            expected,
            streams: HashMap::new(),
            arrivals: VecDeque::new(),
            refusals: VecDeque::new(),
            urgent: Turns::default(),
            ready: Turns::default(),
        }
    }

    /// Opens a stream; `None` if all numbers are used up. The caller sees to it that there are no more than
    /// [`MAX_STREAMS`].
    pub(super) fn open(&mut self, target: String) -> Option<u32> {
        let id = self.next;
        self.next = id.checked_add(2)?;
        let opening = Opening::Ours(target);
        self.streams.insert(id, Entry::new(opening));
        self.urgent.push(id);
        Some(id)
    }

    /// The next stream that the peer opened, and what it is to reach.
    pub(super) fn arrival(&mut self) -> Option<(u32, String)> {
        let (id, target) = self.arrivals.pop_front()?;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held = true;
        }
        Some((id, target))
    }

    /// Accepts a stream of the peer.
    pub(super) fn accept(&mut self, id: u32) {
        if let Some(live) = self.live(id)
            && matches!(live.opening, Opening::Theirs)
        {
            live.opening = Opening::Accepting;
            self.urgent.push(id);
        }
    }

    /// Whether a stream of ours was accepted.
    pub(super) fn is_accepted(&mut self, id: u32) -> Result<bool, Reset> {
        self.held(id)
            .map(|live| matches!(live.opening, Opening::Open))
    }

    /// Takes as much of `bytes` as there is room for.
    pub(super) fn write(&mut self, id: u32, bytes: &[u8]) -> Result<usize, Reset> {
        let live = self.held(id)?;
        let ended = || Reset::new(ResetCode::Cancelled, "written after its end");
        let taken = live.outgoing.push(bytes).ok_or_else(ended)?;
        if live.outgoing.is_due() {
            self.ready.push(id);
        }
        Ok(taken)
    }

    /// Ends the direction away from here.
    pub(super) fn end(&mut self, id: u32) {
        if let Some(live) = self.live(id) {
            live.outgoing.end();
            self.ready.push(id);
        }
    }

    /// Whether the peer has taken everything.
    pub(super) fn is_taken(&mut self, id: u32) -> Result<bool, Reset> {
        self.held(id).map(|live| live.outgoing.is_taken())
    }

    /// What came.
    pub(super) fn read(&mut self, id: u32) -> Result<Read, Reset> {
        let window = self.window();
        let live = self.held(id)?;
        let read = live.incoming.read(window);
        if live.incoming.is_due() {
            self.urgent.push(id);
        }
        Ok(read)
    }

    /// Everything that was read went where it belongs.
    pub(super) fn take(&mut self, id: u32) {
        if let Some(live) = self.live(id) {
            live.incoming.take();
            if live.incoming.is_due() {
                self.urgent.push(id);
            }
        }
    }

    /// Ends both directions. Nothing that waits to be sent is sent.
    pub(super) fn reset(&mut self, id: u32, reset: Reset) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let State::Live(live) = &stream.state else {
            return;
        };
        if let Opening::Ours(_) = live.opening {
            // The peer never hears of it.
            stream.state = State::Broken(reset);
        } else {
            stream.state = State::Resetting(reset);
            self.urgent.push(id);
        }
        self.settle(id);
    }

    /// Nobody here holds the stream any more. What is complete but for the peer's word goes on.
    pub(super) fn release(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.held = false;
        let complete = match &stream.state {
            State::Live(live) => live.outgoing.is_ending() && live.incoming.is_taking(),
            State::Resetting(_) | State::Broken(_) => true,
        };
        if complete {
            self.settle(id);
        } else {
            self.reset(id, Reset::new(ResetCode::Cancelled, "it was dropped"));
        }
    }

    /// Whether anything is kept of this stream.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.streams.contains_key(&id)
    }

    /// Takes in what the peer says.
    pub(super) fn handle(&mut self, frame: Frame) -> Result<Event, Violation> {
        let Frame { stream: id, body } = frame;
        let body = match body {
            Body::Open(target) => return self.opened(id, target),
            body => body,
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            let ours = id % 2 == self.next % 2;
            let used = if ours { self.next } else { self.expected };
            // It may not know yet that we have ended it.
            return match id < used {
                true => Ok(Event::Nothing),
                false => Err("it spoke of a stream that was never opened"),
            };
        };
        let State::Live(live) = &mut stream.state else {
            return Ok(Event::Nothing);
        };
        let event = match body {
            // Looked at before.
            Body::Open(_) | Body::Lane(_) => Event::Nothing,
            Body::Accept => {
                live.accepted()?;
                Event::Answered(id)
            }
            Body::Data(bytes) => {
                live.incoming.data(&bytes)?;
                Event::Readable(id)
            }
            Body::Grant(limit) => {
                live.outgoing.granted(limit);
                if live.outgoing.is_due() {
                    self.ready.push(id);
                }
                Event::Nothing
            }
            Body::End(total) => {
                live.incoming.ended(total)?;
                Event::Readable(id)
            }
            Body::Taken => {
                live.outgoing.taken()?;
                Event::Answered(id)
            }
            Body::Reset(reset) => {
                stream.state = State::Broken(reset);
                self.arrivals.retain(|(arrival, _)| *arrival != id);
                Event::Broken(id)
            }
        };
        self.settle(id);
        Ok(event)
    }

    fn opened(&mut self, id: u32, target: String) -> Result<Event, Violation> {
        if id % 2 == self.next % 2 || id < self.expected {
            return Err("it used the number of another stream");
        }
        let theirs = id % 2;
        self.expected = id.checked_add(2).ok_or("it used up all numbers")?;
        let open = self.streams.keys().filter(|id| *id % 2 == theirs).count();
        if open < MAX_STREAMS {
            self.streams.insert(id, Entry::new(Opening::Theirs));
            self.arrivals.push_back((id, target));
            return Ok(Event::Arrived);
        }
        if self.refusals.len() == MAX_REFUSALS {
            return Err("it opens streams without end");
        }
        self.refusals.push_back(id);
        Ok(Event::Nothing)
    }

    /// Whether there may be something to send.
    pub(super) fn is_due(&self) -> bool {
        !(self.refusals.is_empty() && self.urgent.is_empty() && self.ready.is_empty())
    }

    /// Whether a writer that found no room finds some now; said once.
    pub(super) fn made_room(&mut self, id: u32) -> bool {
        self.live(id).is_some_and(|live| live.outgoing.made_room())
    }

    /// The next frame to send, and the stream that it is about.
    pub(super) fn transmit(&mut self) -> Option<(u32, Bytes)> {
        if let Some(id) = self.refusals.pop_front() {
            let reset = Reset::new(ResetCode::Busy, "too many streams are open");
            return Some((id, Frame::new(id, Body::Reset(reset)).write()));
        }
        while let Some((id, urgent)) = self.turn() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let body = match &mut stream.state {
                State::Resetting(reset) => {
                    let reset = reset.clone();
                    stream.state = State::Broken(reset.clone());
                    Some(Body::Reset(reset))
                }
                State::Live(live) => live.next(urgent),
                State::Broken(_) => None,
            };
            if let State::Live(live) = &stream.state {
                if live.is_urgent() {
                    self.urgent.push(id);
                } else if live.outgoing.is_due() {
                    self.ready.push(id);
                }
            }
            self.settle(id);
            if let Some(body) = body {
                return Some((id, Frame::new(id, body).write()));
            }
        }
        None
    }

    /// Whose turn it is, and whether for something small.
    fn turn(&mut self) -> Option<(u32, bool)> {
        let urgent = self.urgent.pop().map(|id| (id, true));
        urgent.or_else(|| self.ready.pop().map(|id| (id, false)))
    }

    /// What one stream may have granted and not read.
    fn window(&self) -> u64 {
        let share = BUDGET / self.streams.len().max(1) as u64;
        share.clamp(FIRST_WINDOW, MOST_WINDOW)
    }

    fn live(&mut self, id: u32) -> Option<&mut Live> {
        match &mut self.streams.get_mut(&id)?.state {
            State::Live(live) => Some(live),
            State::Resetting(_) | State::Broken(_) => None,
        }
    }

    /// A stream of which there is a handle.
    fn held(&mut self, id: u32) -> Result<&mut Live, Reset> {
        match self.streams.get_mut(&id).map(|stream| &mut stream.state) {
            Some(State::Live(live)) => Ok(live),
            Some(State::Resetting(reset) | State::Broken(reset)) => Err(reset.clone()),
            None => Err(Reset::new(ResetCode::Cancelled, "it is over")),
        }
    }

    /// Forgets a stream that nobody here or there needs any more.
    fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let over = match &stream.state {
            State::Live(live) => live.outgoing.is_taken() && live.incoming.is_taken(),
            State::Resetting(_) => false,
            State::Broken(_) => true,
        };
        if over && !stream.held {
            self.streams.remove(&id);
        }
    }
}

#[cfg(test)]
#[path = "mux_tests.rs"]
mod tests;
