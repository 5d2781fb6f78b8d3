//! Round trips: when the next ping is due, and what the answers come to. Pure.

use super::BenchError;
use super::message::Latency;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two pings.
const EVERY: Duration = Duration::from_millis(10);

/// Pings without an answer at a time: fewer than a channel's queue holds, so that an honest follower always
/// has room to answer.
const UNANSWERED: usize = 8;

/// Pings under way, and the round trips of those that were answered.
#[derive(Debug)]
pub(super) struct Pings {
    /// When the next one is due; `None` while none are sent.
    due: Option<Instant>,
    next: u64,
    /// In the order of their answers, which is the channel's.
    unanswered: VecDeque<(u64, Instant)>,
    /// At most one for each [`EVERY`] of [`LONGEST`](super::LONGEST) and what comes around it.
    round_trips: Vec<Duration>,
}

impl Pings {
    pub(super) fn new() -> Self {
        Self {
            due: None,
            next: 0,
            unanswered: VecDeque::with_capacity(UNANSWERED),
            round_trips: Vec::new(),
        }
    }

    /// From now on pings are sent.
    pub(super) fn start(&mut self, now: Instant) {
        self.due = self.due.or(Some(now));
    }

    /// No more pings.
    pub(super) fn stop(&mut self) {
        self.due = None;
    }

    /// When to call [`ping`](Self::ping), if ever.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.unanswered.len() < UNANSWERED)
    }

    /// The ping that is to be sent now, if one is.
    pub(super) fn ping(&mut self, now: Instant) -> Option<u64> {
        let due = self.next_deadline().filter(|due| *due <= now)?;
        let id = self.next;
        self.next += 1;
        self.unanswered.push_back((id, now));
        // After a pause, no burst.
        self.due = Some((due + EVERY).max(now));
        Some(id)
    }

    /// An answer came.
    pub(super) fn pong(&mut self, now: Instant, id: u64) -> Result<(), BenchError> {
        match self.unanswered.pop_front() {
            Some((asked, at)) if asked == id => {
                self.round_trips.push(now.saturating_duration_since(at));
                Ok(())
            }
            _ => Err(BenchError::Protocol("it answered a ping that nobody sent")),
        }
    }

    /// Whether every ping was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_none() && self.unanswered.is_empty()
    }

    /// What was measured since it was last asked.
    pub(super) fn latency(&mut self) -> Option<Latency> {
        let mut sorted = std::mem::take(&mut self.round_trips);
        sorted.sort_unstable();
        // The nearest rank: the smallest value that so many of a hundred do not exceed.
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            let value = sorted.get(rank - 1)?;
            u64::try_from(value.as_micros()).ok()
        };
        Some(Latency {
            samples: u32::try_from(sorted.len()).ok()?,
            p50: percentile(50)?,
            p90: percentile(90)?,
            p99: percentile(99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let micros = |list: &[u64]| {
            let mut pings = Pings::new();
            pings.round_trips = list.iter().copied().map(Duration::from_micros).collect();
            let latency = pings.latency()?;
            Some((latency.samples, latency.p50, latency.p90, latency.p99))
        };
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(micros(&hundred), Some((100, 50, 90, 99)));
        assert_eq!(micros(&[7]), Some((1, 7, 7, 7)));
        assert_eq!(micros(&[1, 9]), Some((2, 1, 9, 9)));
        assert_eq!(micros(&[]), None);
    }

    #[test]
    fn pings_come_at_intervals_and_wait_for_answers() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pings = Pings::new();
        assert_eq!(pings.ping(start), None);
        pings.start(start);
        assert_eq!(pings.ping(at(0)), Some(0));
        assert_eq!(pings.ping(at(9)), None);
        assert_eq!(pings.next_deadline(), Some(at(10)));
        for id in 1..8 {
            assert_eq!(pings.ping(at(id * 10)), Some(id));
        }
        assert_eq!(pings.ping(at(500)), None, "eight are unanswered");
        pings.pong(at(503), 0).unwrap();
        assert_eq!(pings.ping(at(503)), Some(8));
        assert_eq!(pings.ping(at(503)), None, "no burst");
        assert!(pings.pong(at(504), 2).is_err(), "out of order");
        pings.stop();
        assert!(!pings.is_settled());
        assert_eq!(pings.latency().unwrap().p50, 503_000);
    }

    #[test]
    fn an_answer_to_nothing_is_a_fault() {
        assert!(Pings::new().pong(Instant::now(), 0).is_err());
    }
}
