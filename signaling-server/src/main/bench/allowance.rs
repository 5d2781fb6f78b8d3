//! How fast one member may speak.

use super::crowd::number;
use signaling_protocol::limits::MESSAGE_BURST;
use std::time::Instant;

/// How many messages one member may send: nine tenths of what the server allows, so that it never has to
/// refuse one.
pub(super) struct Allowance {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let burst = f64::from(MESSAGE_BURST) * 0.9;
        Self {
            per_second: f64::from(per_second) * 0.9,
            burst,
            left: burst,
            at: now,
        }
    }

    /// Takes as many as may be sent now, up to `wanted`.
    pub(super) fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + gained).min(self.burst);
        let taken = number(wanted).min(self.left.floor());
        self.left -= taken;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and what was wanted"
        )]
        let taken = taken as usize;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn nobody_sends_more_than_it_may() {
        let start = Instant::now();
        let mut allowance = Allowance::new(50, start);
        assert_eq!(allowance.take(100, start), 100);
        assert_eq!(allowance.take(100, start), 80);
        assert_eq!(allowance.take(1, start), 0);
        let later = start + Duration::from_secs(1);
        assert_eq!(allowance.take(100, later), 45);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(allowance.take(1000, much_later), 180, "no more is saved up");
    }
}
