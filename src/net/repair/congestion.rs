//! How much a repaired way may have on its way: pure.
//!
//! CUBIC (RFC 9438) with slow start that ends when a queue builds up (HyStart++, RFC 9406), but for what it takes for
//! congestion. Loss alone says little on a path that loses at random, so two things count: loss while a queue
//! stands in the path, which is how TCP Veno tells them apart (Fu and Liew, IEEE JSAC 2003), and more loss in a
//! round trip than [`BUDGET`], queue or not, as in BBR (draft-ietf-ccwg-bbr, `BBR.LossThresh`): queues that
//! are too short to be seen, and policers.

use std::time::{Duration, Instant};

/// Loss that is no sign of congestion, if no queue stands.
const BUDGET: f64 = 0.02;

/// Samples from which the current round tells whether a queue stands (RFC 9406, `N_RTT_SAMPLE`).
const SAMPLES: u32 = 8;

/// Slow start ends after so many rounds with a queue, in which it grows by a quarter only (RFC 9406,
/// `CSS_ROUNDS` and `CSS_GROWTH_DIVISOR`): one may have been a busy machine.
const CAREFUL_ROUNDS: u32 = 5;
const CAREFUL_GROWTH: usize = 4;

/// Slow start goes on after so many rounds of few datagrams that lost too many of them.
const CHANCES: u32 = 3;

/// Rounds are judged by the budget together until there are so many datagrams.
const JUDGED: u32 = 100;

/// What is left of the window after congestion (RFC 9438 section 4.6), and after slow start, which goes to twice of
/// what fits.
const LEFT: f64 = 0.7;
const OVERSHOOT: f64 = 0.5;

/// Datagrams a cubed second (RFC 9438 section 5), and a round trip where Reno is faster (section 4.3).
const CUBIC: f64 = 0.4;
const RENO: f64 = 3.0 * (1.0 - LEFT) / (1.0 + LEFT);

/// In datagrams: the first window (RFC 9002 section 7.2) and the smallest.
const INITIAL: usize = 10;
const LEAST: usize = 4;

/// The congestion window of one lane.
#[derive(Debug)]
pub(super) struct Congestion {
    window: usize,
    most: usize,
    /// The largest datagram so far.
    datagram: usize,
    starting: bool,
    /// How often more slow start may meet losses without a queue before it ends.
    chances: u32,
    /// Rounds in a row in which a queue stood.
    queued: u32,
    /// Where the window was when there was congestion: growth is slowest around it.
    plateau: f64,
    growth: Option<Growth>,
    round: Round,
    /// The shortest round trip of the round before.
    before: Option<Duration>,
    /// Acknowledged and lost datagrams that are judged together.
    acknowledged: u32,
    lost: u32,
}

/// Growth since some time without congestion in which the window was used.
#[derive(Debug)]
struct Growth {
    since: Instant,
    /// Seconds from then to the plateau.
    plateau: f64,
    /// The window that Reno would have.
    reno: f64,
}

/// From one datagram to the acknowledgement of one that was sent after its.
#[derive(Debug, Default)]
struct Round {
    /// It ends when this number is acknowledged.
    ends: u64,
    samples: u32,
    shortest: Option<Duration>,
    /// What there was before the window was made smaller, which happens once for what was sent before.
    reduced: Option<Reduced>,
}

/// What is restored if the losses were none, and what they were judged by.
#[derive(Debug)]
struct Reduced {
    window: f64,
    starting: bool,
    plateau: f64,
    judged: f64,
    queued: bool,
}

/// What an acknowledgement told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// The largest number that was acknowledged, and the next to be sent.
    pub(super) largest: u64,
    pub(super) next: u64,
    /// Newly acknowledged.
    pub(super) datagrams: u32,
    pub(super) bytes: usize,
    /// How long the largest took, if it is new, and how long that takes usually.
    pub(super) round_trip: Option<Duration>,
    pub(super) smoothed: Duration,
    /// A queue stands when no datagram of a round was faster than this.
    pub(super) unqueued: Duration,
    /// The window was used: without that its size is no finding.
    pub(super) limited: bool,
}

impl Congestion {
    /// For datagrams of `datagram` bytes, with never more than `most` bytes on their way.
    pub(super) fn new(datagram: usize, most: usize) -> Self {
        Self {
            window: INITIAL * datagram,
            most,
            datagram,
            starting: true,
            chances: CHANCES,
            queued: 0,
            plateau: 0.0,
            growth: None,
            round: Round::default(),
            before: None,
            acknowledged: 0,
            lost: 0,
        }
    }

    /// Bytes that may be on their way.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// The largest datagram so far.
    pub(super) fn datagram(&self) -> usize {
        self.datagram
    }

    /// Bytes that should leave in a round trip: a little more than the window, so that it can be used, and twice
    /// as much while it doubles. The usual quarter more (RFC 9002 section 7.7) overflows short queues.
    pub(super) fn pace(&self) -> f64 {
        self.window as f64 * if self.starting { 2.0 } else { 1.05 }
    }

    /// A datagram of this size is sent.
    pub(super) fn sending(&mut self, bytes: usize) {
        if bytes > self.datagram {
            self.datagram = bytes;
            self.window = self.window.max(LEAST * bytes);
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant, progress: &Progress) {
        self.acknowledged += progress.datagrams;
        if let Some(sample) = progress.round_trip {
            let round = &mut self.round;
            round.samples += 1;
            round.shortest = Some(round.shortest.map_or(sample, |least| least.min(sample)));
        }
        if !progress.limited {
            self.growth = None;
        } else if self.round.reduced.is_none() {
            self.grow(now, progress);
        }
        if progress.largest >= self.round.ends {
            self.queued = match self.queue_stands(progress.unqueued) {
                true => self.queued + 1,
                false => 0,
            };
            self.starting &= self.queued < CAREFUL_ROUNDS;
            self.before = self.round.shortest.or(self.before);
            if self.round.reduced.is_some() || self.acknowledged + self.lost >= JUDGED {
                (self.acknowledged, self.lost) = (0, 0);
            }
            self.round = Round {
                ends: progress.next,
                ..Round::default()
            };
        }
    }

    fn grow(&mut self, now: Instant, progress: &Progress) {
        if self.starting {
            let growth = match self.queue_stands(progress.unqueued) {
                true => progress.bytes / CAREFUL_GROWTH,
                false => progress.bytes,
            };
            self.window = self.most.min(self.window + growth);
            return;
        }
        let (window, datagram) = (self.window as f64, self.datagram as f64);
        let growth = self.growth.get_or_insert_with(|| {
            self.plateau = self.plateau.max(window);
            Growth {
                since: now,
                plateau: ((self.plateau - window) / datagram / CUBIC).cbrt(),
                reno: window,
            }
        });
        let passed = now.saturating_duration_since(growth.since) + progress.smoothed;
        let beyond = passed.as_secs_f64() - growth.plateau;
        let target = self.plateau + CUBIC * beyond.powi(3) * datagram;
        let share = progress.bytes as f64 / window;
        let reno = if growth.reno < self.plateau {
            RENO
        } else {
            1.0
        };
        growth.reno += reno * datagram * share;
        let cubic = window + (target.min(1.5 * window) - window).max(0.0) * share;
        self.window = self.most.min(cubic.max(growth.reno) as usize);
    }

    /// A datagram was lost, and so far everything below `next` was sent. `unqueued` as in [`Progress`].
    pub(super) fn lost(&mut self, next: u64, unqueued: Duration) {
        self.lost += 1;
        let window = match &self.round.reduced {
            Some(reduced) => reduced.window,
            None => self.window as f64,
        };
        // Of a round that has only begun, as if the rest of it arrived.
        let judged = f64::from(self.acknowledged + self.lost).max(window / self.datagram as f64);
        let share = f64::from(self.lost) / judged;
        let (queued, beyond) = (self.queue_stands(unqueued), self.is_beyond(judged));
        let left = match (beyond, queued) {
            (false, false) => return,
            // With a queue it grew by a quarter only.
            (true, false) if self.starting && self.queued == 0 => OVERSHOOT,
            (true, false) if self.starting => LEFT,
            // What is lost is what was too much.
            (true, false) => (1.0 - share).max(LEFT),
            (_, true) => LEFT,
        };
        if self.round.reduced.is_none() {
            self.round.reduced = Some(Reduced {
                window,
                judged,
                queued,
                starting: self.starting,
                plateau: self.plateau,
            });
            self.round.ends = next;
            self.plateau = match self.starting {
                true => window * left,
                // Less than the last time: others have come, and get room (RFC 9438 section 4.7).
                false if window < self.plateau => window * (1.0 + LEFT) / 2.0,
                false => window,
            };
            // A handful of losses in the first rounds may be chance, and CUBIC would take seconds to come back.
            if self.starting && !queued && judged < f64::from(JUDGED) && self.chances > 0 {
                self.chances -= 1;
            } else {
                self.starting = false;
            }
            tracing::debug!(
                window,
                left,
                share,
                queued,
                starting = self.starting,
                "congestion"
            );
        }
        self.shrink(window * left);
    }

    /// Two standard deviations above what the budget explains, and one datagram.
    fn is_beyond(&self, judged: f64) -> bool {
        let expected = judged * BUDGET;
        f64::from(self.lost) > expected + 2.0 * expected.sqrt() + 1.0
    }

    /// So many that counted as lost were only late.
    pub(super) fn was_only_late(&mut self, datagrams: u32) {
        self.lost = self.lost.saturating_sub(datagrams);
        let undone = |reduced: &Reduced| match reduced.queued {
            true => self.lost == 0,
            false => !self.is_beyond(reduced.judged),
        };
        if self.round.reduced.as_ref().is_some_and(undone)
            && let Some(before) = self.round.reduced.take()
        {
            self.window = self.window.max(before.window as usize).min(self.most);
            self.starting = before.starting;
            self.plateau = before.plateau;
        }
    }

    /// Nothing is acknowledged any more: whatever was known of the path is not true any more.
    pub(super) fn silence(&mut self) {
        self.shrink(0.0);
        self.plateau = 0.0;
        self.starting = true;
    }

    fn shrink(&mut self, window: f64) {
        let window = self.window.min(window as usize);
        self.window = window.max(LEAST * self.datagram);
        self.growth = None;
    }

    fn queue_stands(&self, unqueued: Duration) -> bool {
        let round = match self.round.samples >= SAMPLES {
            true => self.round.shortest,
            false => self.before,
        };
        round.is_some_and(|round| round >= unqueued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A lane of 100 ms, the number of its next datagram, and the time.
    struct Lane(Congestion, u64, Instant);

    impl Lane {
        fn new(window: usize) -> Self {
            let mut lane = Self(Congestion::new(1000, 4 << 20), 0, Instant::now());
            lane.0.window = window * 1000;
            lane
        }

        /// A round of so many datagrams, of which some are lost, with a queue of so many milliseconds.
        fn round(&mut self, datagrams: u32, lost: u32, queue: u32) -> usize {
            let next = self.1 + u64::from(datagrams);
            self.2 += (100 + queue) * MS;
            for at in 0..datagrams {
                if at < lost {
                    self.0.lost(next, 104 * MS);
                    continue;
                }
                self.0.acknowledged(
                    self.2,
                    &Progress {
                        largest: self.1 + u64::from(at),
                        next,
                        datagrams: 1,
                        bytes: 1000,
                        round_trip: Some((100 + queue) * MS),
                        smoothed: (100 + queue) * MS,
                        unqueued: 104 * MS,
                        limited: true,
                    },
                );
            }
            self.1 = next;
            self.0.window / 1000
        }
    }

    #[test]
    fn it_doubles_until_a_queue_stands_and_then_grows_slowly() {
        let mut lane = Lane::new(10);
        assert_eq!(lane.round(10, 0, 0), 20);
        assert_eq!(lane.round(20, 0, 0), 40);
        let with_a_queue = lane.round(40, 0, 15);
        assert!((45..60).contains(&with_a_queue), "{with_a_queue}");
        assert!(lane.round(60, 0, 0) > with_a_queue + 50, "it was none");
        for _ in 0..CAREFUL_ROUNDS {
            lane.round(100, 0, 15);
        }
        let before = lane.0.window / 1000;
        let later = lane.round(before as u32, 0, 15);
        assert!((before..before + 3).contains(&later), "{later}");
    }

    #[test]
    fn what_is_lost_at_random_is_no_congestion() {
        let mut lane = Lane::new(500);
        lane.0.starting = false;
        for _ in 0..50 {
            let before = lane.0.window / 1000;
            assert!(lane.round(500, 5, 0) >= before);
        }
        assert!(lane.0.window > 530_000, "{}", lane.0.window);
    }

    #[test]
    fn an_overflowing_queue_and_much_loss_are() {
        for (lost, queue, expected) in [(2, 15, 350), (50, 15, 350), (50, 0, 450), (400, 0, 350)] {
            let mut lane = Lane::new(500);
            lane.0.starting = false;
            lane.round(500, 0, queue);
            lane.0.window = 500_000;
            let after = lane.round(500, lost, queue);
            assert!(
                after.abs_diff(expected) <= 25,
                "{lost} lost, queue of {queue} ms: {after}"
            );
        }
    }

    #[test]
    fn silence_leaves_little_and_everything_stays_in_bounds() {
        let mut lane = Lane::new(500);
        lane.0.silence();
        assert_eq!(lane.0.window, LEAST * 1000);
        for _ in 0..30 {
            lane.round(1000, 0, 0);
        }
        assert_eq!(lane.0.window, 4 << 20);
        for _ in 0..100 {
            lane.round(100, 90, 50);
        }
        assert_eq!(lane.0.window, LEAST * 1000);
    }
}
