//! Which layer of a simulcast one receiver gets: the best that it does not lose too much of.
//!
//! What a receiver can take is only known by its reports of loss (RFC 3550 section 6.4.1): our engine has no estimate of
//! a path's rate for packets that it did not pace. So a better layer is tried after a while, and given up if it loses;
//! each try that fails doubles the time to the next one.

use std::time::{Duration, Instant};

/// Loss in one report, about a second, that is too much at once, and that is too much twice in a row.
const FAR_TOO_MUCH: f32 = 0.2;
const TOO_MUCH: f32 = 0.08;

/// Below this the path is well.
const LITTLE: f32 = 0.02;

/// How long it has to be well before a better layer is tried, at first and at most. Some are more patient, up to so much:
/// if all pictures of a receiver tried at the same time, they would fail together each time.
const PATIENCE: Duration = Duration::from_secs(8);
const SPREAD: Duration = Duration::from_secs(4);
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);

/// A better layer that has lost nothing for this long is no try any more.
const PROOF: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Choice {
    /// Layers below the best one.
    below: usize,
    /// The last report said too much.
    warned: bool,
    /// Since when the path is well.
    well: Option<Instant>,
    patience: Duration,
    /// Where it begins.
    first_patience: Duration,
    /// When a better layer was last tried.
    tried: Option<Instant>,
}

impl Choice {
    /// `chance`: any number, by which receivers differ.
    pub(super) fn new(chance: u32) -> Self {
        let first_patience = PATIENCE + SPREAD * (chance % 16) / 16;
        Self {
            below: 0,
            warned: false,
            well: None,
            patience: first_patience,
            first_patience,
            tried: None,
        }
    }

    /// How many layers below the best one of `layers`.
    pub(super) fn below(&self, layers: usize) -> usize {
        self.below.min(layers.saturating_sub(1))
    }

    /// The receiver lost this part, 0 to 1, of what it was sent since its last report.
    pub(super) fn reported(&mut self, now: Instant, lost: f32, layers: usize) {
        let was_warned = std::mem::replace(&mut self.warned, lost > TOO_MUCH);
        if lost > FAR_TOO_MUCH || (was_warned && self.warned) {
            self.warned = false;
            self.well = None;
            if self.below + 1 < layers {
                self.below += 1;
            }
            if self.tried.take().is_some_and(|tried| now - tried < PROOF) {
                self.patience = (2 * self.patience).min(LONGEST_PATIENCE);
            }
            return;
        }
        if lost > LITTLE {
            self.well = None;
            return;
        }
        if self.tried.is_some_and(|tried| now - tried >= PROOF) {
            self.tried = None;
            self.patience = self.first_patience;
        }
        let since = *self.well.get_or_insert(now);
        self.below = self.below(layers);
        if self.below > 0 && now - since >= self.patience {
            self.below -= 1;
            self.tried = Some(now);
            self.well = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses, each so many times, and what comes of them.
    type Row<'a> = (&'a [(f32, usize)], &'a [usize]);

    /// One report a second; returns the layers below the best after each.
    fn run(losses: &[(f32, usize)]) -> Vec<usize> {
        let start = Instant::now();
        let mut choice = Choice::new(0);
        let mut second = 0;
        let mut out = Vec::new();
        for (lost, times) in losses {
            for _ in 0..*times {
                second += 1;
                choice.reported(start + Duration::from_secs(second), *lost, 3);
            }
            out.push(choice.below(3));
        }
        out
    }

    #[test]
    fn loss_lowers_and_time_raises() {
        let rows: &[Row<'_>] = &[
            // A little is nothing, and so is much once.
            (&[(0.05, 20), (0.1, 1), (0.0, 1), (0.1, 1)], &[0, 0, 0, 0]),
            (&[(0.1, 2)], &[1]),
            (&[(0.5, 1), (0.5, 1), (0.5, 5)], &[1, 2, 2]),
            (&[(0.5, 2), (0.0, 8), (0.0, 1), (0.0, 8)], &[2, 2, 1, 0]),
            // The second try has to wait for longer.
            (
                &[(0.5, 1), (0.0, 9), (0.5, 1), (0.0, 9), (0.0, 8)],
                &[1, 0, 1, 1, 0],
            ),
            // In between neither.
            (&[(0.5, 1), (0.05, 100)], &[1, 1]),
        ];
        for (losses, expected) in rows {
            assert_eq!(run(losses), *expected, "{losses:?}");
        }
    }

    #[test]
    fn one_layer_is_never_left() {
        let mut choice = Choice::new(0);
        for second in 0..10 {
            choice.reported(Instant::now() + Duration::from_secs(second), 1.0, 1);
            assert_eq!(choice.below(1), 0);
        }
    }
}
