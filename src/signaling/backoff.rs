//! How long to wait before the next attempt to come back.

use rand::RngExt;
use signaling_protocol::limits::RESUME_WINDOW;
use std::time::{Duration, Instant};

/// The first wait; most losses are a proxy or a network that changed, and over at once.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double, each drawn anew, so that a crowd does not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    give_up: Instant,
    not_before: Instant,
    longest: Duration,
}

impl Backoff {
    /// After a loss at `now`. A server that goes away says for how long it wants to be left alone.
    pub(super) fn new(now: Instant, asked: Duration) -> Self {
        Self {
            give_up: now + RESUME_WINDOW,
            not_before: now + asked.min(RESUME_WINDOW / 2),
            longest: FIRST,
        }
    }

    /// How long to wait now; `None` when the server has given the place away.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        let wait = rand::rng().random_range(Duration::ZERO..=self.longest);
        let wait = wait.max(self.not_before.saturating_duration_since(now));
        self.longest = (self.longest * 2).min(LONGEST);
        (now + wait < self.give_up).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_ends_with_the_window() {
        let start = Instant::now();
        let mut backoff = Backoff::new(start, Duration::ZERO);
        let mut now = start;
        let mut attempts = 0;
        while let Some(wait) = backoff.next(now) {
            assert!(wait <= LONGEST && (attempts > 0 || wait <= FIRST));
            attempts += 1;
            // An attempt takes some time too.
            now += wait + Duration::from_millis(10);
        }
        assert!((25..1000).contains(&attempts), "{attempts}");
        assert!(now - start >= RESUME_WINDOW - LONGEST);
    }

    #[test]
    fn waits_as_long_as_it_was_asked_to() {
        let now = Instant::now();
        let asked = Duration::from_secs(4);
        assert!(Backoff::new(now, asked).next(now).unwrap() >= asked);
        let absurd = Duration::from_secs(1 << 40);
        assert!(Backoff::new(now, absurd).next(now).unwrap() <= RESUME_WINDOW / 2);
    }
}
