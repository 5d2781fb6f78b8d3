//! How much of a channel may be on its way: pure.
//!
//! SCTP's own window grows until something is lost, and a path that is short has no use for most of it: there it
//! is a queue in the peer's socket. So a channel starts with as much as a short path takes and grows when it finds
//! itself waiting.

use std::time::Duration;

/// Bytes that may be queued and unacknowledged before a channel waits, and those left when it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    high: usize,
    low: usize,
}

/// For a browser on the same machine or network. Chromium's socket holds 56 of our packets, and with 1 MiB on its
/// way SCTP sends what does not fit: of three transfers two stood still for 0.8 s, until SCTP's timeout. One more
/// message of 64 KiB is on its way, which a busy browser takes in 3 ms.
const NEAR: Marks = Marks {
    high: 64 << 10,
    low: 32 << 10,
};

/// What is acknowledged within milliseconds needs no more on its way, and little of it fits into the caches: on
/// loopback this is as fast as [`FULL`], and a sender's peak of memory 8 MiB lower.
const QUICK: Marks = Marks {
    high: 1024 << 10,
    low: 640 << 10,
};

/// More than SCTP's window of 1.5 MiB, so that the engine never runs dry, and little more, for memory.
const FULL: Marks = Marks {
    high: 2304 << 10,
    low: 1536 << 10,
};

/// A window, and the wait from the high mark to the low one that is too long for it. Below 6 ms [`NEAR`] is no
/// limit to 16 MiB/s. [`QUICK`] becomes too small for a round trip above 40 ms, or a rate below 25 MiB/s.
const STEPS: [(Marks, Duration); 3] = [
    (NEAR, Duration::from_millis(6)),
    (QUICK, Duration::from_millis(15)),
    (FULL, Duration::MAX),
];

/// Waits in a row that are too long: it is not a busy machine but the path.
const SLOW_TIMES: u32 = 8;

/// The window of one channel.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    step: usize,
    slow: u32,
}

impl Window {
    /// The first window towards a browser on a direct path, or anybody else. Through a relay [`NEAR`] is slower.
    pub(crate) fn towards(near_browser: bool) -> Self {
        let step = if near_browser { 0 } else { 1 };
        Self { step, slow: 0 }
    }

    /// As many bytes on their way are enough.
    pub(super) fn high(&self) -> usize {
        STEPS[self.step].0.high
    }

    /// As many are left when it goes on.
    pub(super) fn low(&self) -> usize {
        STEPS[self.step].0.low
    }

    /// It took so long from the high mark to the low one. `true` if the window grew.
    pub(super) fn drained(&mut self, took: Duration) -> bool {
        self.slow = if took > STEPS[self.step].1 {
            self.slow + 1
        } else {
            0
        };
        let grows = self.slow == SLOW_TIMES;
        if grows {
            (self.step, self.slow) = (self.step + 1, 0);
        }
        grows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(window: &Window) -> Marks {
        let (high, low) = (window.high(), window.low());
        Marks { high, low }
    }

    #[test]
    fn a_window_grows_when_it_waits_too_long_many_times_in_a_row() {
        let mut window = Window::towards(true);
        assert_eq!(marks(&window), NEAR);
        let grown = |window: &mut Window, milliseconds: u64| {
            (0..SLOW_TIMES)
                .filter(|_| window.drained(Duration::from_millis(milliseconds)))
                .count()
        };
        assert_eq!(grown(&mut window, 5), 0, "a path that is short");
        for _ in 0..100 {
            assert!(!window.drained(Duration::from_secs(1)));
            assert!(!window.drained(Duration::ZERO));
        }
        assert_eq!(marks(&window), NEAR, "a machine that is busy at times");
        assert_eq!(grown(&mut window, 10), 1);
        assert_eq!(marks(&window), QUICK);
        assert_eq!(grown(&mut window, 10), 0);
        assert_eq!(grown(&mut window, 20), 1);
        assert_eq!(marks(&window), FULL);
        assert_eq!(grown(&mut window, u64::MAX / 1000), 0, "there is no more");
        assert_eq!(marks(&window), FULL);
    }

    #[test]
    fn our_own_peers_have_room_for_more_from_the_start() {
        assert_eq!(marks(&Window::towards(false)), QUICK);
    }
}
