//! When an encoder is given another rate.
//!
//! Pure. `ffmpeg` takes a rate only when it starts, and an encoder that starts makes a key frame: so a rate is left only
//! for one that is clearly another, down soon and up with patience.

use std::time::{Duration, Instant};

/// Bits a second at first and between which a picture is worth having. [`super::program`] makes them.
pub(super) const START: u64 = 450_000;
const LEAST: u64 = 50_000;
const MOST: u64 = 1_500_000;

/// What sound and headers take of a path: 48 kbit/s of Opus with its headers, and 5 %.
const SOUND: u64 = 70_000;

/// Between two changes: to less, and to more.
const DOWN: Duration = Duration::from_millis(1_000);
const UP: Duration = Duration::from_millis(5_000);

/// The rate of an encoder.
#[derive(Debug)]
pub(super) struct Plan {
    rate: u64,
    changed: Instant,
}

impl Plan {
    /// An encoder starts.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: START,
            changed: now,
        }
    }

    /// What it makes, in bits a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// The path carries so much; another rate, if the encoder shall have one from now on.
    pub(super) fn path(&mut self, now: Instant, carries: u64) -> Option<u64> {
        let wanted = (carries.saturating_sub(SOUND) / 20 * 19).clamp(LEAST, MOST);
        let since = now.saturating_duration_since(self.changed);
        let is_less = 10 * wanted < 9 * self.rate && since >= DOWN;
        let is_more = 4 * wanted >= 5 * self.rate && since >= UP;
        // The last step may be a small one.
        let is_all = wanted == MOST && self.rate < MOST && since >= UP;
        (is_less || is_more || is_all).then(|| {
            self.rate = wanted;
            self.changed = now;
            wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_fall_soon_and_rise_with_patience() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut plan = Plan::new(start);
        let rows = [
            // Too soon, and then at once.
            (500, 200_000, None),
            (1_000, 200_000, Some(123_500)),
            // Not much of a difference.
            (2_500, 190_000, None),
            // More, once it has been so for a while.
            (3_000, 900_000, None),
            (6_000, 900_000, Some(788_500)),
            (11_000, 900_000, None),
            (11_000, 10_000_000, Some(MOST)),
            (12_500, 0, Some(LEAST)),
        ];
        for (ms, carries, rate) in rows {
            assert_eq!(plan.path(at(ms), carries), rate, "{carries} at {ms} ms");
        }
    }

    proptest! {
        #[test]
        fn changes_are_few_and_within_bounds(paths in proptest::collection::vec(0u64..5_000_000, 0..200)) {
            let start = Instant::now();
            let mut plan = Plan::new(start);
            let mut changes = 0;
            for (index, carries) in paths.iter().enumerate() {
                let now = start + Duration::from_millis(100 * index as u64);
                changes += u64::from(plan.path(now, *carries).is_some());
                prop_assert!((LEAST..=MOST).contains(&plan.rate()));
            }
            prop_assert!(changes <= paths.len() as u64 / 10);
        }
    }
}
