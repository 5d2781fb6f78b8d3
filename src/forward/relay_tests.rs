//! Any pattern of loss, order, repetition and switching leaves each receiver one stream.

use super::cache::BYTES;
use super::keys::INTERVAL;
use super::layer::REPLAY;
use super::picture;
use super::relay::{Action, Input, Relay, Subscriber};
use crate::media::{Codec, Packet};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Rows of the layers of a simulcast.
const ROWS: [u16; 3] = [180, 360, 720];

/// A publisher's layer, as Chromium sends VP8.
struct Encoder {
    ssrc: u32,
    rows: u16,
    sequence: u16,
    timestamp: u32,
    picture: u16,
}

impl Encoder {
    fn new(layer: usize) -> Self {
        Self {
            ssrc: layer as u32 + 1,
            rows: ROWS[layer],
            sequence: 65_500 + 7 * layer as u16,
            timestamp: u32::MAX - 5_000 * layer as u32,
            picture: 0x7ff0 + layer as u16,
        }
    }

    /// The next picture, in so many packets.
    fn frame(&mut self, key: bool, packets: usize) -> Vec<Packet> {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.picture = (self.picture + 1) & 0x7fff;
        let frame = |index| {
            let [high, low] = self.picture.to_be_bytes();
            let start = if index == 0 { 0x10 } else { 0 };
            let [low_rows, high_rows] = self.rows.to_le_bytes();
            let first = u8::from(!key);
            let mut payload = vec![0x80 | start, 0xe0, 0x80 | high, low, low, 0];
            payload.extend([first, 0, 0, 0x9d, 0x01, 0x2a, 0, 1, low_rows, high_rows]);
            self.sequence = self.sequence.wrapping_add(1);
            Packet {
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: index == packets - 1,
                payload: payload.into(),
            }
        };
        (0..packets).map(frame).collect()
    }
}

/// What one receiver got.
#[derive(Default)]
struct Got {
    /// By number, counted without wrapping.
    packets: BTreeMap<i64, Packet>,
    again: HashMap<i64, u8>,
    begin: u16,
}

struct World {
    now: Instant,
    relay: Relay,
    encoders: Vec<Encoder>,
    key_next: [bool; 3],
    got: BTreeMap<Subscriber, Got>,
    gone: Vec<Got>,
    lost: usize,
    asked: HashMap<u32, Instant>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            relay: Relay::new(Codec::Vp8),
            encoders: (0..3).map(Encoder::new).collect(),
            key_next: [true; 3],
            got: BTreeMap::new(),
            gone: Vec::new(),
            lost: 0,
            asked: HashMap::new(),
        }
    }

    fn give(&mut self, input: Input) {
        let is_resend = matches!(input, Input::Nack(..));
        for action in self.relay.handle(self.now, input) {
            match action {
                Action::AskKey { ssrc } => {
                    let before = self.asked.insert(ssrc, self.now);
                    assert!(before.is_none_or(|before| self.now - before >= INTERVAL));
                    self.key_next[ssrc as usize - 1] = true;
                }
                Action::Report { .. } => unreachable!("nothing was reported"),
                Action::Send { to, packet } => {
                    let got = self.got.get_mut(&to).expect("only to subscribers");
                    let newest = got.packets.last_key_value().map(|(number, _)| *number);
                    let near = newest.unwrap_or(i64::from(got.begin));
                    let number = near + i64::from(packet.sequence.wrapping_sub(near as u16) as i16);
                    if is_resend {
                        assert_eq!(got.packets.get(&number), Some(&packet), "the same again");
                        *got.again.entry(number).or_default() += 1;
                        continue;
                    }
                    assert!(newest.is_some() || packet.sequence == got.begin);
                    let before = got.packets.insert(number, packet);
                    assert_eq!(before, None, "{number} came twice");
                }
            }
        }
        assert!(self.relay.held().all(|bytes| bytes <= BYTES));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self
            .relay
            .deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.give(Input::Tick);
        }
    }

    fn subscribe(&mut self, who: u64) {
        let who = Subscriber(who);
        let begin = 65_530;
        let got = Got {
            begin,
            ..Got::default()
        };
        self.gone.extend(self.got.insert(who, got));
        self.give(Input::Subscribe {
            who,
            sequence: begin,
            timestamp: u32::MAX - 10,
        });
    }

    fn frame(&mut self, layer: usize, packets: usize) -> Vec<(u32, Packet)> {
        let key = std::mem::take(&mut self.key_next[layer]);
        let encoder = &mut self.encoders[layer];
        let ssrc = encoder.ssrc;
        let frame = encoder.frame(key, packets);
        frame.into_iter().map(|packet| (ssrc, packet)).collect()
    }

    /// A picture of each layer, without loss.
    fn round(&mut self) {
        for layer in 0..3 {
            for (ssrc, packet) in self.frame(layer, 2) {
                self.give(Input::Packet { ssrc, packet });
            }
        }
        self.pass(Duration::from_millis(33));
    }

    fn rows(&self, who: u64) -> Option<u16> {
        let (_, packet) = self.got[&Subscriber(who)].packets.last_key_value()?;
        let rows = [packet.payload[14], packet.payload[15]];
        Some(u16::from_le_bytes(rows))
    }

    fn check(self) {
        for got in self.got.values() {
            // Whoever has gone may lack what was late.
            let first = i64::from(got.begin);
            let last = got.packets.last_key_value().map(|(number, _)| *number);
            let holes = last.map_or(0, |last| (last - first + 1) as usize) - got.packets.len();
            assert!(holes <= self.lost, "{holes} holes, {} lost", self.lost);
        }
        for got in self.gone.into_iter().chain(self.got.into_values()) {
            let first = got.packets.first_key_value();
            assert!(first.is_none_or(|(first, _)| *first == i64::from(got.begin)));
            assert!(got.again.values().all(|times| *times <= 5));
            let packets: Vec<_> = got.packets.values().collect();
            for pair in packets.windows(2) {
                let later = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
                assert!(later >= 0, "time went back by {later}");
                let [a, b] = [pair[0], pair[1]].map(|p| picture::numbers(&p.payload).unwrap());
                let step = b.picture.wrapping_sub(a.picture) & 0x7fff;
                assert!(step < 0x4000, "pictures went back");
                assert_eq!(step == 0, later == 0, "{a:?} {b:?}");
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// A picture of a layer in so many packets, each lost, late by so many operations, or twice.
    Frame(usize, Vec<(bool, usize, bool)>),
    Subscribe(u64),
    Unsubscribe(u64),
    KeyWanted(u64),
    Nack(u64, u16),
    Loss(u64, f32),
    Wish(u64, u32),
    Pass(u64),
}

fn op(lossy: bool) -> impl Strategy<Value = Op> {
    let packet = (Just(lossy), any::<bool>(), 0usize..6, any::<u8>());
    let packet = packet.prop_map(|(lossy, lost, late, twice)| {
        (
            lossy && lost && twice < 80,
            late.saturating_sub(2),
            twice > 230,
        )
    });
    prop_oneof![
        12 => (0usize..3, proptest::collection::vec(packet, 1..4)).prop_map(|(l, p)| Op::Frame(l, p)),
        2 => (0u64..3).prop_map(Op::Subscribe),
        1 => (0u64..3).prop_map(Op::Unsubscribe),
        1 => (0u64..3).prop_map(Op::KeyWanted),
        2 => (0u64..3, 0u16..40).prop_map(|(who, back)| Op::Nack(who, back)),
        1 => (0u64..3, 0f32..1.0).prop_map(|(who, lost)| Op::Loss(who, lost)),
        2 => (0u64..3, prop_oneof![Just(0u32), Just(100), Just(360), Just(720)])
            .prop_map(|(who, rows)| Op::Wish(who, rows)),
        4 => (0u64..25).prop_map(Op::Pass),
    ]
}

fn run(ops: Vec<Op>) {
    let mut world = World::new();
    let mut late: Vec<(usize, u32, Packet)> = Vec::new();
    for (index, op) in ops.into_iter().enumerate() {
        match op {
            Op::Frame(layer, fates) => {
                let frame = world.frame(layer, fates.len());
                for ((ssrc, packet), (lost, delay, twice)) in frame.into_iter().zip(fates) {
                    world.lost += usize::from(lost);
                    if lost {
                        continue;
                    }
                    late.push((index + delay, ssrc, packet.clone()));
                    if twice {
                        late.push((index + delay + 1, ssrc, packet));
                    }
                }
            }
            Op::Subscribe(who) => world.subscribe(who),
            Op::Unsubscribe(who) => {
                world.gone.extend(world.got.remove(&Subscriber(who)));
                world.give(Input::Unsubscribe(Subscriber(who)));
            }
            Op::KeyWanted(who) => world.give(Input::KeyWanted(Subscriber(who))),
            Op::Nack(who, back) => {
                let newest = world.got.get(&Subscriber(who)).and_then(|got| {
                    let (_, packet) = got.packets.last_key_value()?;
                    Some(packet.sequence)
                });
                if let Some(newest) = newest {
                    let sequences = vec![newest.wrapping_sub(back), newest.wrapping_add(9)];
                    world.give(Input::Nack(Subscriber(who), sequences));
                }
            }
            Op::Loss(who, lost) => world.give(Input::Loss(Subscriber(who), lost)),
            Op::Wish(who, rows) => world.give(Input::Wish(Subscriber(who), rows)),
            Op::Pass(ms) => world.pass(Duration::from_millis(ms)),
        }
        let (due, later) = late.into_iter().partition(|(at, ..)| *at <= index);
        late = later;
        let due: Vec<(usize, u32, Packet)> = due;
        for (_, ssrc, packet) in due {
            world.give(Input::Packet { ssrc, packet });
        }
    }
    for (_, ssrc, packet) in late {
        world.give(Input::Packet { ssrc, packet });
    }
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_loss_nothing_is_missing(ops in proptest::collection::vec(op(false), 0..150)) {
        run(ops);
    }

    #[test]
    fn with_loss_only_that_is_missing(ops in proptest::collection::vec(op(true), 0..150)) {
        run(ops);
    }
}

#[test]
fn a_key_frame_that_comes_late_fills_its_hole() {
    let frame = |layer, delays: &[usize]| {
        let fates = delays.iter().map(|delay| (false, *delay, false));
        Op::Frame(layer, fates.collect())
    };
    run(vec![
        Op::Subscribe(0),
        frame(0, &[1, 0]),
        // It asks for a key frame, the first packet of which comes when this receiver has had a larger layer meanwhile, and is
        // to have this one again.
        Op::Subscribe(0),
        frame(0, &[2, 0]),
        frame(1, &[0]),
        Op::Loss(0, 0.65),
    ]);
}

#[test]
fn a_late_receiver_has_a_picture_at_once_or_within_half_a_second() {
    let mut world = World::new();
    world.round();
    world.subscribe(1);
    assert_eq!(world.rows(1), Some(720), "from the cache");
    assert_eq!(world.relay.counts().key_requests, 0);
    world.pass(REPLAY);
    world.round();
    // The two others ask for one, once.
    world.subscribe(2);
    world.subscribe(3);
    assert_eq!(world.rows(2), None);
    world.round();
    assert_eq!((world.rows(2), world.rows(3)), (Some(720), Some(720)));
    assert_eq!(world.relay.counts().key_requests, 1);
    // The limit is used up, and the last key frame is held.
    world.subscribe(4);
    assert_eq!(world.rows(4), Some(720));
    assert_eq!(world.relay.counts().key_requests, 1);
    world.check();
}

#[test]
fn a_receiver_that_loses_gets_less_at_a_key_frame_only() {
    let mut world = World::new();
    world.round();
    world.subscribe(1);
    world.subscribe(2);
    world.pass(INTERVAL);
    world.round();
    world.give(Input::Loss(Subscriber(1), 0.5));
    world.key_next = [false; 3];
    // The layer below is asked for, and what there is goes on until it comes.
    world.round();
    assert_eq!(world.rows(1), Some(720));
    world.round();
    assert_eq!((world.rows(1), world.rows(2)), (Some(360), Some(720)));
    assert_eq!(world.relay.counts().switches, 1);
    world.give(Input::Wish(Subscriber(2), 200));
    world.pass(INTERVAL);
    world.round();
    world.round();
    assert_eq!(world.rows(2), Some(180));
    world.check();
}

#[test]
fn a_layer_that_falls_silent_is_left() {
    let mut world = World::new();
    world.round();
    world.subscribe(1);
    for _ in 0..80 {
        for (ssrc, packet) in world.frame(0, 1) {
            world.give(Input::Packet { ssrc, packet });
        }
        world.pass(Duration::from_millis(33));
    }
    assert_eq!(world.rows(1), Some(180));
    assert_eq!(world.relay.rows(world.now), 180);
    world.check();
}

#[test]
fn a_layer_of_which_only_padding_comes_is_left() {
    let mut world = World::new();
    world.round();
    world.subscribe(1);
    world.subscribe(2);
    for frames in 0..80 {
        for (ssrc, packet) in world.frame(0, 1) {
            world.give(Input::Packet { ssrc, packet });
        }
        for (ssrc, mut packet) in world.frame(2, 1) {
            packet.payload = Bytes::new();
            world.give(Input::Packet { ssrc, packet });
        }
        world.pass(Duration::from_millis(33));
        match frames {
            5 => world.give(Input::KeyWanted(Subscriber(1))),
            60 => world.subscribe(3),
            _ => {}
        }
    }
    let who = [1, 2, 3].map(|who| world.rows(who));
    assert_eq!(who, [Some(180); 3]);
    world.give(Input::KeyWanted(Subscriber(3)));
    let asked = world.asked[&world.encoders[2].ssrc];
    assert!(world.now - asked > INTERVAL, "it is not asked any more");
    assert_eq!(world.relay.rows(world.now), 180);
}

#[test]
fn a_packet_is_repeated_five_times_and_not_within_a_round_trip() {
    let mut world = World::new();
    world.subscribe(1);
    world.round();
    let sequence = world.got[&Subscriber(1)].begin;
    for _ in 0..30 {
        world.give(Input::Nack(Subscriber(1), vec![sequence]));
        world.pass(Duration::from_millis(5));
    }
    assert_eq!(world.relay.counts().resent, 5);
}

#[test]
fn sound_begins_with_the_next_packet_and_goes_on_when_its_source_begins_anew() {
    let start = Instant::now();
    let mut relay = Relay::new(Codec::Opus);
    let packet = |sequence, timestamp| Input::Packet {
        ssrc: 1,
        packet: Packet {
            sequence,
            timestamp,
            marker: false,
            payload: Bytes::from_static(&[0xfc, 1]),
        },
    };
    let who = Subscriber(1);
    let subscribe = Input::Subscribe {
        who,
        sequence: 7,
        timestamp: 100,
    };
    assert_eq!(relay.handle(start, packet(1, 0)), []);
    assert_eq!(relay.handle(start, subscribe), []);
    let mut out = Vec::new();
    for (index, (sequence, timestamp)) in [(2, 960), (3, 1_920), (40_000, 5), (40_001, 965)]
        .into_iter()
        .enumerate()
    {
        let now = start + index as u32 * Duration::from_millis(20);
        for action in relay.handle(now, packet(sequence, timestamp)) {
            let Action::Send { packet, .. } = action else {
                panic!("{action:?}");
            };
            out.push((packet.sequence, packet.timestamp));
        }
    }
    assert_eq!(out, [(7, 100), (8, 1_060), (9, 1_060 + 1_920)]);
    assert_eq!(relay.handle(start, Input::Unsubscribe(who)), []);
    assert!(!relay.is_wanted());
}
