//! Lanes and Reno over two emulated links in virtual time.

use super::super::incoming::Incoming;
use super::super::outgoing::Outgoing;
use super::super::wire::{Ack, Data};
use super::reno::{self, Reno};
use super::{MS, RECORD};
use crate::net::link::{Link, LinkConfig};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes of a record on the wire.
const DATAGRAM: usize = 1472;

/// SCTP's window: bytes that it has on its way.
const SCTP_WINDOW: usize = 1536 << 10;

/// SCTP's shortest time until it repeats (RFC 9260 section 16).
const SCTP_TIMEOUT: Duration = Duration::from_secs(1);

enum Event {
    Data(usize, u32, u32, Vec<u8>),
    Ack(usize, Ack),
    /// SCTP's own acknowledgement of so many records.
    Taken(usize, usize),
    /// SCTP finds out that this record is missing, which was passed over.
    Missing(usize, u64),
    Reno(usize, u64),
    RenoAck(usize, u64),
    Tick(usize, Instant),
    /// The path carries nothing any more, or something again.
    Gap(bool),
}

/// A lane that always has something to send.
pub(super) struct Lane {
    outgoing: Outgoing,
    incoming: Incoming,
    pushed: u64,
    /// The record that is to arrive next, and those that were passed over.
    expected: u64,
    pub(super) passed_over: Vec<u64>,
    /// Records that SCTP has on its way.
    unacknowledged: usize,
    total: u64,
}

pub(super) enum Flow {
    Lane(Box<Lane>),
    Reno(Reno),
}

impl Lane {
    fn push(&mut self, record: u64) {
        let mut bytes = record.to_be_bytes().to_vec();
        bytes.resize(RECORD, 0);
        assert!(self.outgoing.push(&bytes), "less than SCTP's window");
    }

    /// Records that were passed over before this one, which arrived.
    fn arrived(&mut self, record: u64) -> std::ops::Range<u64> {
        let missing = self.expected..record.max(self.expected);
        self.passed_over.extend(missing.clone());
        self.expected = self.expected.max(record + 1);
        missing
    }
}

impl Flow {
    pub(super) fn lane(now: Instant, total: u64) -> Self {
        Self::Lane(Box::new(Lane {
            outgoing: Outgoing::new(now),
            incoming: Incoming::default(),
            pushed: 0,
            expected: 0,
            passed_over: Vec::new(),
            unacknowledged: 0,
            total,
        }))
    }

    pub(super) fn reno() -> Self {
        Self::Reno(Reno::new())
    }
}

pub(super) struct Network {
    now: Instant,
    pub(super) flows: Vec<Flow>,
    /// One bottleneck for all, and the way back.
    there: Link,
    back: Link,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    contents: BTreeMap<u64, Event>,
    number: u64,
    /// When each flow's timer is due.
    armed: Vec<Option<Instant>>,
    /// Records that arrived, in the order that they did.
    pub(super) arrived: Vec<Vec<u64>>,
    /// The path carries nothing for so long, so often.
    gaps: Option<Gaps>,
}

/// Bursts of loss, in both directions: as long as they are meant to be on average, and apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gaps {
    pub(super) length: Duration,
    pub(super) apart: Duration,
}

impl Network {
    pub(super) fn new(config: &LinkConfig, flows: impl FnOnce(Instant) -> Vec<Flow>) -> Self {
        let now = Instant::now();
        let flows = flows(now);
        let back = LinkConfig {
            seed: config.seed + 1,
            rate: None,
            ..config.clone()
        };
        let mut network = Self {
            now,
            armed: vec![None; flows.len()],
            arrived: flows.iter().map(|_| Vec::new()).collect(),
            gaps: None,
            flows,
            there: Link::new(config.clone()),
            back: Link::new(back),
            events: BinaryHeap::new(),
            contents: BTreeMap::new(),
            number: 0,
        };
        for flow in 0..network.flows.len() {
            network.armed[flow] = Some(now);
            network.put(now, Event::Tick(flow, now));
        }
        network
    }

    pub(super) fn with_gaps(mut self, gaps: Option<Gaps>) -> Self {
        self.gaps = gaps;
        if let Some(gaps) = gaps {
            self.put(self.now + gaps.apart, Event::Gap(true));
        }
        self
    }

    /// Runs until so many records of the first flow have arrived, or so many seconds have passed; what passed.
    pub(super) fn run_until(&mut self, records: usize, seconds: u64) -> Duration {
        let begun = self.now;
        while self.arrived[0].len() < records && self.now - begun < Duration::from_secs(seconds) {
            self.run(100 * MS);
        }
        self.now - begun
    }

    fn put(&mut self, at: Instant, event: Event) {
        self.events.push(Reverse((at, self.number)));
        self.contents.insert(self.number, event);
        self.number += 1;
    }

    /// Runs for so long, or until nothing happens any more.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(Reverse((at, number))) = self.events.pop() {
            if at > end {
                self.events.push(Reverse((at, number)));
                break;
            }
            self.now = self.now.max(at);
            let event = self.contents.remove(&number).expect("each has contents");
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        let flow = match event {
            Event::Data(flow, number, place, record) => {
                let Flow::Lane(lane) = &mut self.flows[flow] else {
                    return;
                };
                let mut ready = VecDeque::new();
                let data = Data {
                    number,
                    place,
                    record: &record,
                };
                lane.incoming.received(now, &data, &mut ready);
                let ack = lane.incoming.acknowledge(now).expect("something is new");
                let records: Vec<_> = ready
                    .iter()
                    .map(|record| u64::from_be_bytes(record[..8].try_into().expect("8 bytes")))
                    .collect();
                let missing: Vec<_> = records
                    .iter()
                    .flat_map(|&record| lane.arrived(record))
                    .collect();
                self.arrived[flow].extend(records);
                for record in missing {
                    self.put(now + SCTP_TIMEOUT, Event::Missing(flow, record));
                }
                for at in self.back.send(now, 50).into_iter().flatten() {
                    self.put(at, Event::Ack(flow, ack.clone()));
                }
                if !ready.is_empty() {
                    // SCTP's acknowledgements are cumulative: the next one makes up for one that is lost.
                    let at = self.back.send(now, 50).into_iter().flatten().next();
                    let at = at.unwrap_or(now + 200 * MS);
                    self.put(at, Event::Taken(flow, ready.len()));
                }
                return;
            }
            Event::Ack(flow, ack) => {
                if let Flow::Lane(lane) = &mut self.flows[flow] {
                    lane.outgoing.acknowledged(now, &ack);
                }
                flow
            }
            Event::Taken(flow, records) => {
                if let Flow::Lane(lane) = &mut self.flows[flow] {
                    lane.unacknowledged -= records;
                }
                flow
            }
            Event::Missing(flow, record) => {
                if let Flow::Lane(lane) = &mut self.flows[flow] {
                    lane.push(record);
                }
                flow
            }
            Event::Reno(flow, number) => {
                self.arrived[flow].push(number);
                for at in self.back.send(now, 50).into_iter().flatten() {
                    self.put(at, Event::RenoAck(flow, number));
                }
                return;
            }
            Event::RenoAck(flow, number) => {
                if let Flow::Reno(reno) = &mut self.flows[flow] {
                    reno.acknowledged(number);
                }
                flow
            }
            Event::Gap(begins) => {
                self.there.set_outage(begins);
                self.back.set_outage(begins);
                if let Some(gaps) = self.gaps {
                    // Between half of it and one and a half, by chance.
                    let length = if begins { gaps.length } else { gaps.apart };
                    let share = (self.number * 2_654_435_761 % 1000) as f64 / 1000.0;
                    let at = now + length.mul_f64(0.5 + share);
                    self.put(at, Event::Gap(!begins));
                }
                return;
            }
            Event::Tick(flow, due) => {
                if self.armed[flow] != Some(due) {
                    return;
                }
                self.armed[flow] = None;
                if let Flow::Lane(lane) = &mut self.flows[flow] {
                    lane.outgoing.timeout(now);
                }
                flow
            }
        };
        self.send(flow);
    }

    fn send(&mut self, flow: usize) {
        let now = self.now;
        let mut leaving = Vec::new();
        let due = match &mut self.flows[flow] {
            Flow::Lane(lane) => {
                while lane.unacknowledged * RECORD < SCTP_WINDOW && lane.pushed < lane.total {
                    lane.push(lane.pushed);
                    lane.pushed += 1;
                    lane.unacknowledged += 1;
                }
                while let Some(data) = lane.outgoing.transmit(now) {
                    leaving.push(Event::Data(
                        flow,
                        data.number,
                        data.place,
                        data.record.to_vec(),
                    ));
                }
                lane.outgoing.due(now)
            }
            Flow::Reno(reno) => {
                let numbers = reno.transmit(now).into_iter();
                leaving.extend(numbers.map(|number| Event::Reno(flow, number)));
                Some(now + reno::TIMEOUT)
            }
        };
        for event in leaving {
            for at in self.there.send(now, DATAGRAM).into_iter().flatten() {
                let copy = match &event {
                    Event::Data(flow, number, place, record) => {
                        Event::Data(*flow, *number, *place, record.clone())
                    }
                    Event::Reno(flow, number) => Event::Reno(*flow, *number),
                    _ => unreachable!("nothing else leaves"),
                };
                self.put(at, copy);
            }
        }
        if let Some(due) = due
            && self.armed[flow].is_none_or(|armed| due < armed)
        {
            self.armed[flow] = Some(due);
            // A timer is late by up to a millisecond.
            self.put(due.max(now) + MS, Event::Tick(flow, due));
        }
    }

    /// Megabits a second of each flow since `since` records had arrived of it.
    fn rates(&self, since: &[usize], duration: Duration) -> Vec<f64> {
        let flows = self.arrived.iter().zip(since);
        flows
            .map(|(arrived, since)| {
                (arrived.len() - since) as f64 * RECORD as f64 * 8e-6 / duration.as_secs_f64()
            })
            .collect()
    }

    fn counts(&self) -> Vec<usize> {
        self.arrived.iter().map(Vec::len).collect()
    }

    /// What each flow carries in so many seconds, after so many.
    pub(super) fn measure(&mut self, after: u64, seconds: u64) -> Vec<f64> {
        self.run(Duration::from_secs(after));
        let before = self.counts();
        self.run(Duration::from_secs(seconds));
        self.rates(&before, Duration::from_secs(seconds))
    }
}
