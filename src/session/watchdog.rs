//! Every wait of a session, with its limit.
//!
//! Pure. The engine reports neither a DTLS handshake that failed nor a driver that died, so nothing
//! here relies on its word: a phase that does not end in time ends the session.

use std::time::{Duration, Instant};

/// From the start to the peer's description. It covers a slow signaling server, not a slow user:
/// the clock starts when the peer is there.
pub(crate) const DESCRIPTION_LIMIT: Duration = Duration::from_secs(15);

/// From the description to a working pair of candidates. ICE itself gives up after 30 s (RFC 7675).
pub(crate) const ICE_LIMIT: Duration = Duration::from_secs(30);

/// From a working pair to a finished DTLS handshake: four retransmissions at the engine's 1 s timer.
pub(crate) const DTLS_LIMIT: Duration = Duration::from_secs(15);

/// From DTLS to the peer's verified hello: SCTP's handshake and one message.
pub(crate) const HELLO_LIMIT: Duration = Duration::from_secs(15);

/// A ping is sent this often.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// Nothing from the peer for this long: it is gone. Three heartbeats, so that two may be lost.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// `disconnected` may pass by itself; after this long ICE is restarted.
pub(crate) const RESTART_AFTER: Duration = Duration::from_secs(3);

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The peer's offer or answer.
    Description,
    /// A pair of candidates that works.
    Ice,
    /// The DTLS handshake.
    Dtls,
    /// The peer's first message on the control channel.
    Hello,
    /// Any sign of life of a connected peer.
    Heartbeat,
}

/// What the time has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send a ping.
    Ping,
    /// Restart ICE.
    Restart,
    /// Give up: this took too long.
    Expired(Wait),
}

/// The clocks of one session.
#[derive(Debug)]
pub(crate) struct Watchdog {
    wait: Wait,
    since: Instant,
    ping_at: Option<Instant>,
    restart_at: Option<Instant>,
}

impl Watchdog {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            wait: Wait::Description,
            since: now,
            ping_at: None,
            restart_at: None,
        }
    }

    /// What the session waits for now.
    pub(crate) fn waiting_for(&self) -> Wait {
        self.wait
    }

    /// The next phase began. An earlier or the same phase changes nothing.
    pub(crate) fn reached(&mut self, now: Instant, wait: Wait) {
        if (wait as u8) <= (self.wait as u8) {
            return;
        }
        self.wait = wait;
        self.since = now;
        if wait == Wait::Heartbeat {
            self.ping_at = Some(now + HEARTBEAT);
        }
    }

    /// The connected peer gave a sign of life.
    pub(crate) fn heard(&mut self, now: Instant) {
        if self.wait == Wait::Heartbeat {
            self.since = now;
        }
    }

    /// ICE lost its pair, or found one again.
    pub(crate) fn interrupted(&mut self, now: Instant, interrupted: bool) {
        if !interrupted && self.restart_at.is_some() {
            // A path that works again is a sign of life; what was said meanwhile is still on its way.
            self.heard(now);
        }
        self.restart_at = match (interrupted, self.restart_at) {
            (true, None) => Some(now + RESTART_AFTER),
            (true, planned) => planned,
            (false, _) => None,
        };
    }

    /// When to ask again.
    pub(crate) fn deadline(&self) -> Instant {
        [self.ping_at, self.restart_at]
            .into_iter()
            .flatten()
            .fold(self.expiry(), Instant::min)
    }

    /// What is due, if anything.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.expiry() <= now {
            return Some(Due::Expired(self.wait));
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = Some(now + RESTART_AFTER * 2);
            return Some(Due::Restart);
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            self.ping_at = Some(now + HEARTBEAT);
            return Some(Due::Ping);
        }
        None
    }

    fn expiry(&self) -> Instant {
        self.since
            + match self.wait {
                Wait::Description => DESCRIPTION_LIMIT,
                Wait::Ice => ICE_LIMIT,
                Wait::Dtls => DTLS_LIMIT,
                Wait::Hello => HELLO_LIMIT,
                // While ICE looks for another path the peer cannot be heard.
                Wait::Heartbeat if self.restart_at.is_some() => ICE_LIMIT,
                Wait::Heartbeat => SILENCE_LIMIT,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_phase_has_its_own_limit() {
        let start = Instant::now();
        let phases = [
            (Wait::Description, DESCRIPTION_LIMIT),
            (Wait::Ice, ICE_LIMIT),
            (Wait::Dtls, DTLS_LIMIT),
            (Wait::Hello, HELLO_LIMIT),
            (Wait::Heartbeat, SILENCE_LIMIT),
        ];
        for (wait, limit) in phases {
            let mut watchdog = Watchdog::new(start);
            watchdog.reached(start + SECOND, wait);
            let begin = if wait == Wait::Description {
                start
            } else {
                start + SECOND
            };
            while let Some(due) = watchdog.due(begin + limit - Duration::from_millis(1)) {
                assert_eq!(due, Due::Ping);
            }
            assert_eq!(watchdog.due(begin + limit), Some(Due::Expired(wait)));
        }
    }

    #[test]
    fn phases_never_go_back() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start);
        watchdog.reached(start, Wait::Dtls);
        watchdog.reached(start + SECOND, Wait::Ice);
        assert_eq!(
            watchdog.due(start + DTLS_LIMIT),
            Some(Due::Expired(Wait::Dtls))
        );
    }

    #[test]
    fn a_connected_session_pings_and_lives_while_it_hears() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start);
        watchdog.reached(start, Wait::Heartbeat);
        for beat in 1..100 {
            let now = start + HEARTBEAT * beat;
            assert_eq!(watchdog.deadline(), now);
            assert_eq!(watchdog.due(now), Some(Due::Ping));
            watchdog.heard(now);
        }
    }

    #[test]
    fn an_interruption_restarts_ice_and_buys_time() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start);
        watchdog.reached(start, Wait::Heartbeat);
        watchdog.interrupted(start, true);
        watchdog.interrupted(start + SECOND, true);
        assert_eq!(watchdog.due(start + RESTART_AFTER), Some(Due::Restart));
        while let Some(due) = watchdog.due(start + SILENCE_LIMIT) {
            assert!(matches!(due, Due::Ping | Due::Restart));
        }
        watchdog.interrupted(start + SILENCE_LIMIT, false);
        while let Some(due) = watchdog.due(start + SILENCE_LIMIT + SECOND) {
            assert_eq!(
                due,
                Due::Ping,
                "the path is back: the silence is counted anew"
            );
        }
    }
}
