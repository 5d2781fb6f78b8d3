//! How long a peer may be silent, and when it is pinged.

use super::{Peer, State};
use crate::{closing::Closing, refusal::Refusal};
use signaling_protocol::ErrorCode;
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// What is due when a peer's deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing after all.
    Nothing,
    /// A ping of the transport.
    Ping,
}

impl Peer {
    /// Something came, if only a pong.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// How long one frame may take to be sent: whoever reads nothing for so long is as good as gone.
    pub(crate) fn write_limit(&self) -> Duration {
        self.hub.limits().idle_timeout
    }

    /// When [`Peer::due`] wants to be called at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let limits = self.hub.limits();
        let next = (self.heard + limits.idle_timeout).min(self.pinged + limits.ping_interval);
        match self.state {
            State::Waiting { since, .. } => next.min(since + limits.hello_timeout),
            _ => next,
        }
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> ControlFlow<Closing, Due> {
        let limits = self.hub.limits();
        if let State::Waiting { since, .. } = self.state
            && now >= since + limits.hello_timeout
        {
            let waited = limits.hello_timeout;
            let refusal = Refusal::new(
                ErrorCode::HelloTimeout,
                format!("no `join` within {waited:?}"),
            );
            return ControlFlow::Break(Closing::refused(&refusal));
        }
        if now >= self.heard + limits.idle_timeout {
            let silent = limits.idle_timeout;
            let refusal = Refusal::new(
                ErrorCode::IdleTimeout,
                format!("nothing came for {silent:?}"),
            );
            return ControlFlow::Break(Closing::refused(&refusal));
        }
        if now >= self.pinged + limits.ping_interval {
            self.pinged = now;
            return ControlFlow::Continue(Due::Ping);
        }
        ControlFlow::Continue(Due::Nothing)
    }
}
