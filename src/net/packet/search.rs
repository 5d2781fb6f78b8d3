//! The largest of a table of sizes that gets through (RFC 8899 section 5.3.2 allows a table): pure.
//!
//! All sizes are tried at once, largest first, because a probe that fails costs nothing; what was not
//! answered is tried again twice.

use std::time::{Duration, Instant};

/// Datagrams worth trying, as UDP payload: the largest; jumbo frames over IPv4 and IPv6; Ethernet over both; PPPoE, and
/// the usual tunnels; and what every path carries, which tells whether the peer answers at all.
pub(crate) const SIZES: [u16; 8] = [
    LARGEST,
    8_972,
    8_952,
    1_472,
    1_452,
    1_400,
    1_320,
    super::BASE,
];

/// 16 KiB are what a DTLS record holds (RFC 6347 section 4.1.1). Four of this size are 65,504 bytes, and leave in one
/// system call: it takes what UDP over IPv4 carries, 65,507.
pub(super) const LARGEST: u16 = 16_376;

/// Times a size is tried (`MAX_PROBES` of RFC 8899 section 5.1.2).
const ATTEMPTS: u32 = 3;

/// Between two attempts, and after the last: an answer may take this long.
const BETWEEN: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_millis(400);

/// What a larger probe is waited for when a smaller one is answered, or half the round trip if that is longer: 16 KiB
/// take 13 ms at 10 Mbit/s.
const LATER: Duration = Duration::from_millis(20);

/// A search under way. Its sizes are also what tells its probes apart: an answer says which it is for.
#[derive(Debug)]
pub(super) struct Search {
    /// Sizes that may still turn out to be carried, largest first.
    open: Vec<u16>,
    carried: Option<u16>,
    attempts: u32,
    due: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send probes of these sizes, and ask again at this time at the latest.
    Probe(Vec<u16>, Instant),
    /// Nothing before this time.
    Wait(Instant),
    /// The largest size that is carried, if any of the table is.
    Done(Option<u16>),
}

impl Search {
    /// Tries the sizes up to `limit`.
    pub(super) fn new(now: Instant, limit: u16) -> Self {
        Self {
            open: SIZES.into_iter().filter(|size| *size <= limit).collect(),
            carried: None,
            attempts: 0,
            due: now,
        }
    }

    /// A probe of this size was answered after so long: what is larger has not much longer.
    pub(super) fn answered(&mut self, now: Instant, size: u16, round_trip: Duration) {
        if self.open.contains(&size) {
            self.carried = Some(size);
            self.open.retain(|larger| *larger > size);
            self.due = self.due.min(now + (round_trip / 2).max(LATER));
        }
    }

    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.open.is_empty() {
            return Step::Done(self.carried);
        }
        if now < self.due {
            return Step::Wait(self.due);
        }
        if self.attempts == ATTEMPTS {
            return Step::Done(self.carried);
        }
        self.attempts += 1;
        self.due = now
            + if self.attempts == ATTEMPTS {
                PATIENCE
            } else {
                BETWEEN
            };
        Step::Probe(self.open.clone(), self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a search over a path that carries up to `path` bytes and loses what `lost` says.
    fn search(path: u16, mut lost: impl FnMut() -> bool) -> (Option<u16>, Duration) {
        let start = Instant::now();
        let mut now = start;
        let mut search = Search::new(now, u16::MAX);
        loop {
            match search.step(now) {
                Step::Done(size) => return (size, now - start),
                Step::Wait(until) => now = until,
                Step::Probe(sizes, until) => {
                    assert!(until > now);
                    for size in sizes {
                        if size <= path && !lost() {
                            search.answered(now, size, Duration::ZERO);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_carried_size_is_found() {
        for (path, found) in [
            (65_507, Some(LARGEST)),
            (8_972, Some(8_972)),
            (8_960, Some(8_952)),
            (1_472, Some(1_472)),
            (1_420, Some(1_400)),
            (1_300, Some(super::super::BASE)),
            (1_200, None),
        ] {
            assert_eq!(search(path, || false).0, found, "{path}");
        }
        assert_eq!(
            search(65_507, || false).1,
            Duration::ZERO,
            "nothing larger is left to wait for"
        );
    }

    #[test]
    fn it_ends_in_time_whatever_happens() {
        let (size, time) = search(65_507, || true);
        assert_eq!(size, None);
        assert!(time <= Duration::from_secs(1), "{time:?}");
    }

    #[test]
    fn late_and_foreign_answers_change_nothing() {
        let now = Instant::now();
        let mut search = Search::new(now, 1_472);
        search.answered(now, LARGEST, Duration::ZERO);
        search.answered(now, 1_400, Duration::ZERO);
        search.answered(now, 1_320, Duration::ZERO);
        search.answered(now, 7, Duration::ZERO);
        assert!(matches!(search.step(now), Step::Probe(sizes, _) if sizes == [1_472, 1_452]));
        search.answered(now, 1_472, Duration::ZERO);
        assert_eq!(search.step(now), Step::Done(Some(1_472)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_path_carries(path in 0u16.., fates in proptest::collection::vec(any::<bool>(), 32)) {
            let mut fates = fates.into_iter();
            let (size, _) = search(path, || fates.next().unwrap_or(false));
            prop_assert!(size.is_none_or(|size| size <= path));
        }
    }
}
