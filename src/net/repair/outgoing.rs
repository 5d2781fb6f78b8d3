//! What leaves on a repaired way: numbered, kept until it is acknowledged, sent again when it is lost. Pure.

use super::congestion::{Congestion, Progress};
use super::round_trip::RoundTrip;
use super::wire::{Ack, Data, HEADER, expand};
use super::{KEPT, RECORD_COST};
use crate::net::pace::Pace;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// What may leave at once: ten datagrams (RFC 9002 section 7.7), or what the pace lets through while a timer
/// is late.
const BURST: usize = 10;
const BURST_TIME: Duration = Duration::from_millis(2);

/// For the pace: a path that is repaired takes longer.
const SHORTEST_ROUND_TRIP: Duration = Duration::from_millis(1);

/// Times without an answer after which the path counts as silent, and the longest time between two.
const SILENT: u32 = 2;
const LONGEST_PROBE_DELAY: Duration = Duration::from_secs(1);

/// Times in a row, about a second apart, after which nothing is kept any more: no outage is healed after 120 s, and
/// records may go through a TURN server by now.
const GIVEN_UP: u32 = 120;

/// The sending end.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Records that were not sent yet, and those that were, by place.
    waiting: VecDeque<Vec<u8>>,
    kept: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    next_place: u64,
    /// Places that are to be sent again.
    again: BTreeSet<u64>,
    /// Datagrams on their way, the first of which has the number `first`.
    flight: VecDeque<Sent>,
    first: u64,
    in_flight: usize,
    largest: Option<u64>,
    last_sent: Option<Instant>,
    /// Times that an answer was asked for in vain, and whether that is to be done now.
    probes: u32,
    probing: bool,
    /// Nothing more was let through by the window when it was last tried.
    limited: bool,
    round_trip: RoundTrip,
    congestion: Congestion,
    pace: Pace,
}

#[derive(Debug)]
struct Sent {
    place: u64,
    bytes: usize,
    at: Instant,
    /// Neither acknowledged nor lost.
    open: bool,
    lost: bool,
}

impl Outgoing {
    pub(super) fn new(now: Instant) -> Self {
        let datagram = usize::from(crate::net::packet::BASE);
        let burst = (BURST * datagram) as f64;
        Self {
            waiting: VecDeque::new(),
            kept: BTreeMap::new(),
            bytes: 0,
            next_place: 0,
            again: BTreeSet::new(),
            flight: VecDeque::new(),
            first: 0,
            in_flight: 0,
            largest: None,
            last_sent: None,
            probes: 0,
            probing: false,
            limited: false,
            round_trip: RoundTrip::default(),
            congestion: Congestion::new(datagram, KEPT),
            pace: Pace::new(now, burst, burst),
        }
    }

    /// Takes a record; `false` if there is no room, and it is lost.
    pub(super) fn push(&mut self, record: &[u8]) -> bool {
        let cost = record.len() + RECORD_COST;
        if self.bytes + cost > KEPT {
            return false;
        }
        self.bytes += cost;
        self.waiting.push_back(record.to_vec());
        true
    }

    /// The next datagram that may leave now.
    pub(super) fn transmit(&mut self, now: Instant) -> Option<Data<'_>> {
        let place = self.again.first().copied().or_else(|| {
            (self.probing && !self.kept.is_empty())
                .then(|| *self.kept.keys().next().expect("not empty"))
        });
        let record = match place {
            Some(place) => self.kept.get(&place),
            None => self.waiting.front(),
        };
        let Some(length) = record.map(|record| record.len() + HEADER) else {
            self.limited = false;
            return None;
        };
        // First, since a window for smaller ones would let the first large one wait for ever.
        self.congestion.sending(length);
        if !self.probing {
            self.limited = self.in_flight + length > self.congestion.window();
            if self.limited || !self.pace.wait(now).is_zero() {
                return None;
            }
        }
        self.probing = false;
        let place = match place {
            Some(place) => place,
            None => {
                let place = self.next_place;
                self.next_place += 1;
                let record = self.waiting.pop_front()?;
                self.kept.insert(place, record);
                place
            }
        };
        self.again.remove(&place);
        self.pace.sent(length);
        let number = self.next_number();
        self.flight.push_back(Sent {
            place,
            bytes: length,
            at: now,
            open: true,
            lost: false,
        });
        self.in_flight += length;
        self.last_sent = Some(now);
        tracing::trace!(
            number,
            place,
            kept = self.kept.len(),
            waiting = self.waiting.len(),
            flying = self.in_flight,
            window = self.congestion.window(),
            round_trip = ?self.round_trip.smoothed(),
            "sends"
        );
        Some(Data {
            number: number as u32,
            place: place as u32,
            record: self.kept.get(&place)?,
        })
    }

    fn next_number(&self) -> u64 {
        self.first + self.flight.len() as u64
    }

    /// An acknowledgement came.
    pub(super) fn acknowledged(&mut self, now: Instant, ack: &Ack) {
        let next = self.next_number();
        let largest = expand(ack.largest, self.largest.unwrap_or(self.first));
        if largest >= next {
            // Nobody can have received what was not sent.
            return;
        }
        let newest = self.largest.is_none_or(|known| largest > known);
        let (mut datagrams, mut bytes, mut late, mut took) = (0, 0, 0, None);
        for range in &ack.ranges {
            let (Some(high), low) = (
                largest.checked_sub(u64::from(*range.start())),
                largest.saturating_sub(u64::from(*range.end())),
            ) else {
                break;
            };
            for number in low.max(self.first)..=high {
                // Below `first` the range above is empty, so this is never less than zero.
                let Some(sent) = self.flight.get_mut((number - self.first) as usize) else {
                    break;
                };
                if std::mem::replace(&mut sent.lost, false) {
                    late += 1;
                }
                if !std::mem::replace(&mut sent.open, false) {
                    continue;
                }
                datagrams += 1;
                bytes += sent.bytes;
                if number == largest && newest {
                    took = Some(now.saturating_duration_since(sent.at));
                }
                self.again.remove(&sent.place);
                if let Some(record) = self.kept.remove(&sent.place) {
                    self.bytes -= record.len() + RECORD_COST;
                }
            }
        }
        if late > 0 {
            self.round_trip.was_only_late();
            self.congestion.was_only_late(late);
        }
        if datagrams == 0 {
            return;
        }
        // Something waits, or would if there were more of it.
        let limited = !(self.waiting.is_empty() && self.again.is_empty())
            || self.in_flight * 8 >= self.congestion.window() * 7;
        self.in_flight -= bytes;
        self.probes = 0;
        self.largest = Some(self.largest.map_or(largest, |known| known.max(largest)));
        let round_trip = took.map(|took| self.round_trip.measured(took, ack.delay));
        self.detect_loss(now);
        self.congestion.acknowledged(
            now,
            &Progress {
                largest,
                next,
                datagrams,
                bytes,
                round_trip,
                smoothed: self.round_trip.smoothed(),
                unqueued: self.round_trip.unqueued(),
                limited,
            },
        );
        self.forget(now);
        self.set_pace(now);
    }

    /// Time has passed.
    pub(super) fn timeout(&mut self, now: Instant) {
        self.detect_loss(now);
        self.forget(now);
        if self.probe_due().is_some_and(|due| due <= now) {
            self.probes += 1;
            self.probing = true;
            self.last_sent = Some(now);
            if self.probes == SILENT {
                self.congestion.silence();
            }
            if self.probes == GIVEN_UP {
                self.give_up();
            }
        }
        self.set_pace(now);
    }

    /// Forgets everything that is not acknowledged: SCTP repeats it if it is still wanted.
    fn give_up(&mut self) {
        self.waiting.clear();
        self.kept.clear();
        self.again.clear();
        (self.bytes, self.probes, self.probing) = (0, 0, false);
        // What else was sent are copies of it.
        self.forget_flight();
    }

    /// When to ask again for what is to be done, if not before.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let nothing = self.again.is_empty() && self.waiting.is_empty();
        let may_leave = !(self.limited || nothing);
        let paced = may_leave.then(|| now + self.pace.wait(now));
        [paced, self.loss_due(), self.probe_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn set_pace(&mut self, now: Instant) {
        let round_trip = self.round_trip.smoothed().max(SHORTEST_ROUND_TRIP);
        let rate = self.congestion.pace() / round_trip.as_secs_f64();
        let datagrams = BURST as f64 * self.congestion.datagram() as f64;
        let burst = datagrams.max(rate * BURST_TIME.as_secs_f64());
        self.pace.set(now, rate, burst);
    }

    fn loss_due(&self) -> Option<Instant> {
        let overtaken = self.largest?.saturating_sub(self.first) as usize;
        let sent = self.flight.iter().take(overtaken).find(|sent| sent.open)?;
        Some(sent.at + self.round_trip.loss_delay())
    }

    fn probe_due(&self) -> Option<Instant> {
        if self.in_flight == 0 {
            return None;
        }
        let delay = self.round_trip.probe_delay() * (1 << self.probes.min(8));
        Some(self.last_sent? + delay.min(LONGEST_PROBE_DELAY.max(self.round_trip.probe_delay())))
    }

    /// What was overtaken long ago is lost.
    fn detect_loss(&mut self, now: Instant) {
        let Some(largest) = self.largest else {
            return;
        };
        let patience = self.round_trip.loss_delay();
        let next = self.next_number();
        for (number, sent) in (self.first..largest).zip(&mut self.flight) {
            if sent.at + patience > now {
                break;
            }
            if std::mem::replace(&mut sent.open, false) {
                sent.lost = true;
                self.in_flight -= sent.bytes;
                if self.kept.contains_key(&sent.place) {
                    self.again.insert(sent.place);
                }
                tracing::trace!(number, "lost");
                self.congestion.lost(next, self.round_trip.unqueued());
            }
        }
    }

    fn forget_flight(&mut self) {
        self.first = self.next_number();
        self.flight.clear();
        self.in_flight = 0;
    }

    fn forget(&mut self, now: Instant) {
        // What else is on its way are copies of what was acknowledged.
        if self.kept.is_empty() {
            self.forget_flight();
        }
        // What is lost may still turn out to be late.
        let remembered = 2 * self.round_trip.loss_delay();
        let is_over = |sent: &Sent| !(sent.open || sent.lost && now < sent.at + remembered);
        while self.flight.front().is_some_and(is_over) {
            self.flight.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(outgoing: &mut Outgoing, now: Instant) -> Vec<(u32, u32)> {
        let mut left = Vec::new();
        while let Some(data) = outgoing.transmit(now) {
            left.push((data.number, data.place));
        }
        left
    }

    #[test]
    fn what_is_lost_leaves_again_under_another_number() {
        let mut now = Instant::now();
        let mut outgoing = Outgoing::new(now);
        for _ in 0..3 {
            assert!(outgoing.push(&[7; 100]));
        }
        assert_eq!(leave(&mut outgoing, now), [(0, 0), (1, 1), (2, 2)]);
        now += Duration::from_millis(20);
        let ack = Ack {
            largest: 2,
            delay: Duration::ZERO,
            ranges: vec![0..=0, 2..=2],
        };
        outgoing.acknowledged(now, &ack);
        assert!(leave(&mut outgoing, now).is_empty(), "it may be late");
        now = outgoing.due(now).expect("something is missing");
        outgoing.timeout(now);
        assert_eq!(leave(&mut outgoing, now), [(3, 1)]);
    }

    #[test]
    fn a_large_datagram_leaves_after_small_ones() {
        let now = Instant::now();
        let mut outgoing = Outgoing::new(now);
        for length in [100, 16_300, 16_300] {
            assert!(outgoing.push(&vec![7; length]));
        }
        assert_eq!(leave(&mut outgoing, now)[..2], [(0, 0), (1, 1)]);
    }

    #[test]
    fn a_path_that_is_gone_is_asked_now_and_then_and_not_for_ever() {
        let mut now = Instant::now();
        let begun = now;
        let mut outgoing = Outgoing::new(now);
        assert!(outgoing.push(&[7; 100]));
        let mut sent = leave(&mut outgoing, now).len();
        while let Some(due) = outgoing.due(now) {
            now = due.max(now + Duration::from_millis(1));
            outgoing.timeout(now);
            sent += leave(&mut outgoing, now).len();
        }
        assert!((100..130).contains(&sent), "{sent}");
        let lasted = now - begun;
        assert!((100..150).contains(&lasted.as_secs()), "{lasted:?}");
        assert_eq!((outgoing.bytes, outgoing.in_flight), (0, 0));
        assert!(outgoing.push(&[7; 100]));
        assert_eq!(
            leave(&mut outgoing, now).last().map(|(_, place)| *place),
            Some(1)
        );
    }
}
