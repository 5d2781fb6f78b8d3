//! What a lane shares a path with: a flow under Reno's congestion control (RFC 5681), which is SCTP's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is not acknowledged by then was lost.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// Reno over single datagrams: slow start, half after a loss, one more each round trip.
pub(super) struct Reno {
    window: f64,
    threshold: f64,
    flight: BTreeMap<u64, Instant>,
    next: u64,
    recovered: u64,
}

impl Reno {
    pub(super) fn new() -> Self {
        Self {
            window: 10.0,
            threshold: 1e9,
            flight: BTreeMap::new(),
            next: 0,
            recovered: 0,
        }
    }

    /// The datagrams that may leave now.
    pub(super) fn transmit(&mut self, now: Instant) -> Vec<u64> {
        self.flight.retain(|_, at| *at + TIMEOUT > now);
        if self.flight.is_empty() && self.next > 0 {
            (self.threshold, self.window) = (self.window / 2.0, 1.0);
        }
        let mut leaving = Vec::new();
        while (self.flight.len() as f64) < self.window {
            self.flight.insert(self.next, now);
            leaving.push(self.next);
            self.next += 1;
        }
        leaving
    }

    /// This one arrived.
    pub(super) fn acknowledged(&mut self, number: u64) {
        if self.flight.remove(&number).is_none() {
            return;
        }
        self.window += match self.window < self.threshold {
            true => 1.0,
            false => 1.0 / self.window,
        };
        // Three that were sent later have come.
        let lost: Vec<u64> = self
            .flight
            .range(..number.saturating_sub(3))
            .map(|(lost, _)| *lost)
            .collect();
        for lost in lost {
            self.flight.remove(&lost);
            if lost >= self.recovered {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.recovered = self.next;
            }
        }
    }
}
