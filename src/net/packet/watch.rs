//! Whether a size in use still gets through (RFC 8899 section 4.3, black hole detection): pure.
//!
//! Each round sends a probe of the full size and right behind it a small one. That the small one is
//! answered and the full one is not, again and again, is what only a path does that swallows large
//! datagrams: an outage swallows both, and loss hits either.

use std::time::{Duration, Instant};

/// Between two rounds. [`ROUNDS`] of them and a round trip of up to half a second are less than a second.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// Rounds in a row that only the small probe survived. At 5 % loss in each direction this happens by
/// chance once in 16,000 rounds, 27 minutes; a lane is then replaced for nothing.
const ROUNDS: u32 = 4;

/// Rounds whose answers are awaited: beyond a second a probe is lost.
const AWAITED: usize = 10;

/// One size in use.
#[derive(Debug)]
pub(super) struct Watch {
    rounds: Vec<Round>,
    next: u64,
    due: Instant,
    proven: bool,
    suspicion: u32,
}

#[derive(Debug)]
struct Round {
    number: u64,
    full: bool,
    small: bool,
}

/// What a watch has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Unknown,
    /// The size gets through.
    Carried,
    /// It does not, while less does.
    Swallowed,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rounds: Vec::new(),
            next: 0,
            due: now,
            proven: false,
            suspicion: 0,
        }
    }

    /// When the next round begins.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Begins a round if it is time: its number, for both probes.
    pub(super) fn begin(&mut self, now: Instant) -> Option<u64> {
        if now < self.due {
            return None;
        }
        self.due = now + EVERY;
        let number = self.next;
        self.next += 1;
        if self.rounds.len() == AWAITED {
            self.rounds.remove(0);
        }
        self.rounds.push(Round {
            number,
            full: false,
            small: false,
        });
        Some(number)
    }

    /// The full or the small probe of a round was answered.
    pub(super) fn answered(&mut self, number: u64, full: bool) {
        let Some(at) = self.rounds.iter().position(|round| round.number == number) else {
            return;
        };
        let round = &mut self.rounds[at];
        if full {
            round.full = true;
            self.proven = true;
            self.suspicion = 0;
            // Earlier rounds say nothing any more.
            self.rounds.drain(..at);
        } else if !std::mem::replace(&mut round.small, true) && !round.full {
            self.suspicion = self
                .rounds
                .iter()
                .filter(|round| round.small && !round.full)
                .count() as u32;
        }
    }

    /// A round counts against the size once a later one could be answered: the full probe of the last
    /// one may be just behind its small one.
    pub(super) fn verdict(&self) -> Verdict {
        match (self.suspicion > ROUNDS - 1, self.proven) {
            (true, _) => Verdict::Swallowed,
            (false, true) => Verdict::Carried,
            (false, false) => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a path, each with what of it is answered: full, small. Returns the first verdict that
    /// the size is swallowed, in rounds.
    fn swallowed_after(fates: impl Iterator<Item = (bool, bool)>) -> Option<usize> {
        let mut now = Instant::now();
        let mut watch = Watch::new(now);
        for (round, (full, small)) in fates.enumerate() {
            let number = watch.begin(now).expect("it is time");
            assert_eq!(watch.begin(now), None);
            if full {
                watch.answered(number, true);
            }
            if small {
                watch.answered(number, false);
            }
            if watch.verdict() == Verdict::Swallowed {
                return Some(round + 1);
            }
            now = watch.due();
        }
        None
    }

    #[test]
    fn a_black_hole_is_noticed_within_a_second() {
        let fates = std::iter::repeat_n((true, true), 20).chain(std::iter::repeat((false, true)));
        let rounds = swallowed_after(fates.take(100)).expect("noticed") - 20;
        assert!(
            EVERY * (rounds as u32 + 1) < Duration::from_secs(1),
            "{rounds}"
        );
    }

    #[test]
    fn an_outage_and_loss_are_no_black_hole() {
        assert_eq!(
            swallowed_after(std::iter::repeat_n((false, false), 1000)),
            None
        );
        assert_eq!(swallowed_after((0..1000).map(|i| (i % 3 == 0, true))), None);
        assert_eq!(swallowed_after((0..1000).map(|i| (true, i % 5 == 0))), None);
    }

    #[test]
    fn only_an_answer_to_the_full_size_proves_it() {
        let now = Instant::now();
        let mut watch = Watch::new(now);
        let first = watch.begin(now).expect("at once");
        watch.answered(first, false);
        watch.answered(first + 1, true);
        assert_eq!(watch.verdict(), Verdict::Unknown);
        watch.answered(first, true);
        assert_eq!(watch.verdict(), Verdict::Carried);
    }
}
