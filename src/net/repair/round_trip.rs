//! How long the path takes (RFC 9002 section 5): pure.

use std::time::Duration;

/// Before anything was measured (RFC 9002 section 6.2.2).
const INITIAL: Duration = Duration::from_millis(333);

/// What a timer is late by, and what an answer waits for its turn.
const GRANULARITY: Duration = Duration::from_millis(2);

/// A queue stands when no datagram of a round was faster than this and the shortest round trip together
/// (`MIN_RTT_THRESH` of RFC 9406). A full queue of 64 KiB at 100 Mbit/s takes 5 ms; with an eighth of the round trip,
/// as there, it went unseen, and Reno beside a lane got 2.5 Mbit/s in place of 12.
const QUEUE: Duration = Duration::from_millis(4);

/// Over so many the jitter is averaged (RFC 3550 section 6.4.1).
const JITTER_SAMPLES: u32 = 16;

/// Jitter that is tolerated even if the round trip is shorter.
const TOLERANCE: Duration = Duration::from_millis(50);

/// Estimates from the times that acknowledgements took.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    latest: Duration,
    /// From one to the next (RFC 3550 section 6.4.1). A queue that grows hardly shows in it.
    jitter: Duration,
    samples: u32,
    shortest: Option<Duration>,
    /// How often something that counted as lost came after all.
    spurious: u32,
}

impl RoundTrip {
    /// An acknowledgement took this long, and waited `delay` of it at the receiver.
    pub(super) fn measured(&mut self, took: Duration, delay: Duration) -> Duration {
        // A receiver that claims more than it can have waited is not believed.
        let sample = match took.checked_sub(delay) {
            Some(sample) if !sample.is_zero() => sample,
            _ => took,
        };
        if self.smoothed.is_some() {
            // The mean of the first few, then of the last few.
            self.samples = (self.samples + 1).min(JITTER_SAMPLES);
            let change = self.latest.abs_diff(sample);
            self.jitter = (self.jitter * (self.samples - 1) + change) / self.samples;
        }
        self.latest = sample;
        self.shortest = Some(
            self.shortest
                .map_or(sample, |shortest| shortest.min(sample)),
        );
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
        sample
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL)
    }

    /// Something of each round is faster than this when no queue stands in the path: the shortest ever, and what
    /// jitter may add even to the fastest of a few.
    pub(super) fn unqueued(&self) -> Duration {
        self.shortest.unwrap_or(INITIAL) + QUEUE + 2 * self.jitter
    }

    /// What was sent this long before something that is acknowledged is lost. Only time counts, not how many
    /// overtook it: a jitter of 5 ms reorders 40 datagrams at 100 Mbit/s (compare RFC 8985).
    pub(super) fn loss_delay(&self) -> Duration {
        let longest = self.smoothed().max(self.latest);
        let tolerance = (longest / 8).max(GRANULARITY).max(3 * self.jitter);
        let tolerance = tolerance * (1 << self.spurious.min(8));
        longest + tolerance.min(longest.max(TOLERANCE))
    }

    /// What counted as lost was only late: from now on that is waited for twice as long, up to a round trip
    /// (RFC 8985 section 6.2, step 4).
    pub(super) fn was_only_late(&mut self) {
        self.spurious += 1;
    }

    /// How long nothing may be acknowledged before something is sent again to ask (RFC 9002 section 6.2.1).
    pub(super) fn probe_delay(&self) -> Duration {
        match self.smoothed {
            None => 2 * INITIAL,
            Some(smoothed) => smoothed + (self.variation * 4).max(GRANULARITY) + GRANULARITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_and_the_shortest_stays() {
        let ms = Duration::from_millis;
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.probe_delay(), 2 * INITIAL);
        assert_eq!(round_trip.measured(ms(110), ms(10)), ms(100));
        assert_eq!(round_trip.probe_delay(), ms(100) + ms(200) + GRANULARITY);
        for _ in 0..100 {
            round_trip.measured(ms(200), ms(0));
        }
        assert!(round_trip.smoothed() > ms(199));
        assert!(round_trip.loss_delay() > ms(224) && round_trip.loss_delay() <= ms(225));
        assert!(round_trip.probe_delay() < ms(206));
        assert!(round_trip.unqueued() < ms(105), "{round_trip:?}");
    }

    #[test]
    fn jitter_is_no_queue_and_a_queue_that_grows_no_jitter() {
        let mut growing = RoundTrip::default();
        let mut jittery = RoundTrip::default();
        for step in 0..100_u64 {
            growing.measured(Duration::from_micros(100_000 + 200 * step), Duration::ZERO);
            jittery.measured(Duration::from_millis(100 + step * 7 % 20), Duration::ZERO);
        }
        assert!(growing.unqueued() < Duration::from_micros(104_500));
        assert!(
            jittery.unqueued() > Duration::from_millis(115),
            "{jittery:?}"
        );
    }

    #[test]
    fn a_receiver_that_claims_to_have_waited_too_long_is_not_believed() {
        let ms = Duration::from_millis;
        assert_eq!(RoundTrip::default().measured(ms(50), ms(50)), ms(50));
        assert_eq!(RoundTrip::default().measured(ms(50), ms(60)), ms(50));
    }
}
