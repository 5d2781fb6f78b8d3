//! When to ask a silent server for a sign of life, and when to give it up.

use signaling_protocol::limits::{IDLE_TIMEOUT, PING_INTERVAL};
use std::time::Instant;

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a `ping`.
    Ping,
    /// The connection counts as lost.
    Lost,
}

/// The silence of one connection. An honest server pings more often than this asks.
#[derive(Debug)]
pub(super) struct Keepalive {
    heard: Instant,
    next: Due,
}

impl Keepalive {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            next: Due::Ping,
        }
    }

    /// Something came from the server.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// When to call [`take`](Self::take).
    pub(super) fn deadline(&self) -> Instant {
        let after = match self.next {
            Due::Ping => PING_INTERVAL,
            Due::Lost => IDLE_TIMEOUT,
        };
        self.heard + after
    }

    /// What is due now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        Some(std::mem::replace(&mut self.next, Due::Lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_silent_server_is_asked_once_and_then_given_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(start);
        assert_eq!(
            (keepalive.deadline(), keepalive.take(at(24))),
            (at(25), None)
        );
        assert_eq!(keepalive.take(at(25)), Some(Due::Ping));
        assert_eq!(
            (keepalive.deadline(), keepalive.take(at(59))),
            (at(60), None)
        );
        keepalive.heard(at(59));
        assert_eq!(
            (keepalive.deadline(), keepalive.take(at(60))),
            (at(84), None)
        );
        assert_eq!(keepalive.take(at(84)), Some(Due::Ping));
        assert_eq!(keepalive.take(at(119)), Some(Due::Lost));
    }
}
