//! What `expose` and `connect` have in common: what is said of connections, and how it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerline::tunnel::{Event as Step, Moved};

use crate::ui::{Route, Ui, event};

/// Connections that failed are said so many at once, and then one a second: the other side can make any number of
/// them, and logs fill disks. All of them count.
const AT_ONCE: u32 = 20;
const ONE_IN: Duration = Duration::from_secs(1);

/// What went through so far.
pub(super) struct Traffic<'a> {
    ui: &'a Ui,
    since: Instant,
    noted: Mutex<Noted>,
}

struct Noted {
    sums: Sums,
    failures: Allowance,
}

/// How many may be said now: pure.
#[derive(Clone, Copy)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            left: AT_ONCE,
            since: now,
        }
    }

    /// Whether one more may be said, and what is left then.
    fn take(self, now: Instant) -> (bool, Self) {
        let seconds = now.duration_since(self.since).as_secs();
        let more = u32::try_from(seconds).unwrap_or(u32::MAX);
        let left = self.left.saturating_add(more).min(AT_ONCE);
        let since = self.since + ONE_IN * more;
        match left.checked_sub(1) {
            Some(left) => (true, Self { left, since }),
            None => (false, Self { left, since }),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    connections: u64,
    failed: u64,
    sent: u64,
    received: u64,
}

impl Noted {
    /// Adds a connection that ended, and says whether that may be said.
    fn take(&mut self, failed: bool, moved: Moved) -> bool {
        self.sums.connections += 1;
        self.sums.failed += u64::from(failed);
        self.sums.sent += moved.sent;
        self.sums.received += moved.received;
        if !failed {
            return true;
        }
        let (may, left) = self.failures.take(Instant::now());
        self.failures = left;
        may
    }
}

impl<'a> Traffic<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            since: Instant::now(),
            noted: Mutex::new(Noted {
                sums: Sums::default(),
                failures: Allowance::new(Instant::now()),
            }),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a step down, and says what has to be known.
    pub(super) fn note(&self, step: Step) {
        let (service, state, moved, message) = match step {
            Step::Closed { service, moved } => (service.to_string(), "closed", moved, None),
            Step::Broken {
                service,
                moved,
                reason,
            } => (service.to_string(), "broken", moved, Some(reason)),
            Step::Refused { service } => (service, "refused", Default::default(), None),
            Step::Unreachable { service, reason } => (
                service.to_string(),
                "unreachable",
                Default::default(),
                Some(reason),
            ),
            // The library may learn to tell more.
            _ => return,
        };
        if !self.noted().take(state != "closed", moved) {
            return;
        }
        self.ui.say(event::Connection {
            name: service,
            state,
            sent: moved.sent,
            received: moved.received,
            message,
        });
    }

    /// The last line.
    pub(super) fn done(&self, path: Route) {
        let Sums {
            connections,
            failed,
            sent,
            received,
        } = self.noted().sums;
        self.ui.say(event::Tunnelled {
            connections,
            failed,
            traffic: event::Traffic::new(sent, received, self.since.elapsed(), path),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_said_in_part() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut allowance = Allowance::new(start);
        let mut said = |times: &[u64]| {
            let mut count = 0;
            for time in times {
                let (may, left) = allowance.take(at(*time));
                allowance = left;
                count += u32::from(may);
            }
            count
        };
        assert_eq!(said(&[0; 100]), AT_ONCE);
        assert_eq!(said(&[900; 5]), 0);
        assert_eq!(said(&[1100, 1200, 2100, 2200]), 2);
        assert_eq!(said(&[3_600_000; 100]), AT_ONCE);
    }
}
