//! A limit on bytes a second, for all lanes of a transfer together: pure.
//!
//! A token bucket that may be overdrawn by one message: what was sent is paid for before the next one. Over
//! any span, no more than the limit allows, a tenth of a second of it and one message go through.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::channel::FULL_MESSAGE;

/// What was not used is kept for this long: longer than a timer is late, and too short to be felt as a burst.
const SAVED: Duration = Duration::from_millis(100);

/// Messages a second that a limit should allow at least: fewer, larger ones would come in jerks.
const MESSAGES: u64 = 20;

/// Smallest messages: what is around them must stay a small part.
const LEAST_MESSAGE: u64 = 4 << 10;

/// Below this limit (1 MiB a second) all goes over the first lane: divided among lanes, what each of them
/// carries would be too little to tell a slow lane from a broken one.
const FOR_LANES: u64 = 1 << 20;

/// What is missing of a byte may round to no time at all, and who waits for that waits forever.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// Bytes a second, and what of them is left.
#[derive(Debug)]
pub(super) struct Throttle(Option<Bucket>);

#[derive(Debug)]
struct Bucket {
    rate: f64,
    /// Negative: overdrawn.
    tokens: f64,
    at: Instant,
}

impl Throttle {
    /// Without a limit everything goes through at once.
    pub(super) fn new(now: Instant, limit: Option<NonZeroU64>) -> Self {
        Self(limit.map(|limit| Bucket {
            rate: limit.get() as f64,
            tokens: 0.0,
            at: now,
        }))
    }

    /// When the next message may go through; `None` if it is now.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        let bucket = self.0.as_ref()?;
        let missing = -bucket.filled(now);
        (missing > 0.0)
            .then(|| now + Duration::from_secs_f64(missing / bucket.rate).max(SHORTEST_WAIT))
    }

    /// A message went through.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) {
        if let Some(bucket) = &mut self.0 {
            bucket.tokens = bucket.filled(now) - bytes as f64;
            bucket.at = bucket.at.max(now);
        }
    }
}

impl Bucket {
    fn filled(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + self.rate * elapsed).min(self.rate * SAVED.as_secs_f64())
    }
}

/// How long messages should be so that a limit is felt as an even flow.
pub(super) fn message_size(limit: Option<NonZeroU64>) -> usize {
    let even = limit.map_or(u64::MAX, |limit| limit.get() / MESSAGES);
    even.clamp(LEAST_MESSAGE, FULL_MESSAGE as u64) as usize
}

/// Whether a transfer with this limit has any use for more than its first lane.
pub(super) fn allows_lanes(limit: Option<NonZeroU64>) -> bool {
    limit.is_none_or(|limit| limit.get() >= FOR_LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(bytes)
    }

    /// Sends as much as it may for `span`, with timers that are `late`, and returns when it sent how much.
    fn greedy(rate: u64, message: usize, span: Duration, late: Duration) -> Vec<(Duration, usize)> {
        let start = Instant::now();
        let mut throttle = Throttle::new(start, limit(rate));
        let (mut now, mut sent) = (start, Vec::new());
        while now < start + span {
            match throttle.wait(now) {
                Some(until) => now = until + late,
                None => {
                    throttle.spend(now, message);
                    sent.push((now - start, message));
                }
            }
        }
        sent
    }

    #[test]
    fn bytes_over_time_keep_to_the_limit_at_any_rate_and_with_late_timers() {
        const SPAN: Duration = Duration::from_secs(20);
        for (rate, message) in [
            (1 << 10, 4 << 10),
            (40 << 10, 4 << 10),
            (5 << 20, 65_535),
            (1 << 30, 65_535),
        ] {
            for late in [0, 1, 10, 50].map(Duration::from_millis) {
                let sent = greedy(rate, message, SPAN, late);
                let total: usize = sent.iter().map(|(_, bytes)| bytes).sum();
                let expected = rate as f64 * SPAN.as_secs_f64();
                let slack = rate as f64 * SAVED.as_secs_f64() + message as f64;
                let what = format!("{total} of {expected} at {rate}, {late:?} late");
                assert!(total as f64 <= expected + slack, "too much: {what}");
                assert!(total as f64 >= expected - 2.0 * slack, "too little: {what}");
                // And over every second of it, not only in the end.
                for begin in (0..20).map(Duration::from_secs) {
                    let second = begin..begin + Duration::from_secs(1);
                    let within = sent.iter().filter(|(at, _)| second.contains(at));
                    let within: usize = within.map(|(_, bytes)| bytes).sum();
                    assert!(within as f64 <= rate as f64 + slack, "a burst: {what}");
                }
            }
        }
    }

    #[test]
    fn an_hour_of_silence_is_no_right_to_a_burst() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start, limit(1000));
        let now = start + Duration::from_secs(3600);
        let mut through = 0;
        while throttle.wait(now).is_none() {
            throttle.spend(now, 10);
            through += 10;
        }
        assert!((100..=120).contains(&through), "{through}");
        // A clock that seems to go back changes nothing.
        assert!(throttle.wait(start).is_some());
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = Instant::now();
        let mut throttle = Throttle::new(now, None);
        throttle.spend(now, usize::MAX);
        assert_eq!(throttle.wait(now), None);
        assert_eq!(message_size(None), FULL_MESSAGE);
        assert!(allows_lanes(None) && allows_lanes(limit(1 << 20)));
    }

    #[test]
    fn a_low_limit_means_small_messages_on_one_lane() {
        assert_eq!(message_size(limit(1)), 4 << 10);
        assert_eq!(message_size(limit(200 << 10)), 10 << 10);
        assert_eq!(message_size(limit(u64::MAX)), FULL_MESSAGE);
        assert!(!allows_lanes(limit((1 << 20) - 1)));
    }
}
