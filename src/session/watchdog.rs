//! Every wait of a session, with its limit.
//!
//! Pure. The engine reports neither a DTLS handshake that failed nor a driver that died, so nothing
//! here relies on its word: a phase that does not end in time ends the session. A connected session is
//! interrupted when its path is lost or its peer is silent; it then has until
//! [`Healing::give_up`] to be reached again. A path that is lost in the handshakes gives them their time once more,
//! and once more when another is found: DTLS and SCTP repeat what was lost after up to eight seconds. A peer that the
//! signaling server misses, and to which there is no path, is not waited for that long.

use super::Healing;
use super::absence::Absence;
use super::healing::Cause;
use std::time::{Duration, Instant};

/// From the start to the peer's description. It covers a slow signaling server, not a slow user:
/// the clock starts when the peer is there.
pub(crate) const DESCRIPTION_LIMIT: Duration = Duration::from_secs(15);

/// From the description to a working pair of candidates. ICE itself gives up after 30 s (RFC 7675).
pub(crate) const ICE_LIMIT: Duration = Duration::from_secs(30);

/// From a working pair to a finished DTLS handshake. The engine's client gives up after 8 s, its server never.
pub(crate) const DTLS_LIMIT: Duration = Duration::from_secs(15);

/// From DTLS to the peer's verified hello: SCTP's handshake and one message. SCTP repeats what was lost after 1, 3, 7 and 15 s, and the
/// last of these needs time, too.
pub(crate) const HELLO_LIMIT: Duration = Duration::from_secs(30);

/// How soon it is asked again whether the peer can be told of a restart. The polite side takes four times
/// as long: what stops both is over for both at once, and one restart is enough.
const RESTART_CHECK: Duration = Duration::from_millis(250);

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
    /// Give up: the server misses the peer, and there is no path.
    Gone,
}

/// The clocks of one session.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limits: Healing,
    wait: Wait,
    /// When this phase began, and since when its limit counts.
    began: Instant,
    since: Instant,
    ping_at: Option<Instant>,
    trouble: Option<Trouble>,
    absence: Option<Absence>,
    polite: bool,
}

/// An interruption of a connected session.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    since: Instant,
    cause: Cause,
    /// When ICE is restarted; never while its path works.
    restart_at: Option<Instant>,
}

impl Watchdog {
    pub(crate) fn new(now: Instant, limits: Healing) -> Self {
        Self {
            limits,
            wait: Wait::Description,
            began: now,
            since: now,
            ping_at: None,
            trouble: None,
            absence: None,
            polite: false,
        }
    }

    /// Whether the restarts are the other side's in the first place.
    pub(crate) fn set_polite(&mut self, polite: bool) {
        self.polite = polite;
    }

    /// What the session waits for now.
    pub(crate) fn waiting_for(&self) -> Wait {
        self.wait
    }

    /// Since when the connected peer cannot be reached, until when it may be so, and why it is.
    pub(crate) fn interruption(&self) -> Option<(Instant, Instant, Cause)> {
        let trouble = self.trouble.filter(|_| self.wait == Wait::Heartbeat)?;
        let until = trouble.since + self.limits.give_up;
        Some((trouble.since, until, trouble.cause))
    }

    /// The next phase began. An earlier or the same phase changes nothing.
    pub(crate) fn reached(&mut self, now: Instant, wait: Wait) {
        if (wait as u8) <= (self.wait as u8) {
            return;
        }
        self.wait = wait;
        self.began = now;
        self.since = now;
        if wait == Wait::Heartbeat {
            self.ping_at = Some(now + self.limits.heartbeat);
        }
    }

    /// The connected peer gave a sign of life.
    pub(crate) fn heard(&mut self, now: Instant) {
        if self.wait != Wait::Heartbeat {
            return;
        }
        self.since = now;
        self.trouble
            .take_if(|trouble| trouble.cause == Cause::Silent);
    }

    /// The server says that the peer left the room, or that the connection between the two broke.
    pub(crate) fn peer_missed(&mut self, now: Instant, on_purpose: bool) {
        // One that is away loses its place in the end, and is away since then all the same.
        let away = self.absence.filter(|_| !on_purpose);
        self.absence = Some(Absence {
            since: away.map_or(now, |absence| absence.since),
            on_purpose,
        });
    }

    /// The peer is there, or nobody could say any more that it is back.
    pub(crate) fn peer_present(&mut self) {
        self.absence = None;
    }

    /// Whether the server misses the peer.
    pub(crate) fn misses_peer(&self) -> bool {
        self.absence.is_some()
    }

    /// Whether it is no use to wait for the peer any longer.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        self.gone_at().is_some_and(|at| at <= now)
    }

    /// ICE lost its pair.
    pub(crate) fn path_lost(&mut self, now: Instant) {
        let restart_at = now + self.restart_delay();
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            cause: Cause::PathLost,
            restart_at: None,
        });
        trouble.cause = Cause::PathLost;
        trouble.restart_at.get_or_insert(restart_at);
        let lost = trouble.since;
        if self.shakes_hands() {
            self.since = self.since.max(lost);
        }
    }

    /// ICE has a pair. Whether it had lost one before.
    pub(crate) fn path_found(&mut self, now: Instant) -> bool {
        let lost = self
            .trouble
            .take_if(|trouble| trouble.cause != Cause::Silent);
        let healed = lost.is_some();
        if healed && self.shakes_hands() {
            self.since = now;
        }
        if healed && self.wait == Wait::Heartbeat {
            // A path that works again is a sign of life; what was said meanwhile is still on its way, and
            // a ping brings the answer that shows it.
            self.since = now;
            self.ping_at = Some(now);
        }
        healed
    }

    /// A restart is under way: gives it time.
    pub(crate) fn restarting(&mut self, now: Instant) {
        self.restart_in(now, self.limits.restart_after * 2);
    }

    /// The peer cannot be told of a restart yet.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.restart_in(now, RESTART_CHECK * if self.polite { 4 } else { 1 });
    }

    fn restart_in(&mut self, now: Instant, time: Duration) {
        if let Some(restart_at) = self
            .trouble
            .as_mut()
            .and_then(|trouble| trouble.restart_at.as_mut())
        {
            *restart_at = now + time;
        }
    }

    /// When to ask again.
    pub(crate) fn deadline(&self) -> Instant {
        [self.ping_at, self.restart_at(), self.gone_at()]
            .into_iter()
            .flatten()
            .fold(self.limit(), Instant::min)
    }

    /// What is due, if anything.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.is_gone(now) {
            return Some(Due::Gone);
        }
        if self.limit() <= now {
            if self.wait != Wait::Heartbeat || self.trouble.is_some() {
                return Some(Due::Expired(self.wait));
            }
            self.trouble = Some(Trouble {
                since: now,
                cause: Cause::Silent,
                restart_at: None,
            });
        }
        if self.restart_at().is_some_and(|at| at <= now) {
            self.restarting(now);
            return Some(Due::Restart);
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            self.ping_at = Some(now + self.limits.heartbeat);
            return Some(Due::Ping);
        }
        None
    }

    fn restart_at(&self) -> Option<Instant> {
        self.trouble.and_then(|trouble| trouble.restart_at)
    }

    fn gone_at(&self) -> Option<Instant> {
        let absence = self.absence?;
        match (self.wait, self.trouble) {
            (Wait::Heartbeat, Some(trouble)) if trouble.cause == Cause::PathLost => {
                absence.ends_session(trouble.since)
            }
            // A path that works has a process behind it.
            (Wait::Heartbeat, _) | (Wait::Dtls | Wait::Hello, None) => None,
            _ => Some(absence.ends_handshakes()),
        }
    }

    /// From a loss to the restart. In a handshake at once: it ends after eight seconds without an answer, and a path
    /// that was lost so early has not carried much.
    fn restart_delay(&self) -> Duration {
        match (self.shakes_hands(), self.polite) {
            (true, false) => RESTART_CHECK,
            (true, true) => RESTART_CHECK * 4,
            (false, false) => self.limits.restart_after,
            (false, true) => self.limits.restart_after * 2,
        }
    }

    /// Whether something is on its way that a path carries, but the peer is not verified yet.
    fn shakes_hands(&self) -> bool {
        matches!(self.wait, Wait::Dtls | Wait::Hello)
    }

    /// When the present state has lasted too long.
    fn limit(&self) -> Instant {
        let given_up = self.began + self.limits.give_up.max(HELLO_LIMIT).max(DTLS_LIMIT);
        match (self.wait, self.trouble) {
            (Wait::Description, _) => self.since + DESCRIPTION_LIMIT,
            (Wait::Ice, _) => self.since + ICE_LIMIT,
            (Wait::Dtls, _) => given_up.min(self.since + DTLS_LIMIT),
            (Wait::Hello, _) => given_up.min(self.since + HELLO_LIMIT),
            (Wait::Heartbeat, Some(trouble)) => trouble.since + self.limits.give_up,
            (Wait::Heartbeat, None) => self.since + self.limits.silence,
        }
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
