//! What arrives on a repaired way: brought into order, and acknowledged. Pure.

use super::wire::{Ack, Data, RANGES, expand};
use super::{KEPT, RECORD_COST};
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a record is waited for. SCTP repeats after a second at the earliest and ICE gives the path up after
/// five; by then whatever is missing has been sent a dozen times or was never kept.
const PATIENCE: Duration = Duration::from_secs(4);

/// The receiving end.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The place of the next record to be given on.
    next: u64,
    /// Records behind a gap, by place.
    held: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    /// Since when the first record is missing.
    missing_since: Option<Instant>,
    /// Numbers received, newest first, apart; at most [`RANGES`].
    numbers: VecDeque<RangeInclusive<u64>>,
    largest_at: Option<Instant>,
    unacknowledged: u32,
}

impl Incoming {
    /// A datagram arrived; records that are in order now are appended to `ready`.
    pub(super) fn received(
        &mut self,
        now: Instant,
        data: &Data<'_>,
        ready: &mut VecDeque<Vec<u8>>,
    ) {
        let largest = self.numbers.front().map_or(0, |range| *range.end());
        self.note(now, expand(data.number, largest));
        let place = expand(data.place, self.next);
        tracing::trace!(number = data.number, place, next = self.next, "received");
        if place < self.next || self.held.contains_key(&place) {
            return;
        }
        if place == self.next {
            self.next += 1;
            ready.push_back(data.record.to_vec());
            self.give_on(now, ready);
        } else {
            self.missing_since.get_or_insert(now);
            self.bytes += data.record.len() + RECORD_COST;
            self.held.insert(place, data.record.to_vec());
        }
        while self.bytes > KEPT || self.is_overdue(now) {
            self.let_go(now, ready);
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.missing_since
            .is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    /// Gives on what has no gap before it.
    fn give_on(&mut self, now: Instant, ready: &mut VecDeque<Vec<u8>>) {
        let before = self.next;
        while let Some(record) = self.held.remove(&self.next) {
            self.bytes -= record.len() + RECORD_COST;
            self.next += 1;
            ready.push_back(record);
        }
        if self.held.is_empty() {
            self.missing_since = None;
        } else if self.next > before || self.missing_since.is_none() {
            self.missing_since = Some(now);
        }
    }

    /// Waits no longer for what is missing first: SCTP finds out, and repeats it.
    fn let_go(&mut self, now: Instant, ready: &mut VecDeque<Vec<u8>>) {
        match self.held.keys().next() {
            Some(place) => {
                tracing::debug!(from = self.next, to = *place, "passes over what is missing");
                self.next = *place;
                self.give_on(now, ready);
            }
            None => self.missing_since = None,
        }
    }

    fn note(&mut self, now: Instant, number: u64) {
        self.unacknowledged += 1;
        if self
            .numbers
            .front()
            .is_none_or(|range| number > *range.end())
        {
            self.largest_at = Some(now);
        }
        // The first range that is not wholly above the number.
        let at = self
            .numbers
            .iter()
            .position(|range| *range.start() <= number + 1)
            .unwrap_or(self.numbers.len());
        match self
            .numbers
            .get(at)
            .map(|range| (*range.start(), *range.end()))
        {
            Some((start, end)) if (start..=end).contains(&number) => return,
            Some((start, end)) if number == end + 1 => self.numbers[at] = start..=number,
            Some((start, end)) if number + 1 == start => self.numbers[at] = number..=end,
            _ => self.numbers.insert(at, number..=number),
        }
        // It may have closed the gap to the range below.
        if let (Some(high), Some(low)) = (self.numbers.get(at), self.numbers.get(at + 1))
            && *low.end() + 1 == *high.start()
        {
            self.numbers[at] = *low.start()..=*high.end();
            self.numbers.remove(at + 1);
        }
        // overflow: the oldest is forgotten; what of it was not acknowledged is sent again.
        self.numbers.truncate(RANGES);
    }

    /// Datagrams that no acknowledgement has named yet.
    pub(super) fn unacknowledged(&self) -> u32 {
        self.unacknowledged
    }

    /// The acknowledgement of everything so far, if anything is new.
    pub(super) fn acknowledge(&mut self, now: Instant) -> Option<Ack> {
        if self.unacknowledged == 0 {
            return None;
        }
        self.unacknowledged = 0;
        let largest = *self.numbers.front()?.end();
        let below = |number: u64| u32::try_from(largest - number).unwrap_or(u32::MAX);
        Some(Ack {
            largest: largest as u32,
            delay: self
                .largest_at
                .map_or(Duration::ZERO, |at| now.saturating_duration_since(at)),
            ranges: self
                .numbers
                .iter()
                .map(|range| below(*range.end())..=below(*range.start()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrive(incoming: &mut Incoming, now: Instant, number: u64, place: u64) -> Vec<u64> {
        let mut ready = VecDeque::new();
        let record = place.to_be_bytes();
        let data = Data {
            number: number as u32,
            place: place as u32,
            record: &record,
        };
        incoming.received(now, &data, &mut ready);
        ready
            .iter()
            .map(|record| u64::from_be_bytes(record[..].try_into().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_missing_is_waited_for() {
        let now = Instant::now();
        let mut incoming = Incoming::default();
        assert_eq!(arrive(&mut incoming, now, 0, 0), [0]);
        assert!(arrive(&mut incoming, now, 2, 2).is_empty());
        assert!(arrive(&mut incoming, now, 3, 3).is_empty());
        assert_eq!(arrive(&mut incoming, now, 4, 1), [1, 2, 3]);
        assert!(arrive(&mut incoming, now, 5, 1).is_empty(), "a duplicate");
        let ack = incoming.acknowledge(now).expect("something is new");
        assert_eq!((ack.largest, ack.ranges), (5, vec![0..=3, 5..=5]));
        assert_eq!(incoming.acknowledge(now), None);
    }

    #[test]
    fn it_is_waited_for_no_longer_than_is_sensible() {
        let now = Instant::now();
        let mut incoming = Incoming::default();
        assert!(arrive(&mut incoming, now, 1, 1).is_empty());
        assert!(arrive(&mut incoming, now, 3, 3).is_empty());
        let later = now + PATIENCE;
        assert_eq!(arrive(&mut incoming, later, 4, 4), [1]);
        assert!(arrive(&mut incoming, later, 5, 0).is_empty(), "too late");
        assert_eq!(arrive(&mut incoming, later, 6, 2), [2, 3, 4]);
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let now = Instant::now();
        let mut incoming = Incoming::default();
        let mut ready = VecDeque::new();
        for place in 1..1000 {
            let data = Data {
                number: place,
                place,
                record: &[0; 16_384],
            };
            incoming.received(now, &data, &mut ready);
            assert!(incoming.bytes <= KEPT);
        }
        assert_eq!(ready.len() + incoming.held.len(), 999);
        assert!(!ready.is_empty());
    }

    proptest! {
        /// Whatever comes: in order, at most once, bounded; and acknowledged is what was received.
        #[test]
        fn records_are_given_on_in_order_and_at_most_once(
            arrivals in proptest::collection::vec((0u64..200, 0u64..150, 0u64..3_000), 0..400),
        ) {
            let mut now = Instant::now();
            let mut incoming = Incoming::default();
            let (mut given, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
            let mut all = true;
            for (number, place, pause) in arrivals {
                now += Duration::from_millis(pause / 10);
                given.extend(arrive(&mut incoming, now, number, place));
                seen.insert(number);
                prop_assert!(incoming.bytes <= KEPT);
                let ack = incoming.acknowledge(now).expect("something is new");
                let largest = *seen.last().expect("not empty");
                prop_assert_eq!(u64::from(ack.largest), largest);
                let named: std::collections::BTreeSet<u64> = ack
                    .ranges
                    .into_iter()
                    .flat_map(|range| range.map(|below| largest - u64::from(below)))
                    .collect();
                prop_assert!(named.is_subset(&seen));
                all &= incoming.numbers.len() < RANGES;
                if all {
                    prop_assert_eq!(&named, &seen);
                }
            }
            prop_assert!(given.is_sorted_by(|a, b| a < b));
        }
    }
}
