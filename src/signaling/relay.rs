//! The records of two who introduce each other through somebody whom both have a line to.

use super::carried::{Begins, Carried};
use super::client::Signaling;
use signaling_protocol::{ClientMessage, Joined, NameError, ServerMessage};
use std::task::{Context, Poll};

/// The carrier's end of a [`Signaling`] without a server. When it is dropped, that signaling is lost.
#[derive(Debug)]
pub(crate) struct Relay(Carried);

impl Relay {
    /// A room with two places, both of them taken.
    pub(crate) fn open() -> Result<(Signaling, Joined, Self), NameError> {
        let (signaling, joined, carried) = Carried::open(Begins::Us, Vec::new())?;
        Ok((signaling, joined, Self(carried)))
    }

    /// The next record to carry; `None` when there will be no more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        loop {
            match std::task::ready!(self.0.poll_next(cx)) {
                Some(ClientMessage::Sealed { data, .. }) => return Poll::Ready(Some(data)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// A record came. It is dropped when too many wait.
    pub(crate) fn deliver(&self, data: String) {
        self.0.deliver(|from| ServerMessage::Sealed { from, data });
    }
}
