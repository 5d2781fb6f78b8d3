//! When to ask a silent server for a sign of life, and when to give it up.

use signaling_protocol::limits::{IDLE_TIMEOUT, PING_INTERVAL};
use std::time::{Duration, Instant};

/// Time for an answer that somebody waits for: a network that takes longer is as good as gone, and a new
/// connection finds out quickly whether it is.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

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
    /// Somebody wants to know at once; until the answer, when it is due.
    urgent: Option<Instant>,
}

impl Keepalive {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            next: Due::Ping,
            urgent: None,
        }
    }

    /// Somebody wants to know now whether the server is there.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.urgent.is_none() {
            self.urgent = Some(now);
            self.next = Due::Ping;
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
        let deadline = self.heard + after;
        self.urgent.map_or(deadline, |urgent| urgent.min(deadline))
    }

    /// What is due now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        if let Some(urgent) = &mut self.urgent {
            *urgent = now + ANSWER_LIMIT;
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

    #[test]
    fn a_server_that_is_needed_is_asked_at_once_and_given_up_soon() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(start);
        keepalive.ask(at(1));
        assert_eq!(keepalive.take(at(1)), Some(Due::Ping));
        // Asking again does not put it off.
        keepalive.ask(at(3));
        assert_eq!((keepalive.deadline(), keepalive.take(at(5))), (at(6), None));
        assert_eq!(keepalive.take(at(6)), Some(Due::Lost));
        keepalive.heard(at(6));
        assert_eq!(keepalive.deadline(), at(31));
        // Asked before already, it is asked again all the same.
        assert_eq!(keepalive.take(at(31)), Some(Due::Ping));
        keepalive.ask(at(32));
        assert_eq!(keepalive.take(at(32)), Some(Due::Ping));
        assert_eq!(keepalive.deadline(), at(37));
    }
}
