//! Both ends of lanes over emulated links in virtual time: that everything arrives, and how lanes share a
//! bottleneck with each other and with Reno's congestion control, which is SCTP's.

mod reno;

use self::reno::Reno;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::wire::{Ack, Data};
use crate::net::link::{Link, LinkConfig};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// Bytes of a record on Ethernet, and on the wire.
const RECORD: usize = 1455;
const DATAGRAM: usize = 1472;

/// SCTP's window: bytes that it has on its way.
const SCTP_WINDOW: usize = 1536 << 10;

enum Event {
    Data(usize, u32, u32, Vec<u8>),
    Ack(usize, Ack),
    /// SCTP's own acknowledgement of so many records.
    Taken(usize, usize),
    Reno(usize, u64),
    RenoAck(usize, u64),
    Tick(usize, Instant),
    /// The path carries nothing any more, or something again.
    Gap(bool),
}

/// A lane that always has something to send.
struct Lane {
    outgoing: Outgoing,
    incoming: Incoming,
    pushed: u64,
    /// Records that SCTP has on its way.
    unacknowledged: usize,
    total: u64,
}

enum Flow {
    Lane(Box<Lane>),
    Reno(Reno),
}

impl Flow {
    fn lane(now: Instant, total: u64) -> Self {
        Self::Lane(Box::new(Lane {
            outgoing: Outgoing::new(now),
            incoming: Incoming::default(),
            pushed: 0,
            unacknowledged: 0,
            total,
        }))
    }

    fn reno() -> Self {
        Self::Reno(Reno::new())
    }
}

struct Network {
    now: Instant,
    flows: Vec<Flow>,
    /// One bottleneck for all, and the way back.
    there: Link,
    back: Link,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    contents: BTreeMap<u64, Event>,
    number: u64,
    /// When each flow's timer is due.
    armed: Vec<Option<Instant>>,
    /// Records that arrived, in the order that they did.
    arrived: Vec<Vec<u64>>,
    /// The path carries nothing for so long, so often.
    gaps: Option<Gaps>,
}

/// Bursts of loss, in both directions: as long as they are meant to be on average, and apart.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    length: Duration,
    apart: Duration,
}

impl Network {
    fn new(config: &LinkConfig, flows: impl FnOnce(Instant) -> Vec<Flow>) -> Self {
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

    fn with_gaps(mut self, gaps: Option<Gaps>) -> Self {
        self.gaps = gaps;
        if let Some(gaps) = gaps {
            self.put(self.now + gaps.apart, Event::Gap(true));
        }
        self
    }

    /// Runs until so many records of the first flow have arrived, or so many seconds have passed; what passed.
    fn run_until(&mut self, records: usize, seconds: u64) -> Duration {
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
    fn run(&mut self, duration: Duration) {
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
        let flow =
            match event {
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
                    self.arrived[flow].extend(ready.iter().map(|record| {
                        u64::from_be_bytes(record[..8].try_into().expect("8 bytes"))
                    }));
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
                    let mut record = lane.pushed.to_be_bytes().to_vec();
                    record.resize(RECORD, 0);
                    assert!(lane.outgoing.push(&record), "less than SCTP's window");
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
    fn measure(&mut self, after: u64, seconds: u64) -> Vec<f64> {
        self.run(Duration::from_secs(after));
        let before = self.counts();
        self.run(Duration::from_secs(seconds));
        self.rates(&before, Duration::from_secs(seconds))
    }
}

fn link(loss: f64, queue: u64) -> LinkConfig {
    LinkConfig {
        delay: 50 * MS,
        loss,
        rate: Some(12_500_000),
        queue,
        seed: 11,
        ..LinkConfig::default()
    }
}

fn lanes(config: &LinkConfig, flows: usize, after: u64, seconds: u64) -> Vec<f64> {
    let make = |now| (0..flows).map(|_| Flow::lane(now, u64::MAX)).collect();
    Network::new(config, make).measure(after, seconds)
}

#[test]
fn loss_at_random_costs_a_long_path_little() {
    for (loss, queue, at_least) in [
        (0.0, 64, 80.0),
        (0.0, 256, 90.0),
        // SCTP's window, which waits twice as long for what is repaired; without loss it would be the link.
        (0.01, 64, 50.0),
        (0.01, 256, 50.0),
        (0.02, 256, 40.0),
    ] {
        let rate = lanes(&link(loss, queue << 10), 1, 5, 20)[0];
        assert!(rate > at_least, "{loss} lost, queue of {queue} KiB: {rate}");
    }
}

#[test]
fn lanes_share_a_bottleneck() {
    for (loss, queue) in [(0.0, 64), (0.0, 256), (0.01, 64), (0.01, 256)] {
        let rates = lanes(&link(loss, queue << 10), 2, 20, 20);
        let (sum, least) = (rates[0] + rates[1], rates[0].min(rates[1]));
        assert!(
            sum > 75.0 && least > sum / 4.0,
            "{loss} lost, queue of {queue} KiB: {rates:?}"
        );
    }
}

/// What loses at random leaves Reno its 1.4 Mbit/s; what does not, a share as beside TCP's CUBIC.
#[test]
fn sctp_is_not_starved() {
    for (loss, queue, at_least) in [(0.0, 64, 5.0), (0.0, 256, 8.0), (0.01, 64, 0.8)] {
        let config = link(loss, queue << 10);
        let both = |now| vec![Flow::lane(now, u64::MAX), Flow::reno()];
        let rates = Network::new(&config, both).measure(10, 40);
        assert!(
            rates[1] > at_least,
            "{loss} lost, queue of {queue} KiB: {rates:?}"
        );
    }
}

/// 8 MiB over a line of 100 Mbit/s that takes 30 ms: the limits are twice the worst that was measured.
#[test]
fn a_bad_path_is_no_reason_to_stop() {
    let home = |jitter| LinkConfig {
        delay: 15 * MS,
        jitter: jitter * MS,
        rate: Some(12_500_000),
        ..LinkConfig::default()
    };
    // What did not end in 90 s over a session's own connection before that was repaired.
    let wild = LinkConfig {
        loss: 0.02,
        reorder: 0.02,
        duplicate: 0.02,
        ..home(10)
    };
    let far = LinkConfig {
        loss: 0.01,
        ..home(30)
    };
    let short = LinkConfig {
        loss: 0.01,
        queue: 16 << 10,
        ..home(0)
    };
    let everything = LinkConfig {
        loss: 0.05,
        reorder: 0.1,
        duplicate: 0.1,
        queue: 32 << 10,
        ..home(10)
    };
    let bursts = Some(Gaps {
        length: 60 * MS,
        apart: 400 * MS,
    });
    let records = (8 << 20) / RECORD;
    for (what, config, gaps, limit) in [
        ("jitter, loss, reordering, duplicates", wild, None, 3),
        ("jitter as long as the path", far, None, 3),
        ("a short queue", short, None, 3),
        ("bursts", home(2), bursts, 4),
        ("everything", everything, bursts, 12),
    ] {
        let mut longest = Duration::ZERO;
        for seed in 0..20 {
            let config = LinkConfig {
                seed,
                ..config.clone()
            };
            let one = |now| vec![Flow::lane(now, records as u64)];
            let mut network = Network::new(&config, one).with_gaps(gaps);
            let took = network.run_until(records, 300);
            assert_eq!(network.arrived[0].len(), records, "{what}, seed {seed}");
            longest = longest.max(took);
        }
        println!("{what}: {longest:?}");
        assert!(longest <= Duration::from_secs(limit), "{what}: {longest:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a path loses, reorders or doubles: everything arrives, once and in order.
    #[test]
    fn everything_arrives_once_and_in_order(
        loss in 0.0..0.1f64,
        reorder in 0.0..0.3f64,
        duplicate in 0.0..0.3f64,
        jitter in 0u64..50,
        delay in 0u64..100,
        records in 1u64..2_000,
        rate in prop::option::of(1_000_000u64..10_000_000),
        seed in 0u64..,
        gaps in prop::option::of((5u64..200, 500u64..3_000)),
    ) {
        let config = LinkConfig {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            loss,
            reorder,
            duplicate,
            rate,
            queue: 64 << 10,
            seed: seed >> 1,
            ..LinkConfig::default()
        };
        let gaps = gaps.map(|(length, apart)| Gaps {
            length: Duration::from_millis(length),
            apart: Duration::from_millis(apart),
        });
        let one = |now| vec![Flow::lane(now, records)];
        let mut network = Network::new(&config, one).with_gaps(gaps);
        let took = network.run_until(records as usize, 300);
        let given = &network.arrived[0];
        prop_assert!(given.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(given.len(), records as usize, "of {} after {:?}", records, took);
    }
}
