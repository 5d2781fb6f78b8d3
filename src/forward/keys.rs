//! When a key frame is asked for. Key frames are large, and everybody gets them: two a second are the most, whoever
//! wants them.

use std::time::{Duration, Instant};

/// Between two requests to one source. Somebody who wants a picture waits for half of this in the mean.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// The requests to one source.
#[derive(Debug, Default)]
pub(super) struct KeyRequests {
    wanted: bool,
    asked: Option<Instant>,
}

impl KeyRequests {
    /// Somebody needs one.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// It is over: one began to arrive, or there is nobody to ask.
    pub(super) fn settle(&mut self) {
        self.wanted = false;
    }

    /// Whether to ask now; it then counts as asked. Until one comes it is asked for again and again.
    pub(super) fn must_ask(&mut self, now: Instant) -> bool {
        let is_due = self
            .due()
            .is_some_and(|due| due.is_none_or(|due| due <= now));
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// When [`must_ask`](Self::must_ask) has to be looked at without any other reason.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due().flatten()
    }

    /// `Some(None)` is at once.
    fn due(&self) -> Option<Option<Instant>> {
        self.wanted
            .then(|| self.asked.map(|asked| asked + INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_asked_for_at_once_and_the_next_after_a_pause() {
        let start = Instant::now();
        let mut keys = KeyRequests::default();
        assert!(!keys.must_ask(start));
        keys.want();
        assert!(keys.must_ask(start));
        assert!(!keys.must_ask(start));
        keys.settle();
        assert_eq!(keys.deadline(), None);
        keys.want();
        let soon = start + Duration::from_millis(10);
        assert!(!keys.must_ask(soon), "the last one is not long ago");
        assert_eq!(keys.deadline(), Some(start + INTERVAL));
        assert!(keys.must_ask(start + INTERVAL));
        assert!(keys.must_ask(start + 2 * INTERVAL), "none has come");
    }
}
