//! The first data after a handshake: what sets up SCTP and the first channel.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a datagram is sent again, after it left first. Of five in a hundred that are lost, one in ten thousand is
/// lost three times.
const AGAIN: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1100),
    Duration::from_millis(1500),
    Duration::from_millis(2300),
];

/// How many of these times are for all datagrams. The others are for outages and bursts of loss: they count only while the connection is
/// still being set up.
const ALWAYS: usize = 2;

/// Datagrams that are sent again. Until both sides have said hello each sends about twelve.
const MOST_DATAGRAMS: usize = 24;

/// Bytes of a datagram that is sent again. Nothing that sets up a connection is larger: SCTP begins with packets of
/// about 1,200 bytes.
const MOST_BYTES: usize = 1500;

/// Datagrams that will be sent again, each at its own times.
#[derive(Debug)]
pub(super) struct Opening<W> {
    /// In the order in which they left, for each of the times of [`AGAIN`]: so the first of each is due first.
    waiting: [VecDeque<Waiting<W>>; AGAIN.len()],
    seen: usize,
}

#[derive(Debug)]
struct Waiting<W> {
    due: Instant,
    way: W,
    datagram: Vec<u8>,
}

impl<W> Default for Opening<W> {
    fn default() -> Self {
        Self {
            waiting: Default::default(),
            seen: 0,
        }
    }
}

impl<W> Opening<W> {
    /// Whether no more datagrams are taken.
    pub(super) fn is_over(&self) -> bool {
        self.seen >= MOST_DATAGRAMS
    }

    /// Sees application data leave, which may have to be sent again.
    pub(super) fn sending(&mut self, now: Instant, datagram: &[u8], way: impl FnOnce() -> W) {
        if self.is_over() {
            return;
        }
        self.seen += 1;
        if datagram.len() > MOST_BYTES {
            return;
        }
        self.waiting[0].push_back(Waiting {
            due: now + AGAIN[0],
            way: way(),
            datagram: datagram.to_vec(),
        });
    }

    /// Sends again what is due, while the connection is being set up or after that.
    pub(super) fn due(&mut self, now: Instant, is_set_up: bool, mut send: impl FnMut(&W, &[u8])) {
        if is_set_up {
            self.waiting[ALWAYS..].iter_mut().for_each(VecDeque::clear);
        }
        let turns = if is_set_up { ALWAYS } else { AGAIN.len() };
        for turn in 0..turns {
            while self.waiting[turn]
                .front()
                .is_some_and(|next| next.due <= now)
                && let Some(mut next) = self.waiting[turn].pop_front()
            {
                send(&next.way, &next.datagram);
                if let Some(later) = self.waiting[..turns].get_mut(turn + 1) {
                    next.due += AGAIN[turn + 1] - AGAIN[turn];
                    later.push_back(next);
                }
            }
        }
    }

    /// When to come again.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.waiting.iter().filter_map(VecDeque::front);
        first.map(|next| next.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds and the datagrams that leave again then, until nothing waits.
    fn repeated(
        opening: &mut Opening<()>,
        begin: Instant,
        set_up_after: Duration,
    ) -> Vec<(u128, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(now) = opening.next() {
            opening.due(now, now - begin >= set_up_after, |(), datagram| {
                all.push(((now - begin).as_millis(), datagram.to_vec()));
            });
        }
        all
    }

    #[test]
    fn each_leaves_twice_more_at_times_of_its_own() {
        let begin = Instant::now();
        let mut opening = Opening::default();
        opening.sending(begin, b"init", || ());
        opening.sending(begin + Duration::from_millis(50), b"echo", || ());
        opening.due(begin, false, |(), _| panic!("nothing is due yet"));
        let expected = [(100, "init"), (150, "echo"), (300, "init"), (350, "echo")];
        assert_eq!(
            repeated(&mut opening, begin, AGAIN[0]),
            expected.map(|(ms, datagram)| (ms, datagram.as_bytes().to_vec()))
        );
    }

    #[test]
    fn while_nothing_comes_of_it_it_leaves_more_often() {
        let begin = Instant::now();
        for (set_up_after, expected) in [
            (3000, vec![100, 300, 700, 1100, 1500, 2300]),
            (1000, vec![100, 300, 700]),
        ] {
            let mut opening = Opening::default();
            opening.sending(begin, b"init", || ());
            let all = repeated(&mut opening, begin, Duration::from_millis(set_up_after));
            let times: Vec<_> = all.iter().map(|(ms, _)| *ms).collect();
            assert_eq!(times, expected);
        }
    }

    #[test]
    fn a_task_that_comes_late_sends_everything_once_more_at_once() {
        let begin = Instant::now();
        let mut opening = Opening::default();
        opening.sending(begin, b"init", || ());
        let mut sent = 0;
        opening.due(begin + Duration::from_secs(9), true, |(), _| sent += 1);
        assert_eq!((sent, opening.next()), (ALWAYS, None));
    }

    #[test]
    fn what_is_large_or_comes_later_leaves_once() {
        let now = Instant::now();
        let mut opening = Opening::default();
        opening.sending(now, &[0; MOST_BYTES + 1], || ());
        for _ in 1..MOST_DATAGRAMS {
            assert!(!opening.is_over());
            opening.sending(now, b"x", || ());
        }
        assert!(opening.is_over());
        opening.sending(now, b"x", || ());
        let all = repeated(&mut opening, now, Duration::ZERO).len();
        assert_eq!(all, (MOST_DATAGRAMS - 1) * ALWAYS);
    }
}
