//! When a frame is due.
//!
//! Pure. Frames of one call share a beginning, so that sound and pictures of one file stay together.

use std::time::{Duration, Instant};

/// A frame that is later than this means that the source stood still: what follows is timed from there.
const LATE: Duration = Duration::from_millis(500);

/// The times of one source.
#[derive(Debug, Clone)]
pub struct Pace {
    begin: Instant,
    /// What was waited for so far, because the source stood still or sent nothing for a while.
    shift: Duration,
}

impl Pace {
    /// Frames of time zero are due at `begin`.
    pub fn new(begin: Instant) -> Self {
        let shift = Duration::ZERO;
        Self { begin, shift }
    }

    /// When a frame is due that is there at `now`. A source that fell behind is not hurried after it.
    pub fn due(&mut self, now: Instant, time: Duration) -> Instant {
        let due = self.begin + self.shift + time;
        if let Some(late) = now.checked_duration_since(due).filter(|late| *late > LATE) {
            self.shift += late;
            return now;
        }
        due
    }

    /// The time of a frame since the beginning, pauses included: what its packets say.
    pub fn time(&self, time: Duration) -> Duration {
        self.shift + time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_at_their_times_and_later_after_a_pause() {
        let begin = Instant::now();
        let ms = Duration::from_millis;
        let mut pace = Pace::new(begin);
        assert_eq!(pace.due(begin, ms(40)), begin + ms(40));
        // A little late is caught up with.
        assert_eq!(pace.due(begin + ms(200), ms(80)), begin + ms(80));
        assert_eq!(pace.time(ms(80)), ms(80));
        // It stood still for two seconds.
        assert_eq!(pace.due(begin + ms(2_120), ms(120)), begin + ms(2_120));
        assert_eq!(pace.time(ms(120)), ms(2_120));
        assert_eq!(pace.due(begin + ms(2_120), ms(160)), begin + ms(2_160));
    }
}
