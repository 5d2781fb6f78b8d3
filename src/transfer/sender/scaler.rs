//! How many lanes there shall be: pure.
//!
//! More lanes help where loss or a long round trip holds one congestion window down, and cost where
//! the machine or the link is the limit. Which it is nobody says, so it is tried: twice as many, and if
//! that does not carry a tenth more, back.

use std::time::{Duration, Instant};

use crate::transfer::lanes::LaneCount;

/// More lanes must raise the rate by this much to stay.
const WORTHWHILE: f64 = 1.1;

/// Bytes a second above which one lane is limited by the machine, not by its window.
const FAST: f64 = 64.0 * 1024.0 * 1024.0;

/// A transfer that will be over sooner than this is not worth a trial.
const WORTH_A_TRIAL: Duration = Duration::from_secs(2);

/// A transfer of less than this stays on the first lane: a second connection takes longer to come up.
const SMALL: u64 = 8 << 20;

/// From a change to its effect, and how long the effect is measured, at least; and in round trips:
/// slow start takes about six.
const SETTLE: Duration = Duration::from_millis(300);
const SETTLE_TRIPS: u32 = 6;
const MEASURE: Duration = Duration::from_millis(500);
const MEASURE_TRIPS: u32 = 10;

/// After a trial in vain, the first and the longest time until the next.
const REST: Duration = Duration::from_secs(4);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Lanes that do not come up for this long are not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decides how many extra lanes there shall be.
#[derive(Debug)]
pub(super) struct Scaler {
    most: u16,
    total: u64,
    round_trip: Duration,
    target: u16,
    phase: Phase,
    /// What there was before a trial: lanes and rate.
    before: Option<(u16, f64)>,
    rest: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Lanes are coming up.
    Opening {
        since: Instant,
    },
    Settling {
        until: Instant,
    },
    Measuring {
        since: Instant,
        taken: u64,
        until: Instant,
    },
    Resting {
        until: Instant,
    },
    /// Nothing more to find out.
    Settled,
}

impl Scaler {
    /// For a transfer of `total` bytes to a receiver that takes `most` extra lanes.
    pub(super) fn new(
        now: Instant,
        count: LaneCount,
        most: u16,
        total: u64,
        round_trip: Duration,
    ) -> Self {
        let target = match count {
            LaneCount::Exactly(lanes) => lanes.min(most),
            LaneCount::Auto if total < SMALL => 0,
            LaneCount::Auto => most.min(1),
        };
        let phase = match count {
            LaneCount::Auto if target > 0 => Phase::Opening { since: now },
            _ => Phase::Settled,
        };
        Self {
            most,
            total,
            round_trip,
            target,
            phase,
            before: None,
            rest: REST,
        }
    }

    /// How many extra lanes there shall be, given how many there are and how many bytes of the transfer
    /// the receiver has taken.
    pub(super) fn target(&mut self, now: Instant, active: u16, taken: u64) -> u16 {
        match self.phase {
            Phase::Opening { .. } if active >= self.target => {
                let until = now + SETTLE.max(self.round_trip * SETTLE_TRIPS);
                self.phase = Phase::Settling { until };
            }
            Phase::Opening { since } if now >= since + PATIENCE => {
                // What did not come up is not tried again soon.
                self.target = active.max(1);
                self.before = None;
                self.rest(now);
            }
            Phase::Settling { until } if now >= until => self.measure(now, taken),
            Phase::Resting { until } if now >= until => self.measure(now, taken),
            Phase::Measuring {
                since,
                taken: from,
                until,
            } if now >= until => {
                let rate = taken.saturating_sub(from) as f64 / (now - since).as_secs_f64();
                self.measured(now, rate, taken);
            }
            _ => {}
        }
        self.target
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening { since } => Some(since + PATIENCE),
            Phase::Settling { until }
            | Phase::Measuring { until, .. }
            | Phase::Resting { until } => Some(until),
            Phase::Settled => None,
        }
    }

    fn measure(&mut self, now: Instant, taken: u64) {
        let until = now + MEASURE.max(self.round_trip * MEASURE_TRIPS);
        self.phase = Phase::Measuring {
            since: now,
            taken,
            until,
        };
    }

    fn measured(&mut self, now: Instant, rate: f64, taken: u64) {
        if let Some((lanes, before)) = self.before.take()
            && rate < before * WORTHWHILE
        {
            tracing::debug!(lanes = self.target, rate, before, "more lanes did not help");
            self.target = lanes;
            return self.rest(now);
        }
        let left = self.total.saturating_sub(taken) as f64;
        if rate >= FAST || self.target >= self.most || left < rate * WORTH_A_TRIAL.as_secs_f64() {
            return self.rest(now);
        }
        self.before = Some((self.target, rate));
        self.target = (self.target * 2).min(self.most);
        tracing::debug!(lanes = self.target, rate, "trying more lanes");
        self.phase = Phase::Opening { since: now };
    }

    fn rest(&mut self, now: Instant) {
        self.phase = Phase::Resting {
            until: now + self.rest,
        };
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: f64 = 1024.0 * 1024.0;

    /// Lets a transfer of 4 GiB run for a minute over lanes that together carry `rate(lanes)`, and
    /// returns how many there were at each tenth of a second.
    fn run(most: u16, rate: impl Fn(u16) -> f64) -> Vec<u16> {
        let mut now = Instant::now();
        let mut scaler = Scaler::new(
            now,
            LaneCount::Auto,
            most,
            4 << 30,
            Duration::from_millis(50),
        );
        let (mut taken, mut lanes, mut history) = (0.0, 0, Vec::new());
        for _ in 0..600 {
            lanes = scaler.target(now, lanes, taken as u64);
            taken += rate(lanes) / 10.0;
            now += Duration::from_millis(100);
            history.push(lanes);
        }
        history
    }

    #[test]
    fn a_path_that_holds_each_lane_down_gets_as_many_as_help() {
        let history = run(16, |lanes| (f64::from(lanes) * MIB).min(7.5 * MIB));
        assert!(
            history[100..].iter().all(|lanes| (4..=16).contains(lanes)),
            "{history:?}"
        );
        let usual = history[100..].iter().filter(|lanes| **lanes == 8).count();
        assert!(usual > 300, "{history:?}");
    }

    #[test]
    fn a_link_that_is_full_keeps_one_lane() {
        let history = run(16, |_| 12.0 * MIB);
        let alone = history.iter().filter(|lanes| **lanes == 1).count();
        assert!(alone > 540, "{history:?}");
    }

    #[test]
    fn a_machine_at_its_limit_is_left_alone() {
        assert!(run(16, |_| 300.0 * MIB).iter().all(|lanes| *lanes == 1));
    }

    #[test]
    fn what_was_asked_for_is_what_there_is() {
        let now = Instant::now();
        let mut scaler = Scaler::new(now, LaneCount::Exactly(4), 16, 100, Duration::ZERO);
        assert_eq!((scaler.target(now, 0, 0), scaler.deadline()), (4, None));
        let mut limited = Scaler::new(now, LaneCount::Exactly(9), 3, 100, Duration::ZERO);
        assert_eq!(limited.target(now, 0, 0), 3);
        let mut small = Scaler::new(now, LaneCount::Auto, 16, 100, Duration::ZERO);
        assert_eq!((small.target(now, 0, 0), small.deadline()), (0, None));
    }

    #[test]
    fn lanes_that_do_not_come_up_are_not_waited_for() {
        let now = Instant::now();
        let mut scaler = Scaler::new(now, LaneCount::Auto, 16, 4 << 30, Duration::ZERO);
        assert_eq!(scaler.target(now, 0, 0), 1);
        let later = scaler.deadline().expect("it waits");
        assert_eq!(scaler.target(later, 0, 0), 1);
        assert!(scaler.deadline().expect("it rests") > later);
    }

    proptest! {
        #[test]
        fn never_more_than_allowed_and_never_none(
            most in 1u16..=16,
            steps in proptest::collection::vec((0u64..5000, 0u16..20, 0u64..1 << 28), 1..200),
        ) {
            let mut now = Instant::now();
            let mut scaler = Scaler::new(now, LaneCount::Auto, most, 4 << 30, Duration::from_millis(10));
            let mut taken = 0;
            for (ms, active, more) in steps {
                now += Duration::from_millis(ms);
                taken += more;
                let target = scaler.target(now, active, taken);
                prop_assert!((1..=most.max(active)).contains(&target));
                prop_assert!(scaler.deadline().is_some());
            }
        }
    }
}
