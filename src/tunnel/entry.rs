//! One stream of a multiplexer: how far it has come, and what it has to say next. Pure.

use super::frame::{Body, Reset};
use super::half::{Incoming, Outgoing, Violation};

/// A stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Somebody here has a handle.
    pub(super) held: bool,
}

/// Whether it goes on.
#[derive(Debug)]
pub(super) enum State {
    Live(Live),
    /// We end it, which the peer has not been told.
    Resetting(Reset),
    /// The peer, or we, ended it.
    Broken(Reset),
}

/// A stream that goes on.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) opening: Opening,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
}

/// How far a stream has come.
#[derive(Debug)]
pub(super) enum Opening {
    /// Ours, of which the peer does not know.
    Ours(String),
    /// The peer knows, and has not accepted it.
    Asked,
    /// The peer's, not accepted.
    Theirs,
    /// Accepted, which the peer has not been told.
    Accepting,
    Open,
}

impl Entry {
    /// Ours is held at once, the peer's when somebody has looked at it.
    pub(super) fn new(opening: Opening) -> Self {
        let held = !matches!(opening, Opening::Theirs);
        let live = Live {
            opening,
            outgoing: Outgoing::new(),
            incoming: Incoming::new(),
        };
        Self {
            state: State::Live(live),
            held,
        }
    }
}

impl Live {
    pub(super) fn accepted(&mut self) -> Result<(), Violation> {
        match self.opening {
            Opening::Asked => self.opening = Opening::Open,
            _ => return Err("it accepted a stream that it was not asked for"),
        }
        Ok(())
    }

    pub(super) fn is_urgent(&self) -> bool {
        matches!(self.opening, Opening::Ours(_) | Opening::Accepting) || self.incoming.is_due()
    }

    pub(super) fn next(&mut self, urgent: bool) -> Option<Body> {
        match &mut self.opening {
            Opening::Ours(target) => {
                let target = std::mem::take(target);
                self.opening = Opening::Asked;
                Some(Body::Open(target))
            }
            Opening::Accepting => {
                self.opening = Opening::Open;
                Some(Body::Accept)
            }
            _ if urgent && self.incoming.is_due() => self.incoming.next(),
            _ => self.outgoing.next(),
        }
    }
}
