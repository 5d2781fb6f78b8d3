//! The engine's clock, which dawdles while there is no path and hurries once there is one again.
//!
//! SCTP doubles the time to its next repetition each time nothing is acknowledged, up to a minute, and the
//! engine lets nobody change that; after the fifth repetition, 63 s after the first loss, it repeats nothing
//! any more and the association is dead without a word (rtc-sctp 0.21.1, `PATH_MAX_RETRANS`). ICE, DTLS and
//! SCTP of one connection share this clock. It runs slower during an outage, so that the sixth expiry comes
//! after [`Healing::give_up`](crate::session::Healing::give_up); at the usual speed for a moment whenever new
//! descriptions start new checks of ICE; and faster once the path is back, which brings the next repetition
//! forward. SCTP measures the round trip on the same clock, so its timers stay in proportion.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much faster it runs. ICE counts a path as gone after 5 s without a sign of life and asks for one
/// every 2 s: at this rate a round trip of half a second still passes.
const FASTER: u32 = 6;

/// How long, by everybody else's clock: [`FASTER`] times this is SCTP's longest timeout of 60 s.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How much slower it runs. Of the 120 s of an outage 12 s pass, of which with the 5 s before it is noticed and
/// five restarts of ICE 27 s are used: SCTP's fifth repetition, at 31 s, is still to come.
const SLOWER: u32 = 10;

/// How long a restart of ICE has its usual speed: its checks are 0.2 s apart.
const CHECKS: Duration = Duration::from_secs(2);

/// Longest sleep while the speed is not the usual one: it may change before that time is over.
const NAP: Duration = Duration::from_millis(250);

/// Time as the engine of one connection sees it. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Speed {
    Slow,
    #[default]
    Usual,
    Fast,
}

#[derive(Debug, Default)]
struct State {
    /// An instant, and what this clock showed then; it shows the right time before there is one.
    mark: Option<(Instant, Instant)>,
    speed: Speed,
    /// When the speed changes by itself, and to which.
    until: Option<(Instant, Speed)>,
}

impl Clock {
    /// The path was lost: from now on it runs slower.
    pub(crate) fn dawdle(&self) {
        self.lock().set(Instant::now(), Speed::Slow, None);
    }

    /// New checks begin: if it runs slower, it does not for [`CHECKS`].
    pub(crate) fn check(&self) {
        self.lock().check(Instant::now());
    }

    /// There is a path again: from now on it runs faster, for [`CATCH_UP`].
    pub(crate) fn catch_up(&self) {
        self.lock().catch_up(Instant::now());
    }

    pub(super) fn now(&self) -> Instant {
        self.lock().at(Instant::now())
    }

    /// How long to wait until this clock has moved on by `duration`, or a moment.
    pub(super) fn wait(&self, duration: Duration) -> Duration {
        match self.lock().speed {
            Speed::Usual => duration,
            Speed::Fast => (duration / FASTER).min(NAP),
            Speed::Slow => duration.saturating_mul(SLOWER).min(NAP),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(&mut self, now: Instant) -> Instant {
        if let Some((until, next)) = self.until
            && until <= now
        {
            self.set(until, next, None);
        }
        self.shows(now)
    }

    fn check(&mut self, now: Instant) {
        self.at(now);
        // Slow, or at the usual speed for a moment already.
        if self.speed == Speed::Slow || matches!(self.until, Some((_, Speed::Slow))) {
            self.set(now, Speed::Usual, Some((now + CHECKS, Speed::Slow)));
        }
    }

    fn catch_up(&mut self, now: Instant) {
        self.at(now);
        if self.speed != Speed::Fast {
            self.set(now, Speed::Fast, Some((now + CATCH_UP, Speed::Usual)));
        }
    }

    fn set(&mut self, now: Instant, speed: Speed, until: Option<(Instant, Speed)>) {
        self.mark = Some((now, self.shows(now)));
        (self.speed, self.until) = (speed, until);
    }

    fn shows(&self, now: Instant) -> Instant {
        let Some((marked, shown)) = self.mark else {
            return now;
        };
        let passed = now.saturating_duration_since(marked);
        shown
            + match self.speed {
                Speed::Slow => passed / SLOWER,
                Speed::Usual => passed,
                Speed::Fast => passed * FASTER,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_ahead_for_a_while_and_never_back() {
        let mut clock = State::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.at(at(500)), at(500));
        clock.catch_up(at(1_000));
        assert_eq!(clock.at(at(1_000)), at(1_000));
        assert_eq!(clock.at(at(2_000)), at(7_000));
        // Asked again in the middle, it is in a hurry already.
        clock.catch_up(at(2_000));
        assert_eq!(clock.at(at(11_000)), at(61_000));
        assert_eq!(clock.at(at(12_000)), at(62_000));
        clock.catch_up(at(20_000));
        assert_eq!(clock.at(at(21_000)), at(76_000));
    }

    #[test]
    fn it_is_slow_during_an_outage_but_for_the_checks_of_a_restart() {
        let mut clock = State::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        clock.check(at(500));
        assert_eq!(clock.at(at(1_000)), at(1_000), "nothing to speed up");
        clock.set(at(1_000), Speed::Slow, None);
        assert_eq!(clock.at(at(11_000)), at(2_000));
        clock.check(at(11_000));
        // The answer is another description.
        clock.check(at(12_000));
        assert_eq!(clock.at(at(14_000)), at(5_000));
        assert_eq!(clock.at(at(24_000)), at(6_000));
        clock.catch_up(at(24_000));
        assert_eq!(clock.at(at(34_000)), at(66_000));
        assert_eq!(clock.at(at(35_000)), at(67_000));
    }

    #[test]
    fn the_longest_outage_leaves_sctp_a_repetition() {
        let mut clock = State::default();
        let start = Instant::now();
        let noticed = start + Duration::from_secs(5);
        clock.set(noticed, Speed::Slow, None);
        for restart in 1..=5 {
            clock.check(noticed + Duration::from_secs(25 * restart - 20));
        }
        let end = clock.at(noticed + Duration::from_secs(120));
        assert!(end - start < Duration::from_secs(31), "{:?}", end - start);
    }

    #[test]
    fn a_sleep_notices_a_change_of_speed() {
        let clock = Clock::default();
        let wait = |seconds| clock.wait(Duration::from_secs_f64(seconds));
        assert_eq!(wait(6.0), Duration::from_secs(6));
        clock.dawdle();
        assert_eq!(wait(6.0), NAP);
        assert_eq!(wait(0.01), Duration::from_millis(100));
        clock.catch_up();
        assert_eq!(wait(6.0), NAP);
        assert_eq!(wait(0.6), Duration::from_millis(100));
    }
}
