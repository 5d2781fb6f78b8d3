//! The engine's clock, which can run ahead for a while.
//!
//! SCTP doubles the time to its next repetition each time nothing is acknowledged, up to a minute, and
//! the engine lets nobody change that. After an outage of 40 s a path that works again would therefore
//! carry nothing for up to 20 s more. ICE, DTLS and SCTP of one connection share this clock, so letting it
//! run faster once the path is back brings the next repetition forward; SCTP measures the round trip on
//! the same clock, so its timers stay in proportion.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much faster it runs. ICE counts a path as gone after 5 s without a sign of life and asks for one
/// every 2 s: at this rate a round trip of half a second still passes.
const FASTER: u32 = 6;

/// How long, by everybody else's clock: [`FASTER`] times this is SCTP's longest timeout of 60 s.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Time as the engine of one connection sees it. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By how much this clock is ahead for good.
    ahead: Duration,
    /// Since when it has been running faster.
    hurrying: Option<Instant>,
}

impl Clock {
    /// From now on it runs faster, for [`CATCH_UP`].
    pub(crate) fn catch_up(&self) {
        self.hurry(Instant::now());
    }

    pub(super) fn now(&self) -> Instant {
        self.at(Instant::now())
    }

    /// How long to wait until this clock has moved on by `duration`.
    pub(super) fn wait(&self, duration: Duration) -> Duration {
        match self.lock().hurrying {
            Some(_) => duration / FASTER,
            None => duration,
        }
    }

    fn hurry(&self, now: Instant) {
        let mut state = self.lock();
        state.settle(now);
        state.hurrying.get_or_insert(now);
    }

    fn at(&self, now: Instant) -> Instant {
        let mut state = self.lock();
        state.settle(now);
        let gained = state
            .hurrying
            .map_or(Duration::ZERO, |since| gained(now - since));
        now + state.ahead + gained
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends a hurry that has lasted long enough.
    fn settle(&mut self, now: Instant) {
        if self.hurrying.is_some_and(|since| now - since >= CATCH_UP) {
            self.hurrying = None;
            self.ahead += gained(CATCH_UP);
        }
    }
}

fn gained(hurried: Duration) -> Duration {
    hurried * (FASTER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_ahead_for_a_while_and_never_back() {
        let clock = Clock::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.at(at(500)), at(500));
        clock.hurry(at(1_000));
        assert_eq!(clock.at(at(1_000)), at(1_000));
        assert_eq!(clock.at(at(2_000)), at(7_000));
        assert_eq!(clock.wait(Duration::from_secs(6)), Duration::from_secs(1));
        // Asked again in the middle, it is in a hurry already.
        clock.hurry(at(2_000));
        assert_eq!(clock.at(at(11_000)), at(61_000));
        assert_eq!(clock.at(at(12_000)), at(62_000));
        assert_eq!(clock.wait(Duration::from_secs(6)), Duration::from_secs(6));
        clock.hurry(at(20_000));
        assert_eq!(clock.at(at(21_000)), at(76_000));
    }
}
