//! A rate with a burst. The caller brings the time.

use std::time::{Duration, Instant};

/// A token bucket, kept as the time at which it will be full again: one number, no rounding drift.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    /// Time in which one token comes back.
    interval: Duration,
    /// Time in which an empty bucket fills.
    fill: Duration,
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens, of which `count` come back in each `per`. Zeros count as
    /// one.
    pub(crate) fn new(count: u32, per: Duration, burst: u32, now: Instant) -> Self {
        let interval = per / count.max(1);
        Self {
            interval,
            fill: interval * burst.max(1),
            full_at: now,
        }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        if full_at - now > self.fill {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Whether there is no token to take.
    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        self.full_at.max(now) + self.interval - now > self.fill
    }

    /// Whether nothing is missing, so that forgetting the bucket changes nothing.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_burst_and_then_the_rate() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = TokenBucket::new(50, Duration::from_secs(1), 200, start);
        assert_eq!((0..1000).filter(|_| bucket.take(at(0))).count(), 200);
        assert!(!bucket.take(at(19)));
        assert!(bucket.take(at(20)));
        assert!(!bucket.take(at(20)));
        assert_eq!((0..1000).filter(|_| bucket.take(at(1020))).count(), 50);
        assert!(!bucket.is_full(at(5019)));
        assert!(bucket.is_full(at(5020)));
        assert_eq!(
            (0..1000).filter(|_| bucket.take(at(3_600_000))).count(),
            200
        );
    }

    #[test]
    fn a_clock_that_seems_to_step_back_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = TokenBucket::new(1, Duration::from_secs(1), 1, start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start - Duration::from_secs(5)));
        assert!(bucket.take(start + Duration::from_secs(1)));
    }
}
