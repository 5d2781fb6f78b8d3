//! Two multiplexers and a wire between them.

use super::*;
use crate::tunnel::half::SEND_BUFFER;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Both ends of a tunnel; what one sends the other has at once.
struct Ends([Mux; 2]);

impl Ends {
    fn new() -> Self {
        Self([Side::Opener, Side::Acceptor].map(Mux::new))
    }

    /// One frame from one end to the other; whether there was one.
    fn carry(&mut self, from: usize) -> bool {
        let Some((_, message)) = self.0[from].transmit() else {
            return false;
        };
        let frame = Frame::read(message).expect("we write what we read");
        self.0[1 - from]
            .handle(frame)
            .expect("we keep to the rules");
        true
    }

    fn settle(&mut self) {
        while self.carry(0) | self.carry(1) {}
    }

    /// A stream from the opener that the acceptor has taken.
    fn stream(&mut self, target: &str) -> u32 {
        let id = self.0[0].open(target.to_owned()).unwrap();
        self.settle();
        assert_eq!(self.0[1].arrival(), Some((id, target.to_owned())));
        self.0[1].accept(id);
        self.settle();
        assert_eq!(self.0[0].is_accepted(id), Ok(true));
        id
    }

    fn read_all(&mut self, end: usize, id: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(Read::Bytes(more)) = self.0[end].read(id) {
            bytes.extend_from_slice(&more);
            self.settle();
        }
        bytes
    }
}

fn frame(stream: u32, body: Body) -> Frame {
    Frame::new(stream, body)
}

#[test]
fn a_stream_is_forgotten_when_both_sides_have_taken_it() {
    let mut ends = Ends::new();
    let id = ends.stream("echo");
    assert_eq!(ends.0[0].write(id, b"question"), Ok(8));
    ends.0[0].end(id);
    ends.settle();
    assert_eq!(ends.read_all(1, id), b"question");
    assert_eq!(ends.0[1].read(id), Ok(Read::End));
    ends.0[1].take(id);
    assert_eq!(ends.0[1].write(id, b"answer"), Ok(6));
    ends.settle();
    assert_eq!(ends.0[0].is_taken(id), Ok(true), "one direction is over");
    ends.0[1].end(id);
    ends.0[1].release(id);
    assert!(ends.0[1].knows(id), "its last words are on their way");
    ends.settle();
    assert_eq!(ends.read_all(0, id), b"answer");
    assert_eq!(ends.0[0].read(id), Ok(Read::End));
    ends.0[0].take(id);
    ends.0[0].release(id);
    ends.settle();
    assert!(!ends.0[0].knows(id) && !ends.0[1].knows(id));
}

#[test]
fn one_that_is_not_read_holds_nobody_up() {
    let mut ends = Ends::new();
    let (stalled, other) = (ends.stream("stalled"), ends.stream("other"));
    let chunk = vec![1; SEND_BUFFER];
    let mut taken = 0;
    loop {
        let written = ends.0[0].write(stalled, &chunk).unwrap();
        taken += written;
        ends.settle();
        if written == 0 {
            break;
        }
    }
    let first = usize::try_from(FIRST_WINDOW).unwrap();
    assert_eq!(taken, first + SEND_BUFFER, "and it is not kept without end");
    let mut passed = 0;
    while passed < 1 << 20 {
        passed += ends.0[0].write(other, &chunk).unwrap();
        ends.settle();
        let _ = ends.read_all(1, other);
    }
    assert_eq!(ends.read_all(1, stalled).len(), taken);
}

#[test]
fn whoever_waits_has_a_turn() {
    let mut ends = Ends::new();
    let ids: Vec<_> = (0..3).map(|_| ends.stream("x")).collect();
    for id in &ids {
        ends.0[0].write(*id, &[0; SEND_BUFFER]).unwrap();
        ends.0[0].handle(frame(*id, Body::Grant(1 << 20))).unwrap();
    }
    let mut order = Vec::new();
    while let Some((id, _)) = ends.0[0].transmit() {
        order.push(id);
        // It has more at once, and goes behind the others all the same.
        if order.len() <= ids.len() {
            ends.0[0].write(id, &[0; SEND_BUFFER]).unwrap();
        }
    }
    assert_eq!(order, [&ids[..], &ids].concat());
}

#[test]
fn what_is_dropped_half_way_is_reset() {
    for dropper in [0, 1] {
        let mut ends = Ends::new();
        let id = ends.stream("x");
        ends.0[dropper].write(id, b"half").unwrap();
        ends.0[dropper].release(id);
        ends.settle();
        let other = &mut ends.0[1 - dropper];
        let reset = other.read(id).expect_err("it never looks complete");
        assert_eq!(reset.code, ResetCode::Cancelled);
        assert!(other.write(id, b"x").is_err());
        other.release(id);
        ends.settle();
        assert!(!ends.0[0].knows(id) && !ends.0[1].knows(id));
    }
}

#[test]
fn a_refusal_says_why() {
    let mut ends = Ends::new();
    let id = ends.0[0].open("secret".to_owned()).unwrap();
    ends.0[0].write(id, b"early").unwrap();
    ends.settle();
    let (arrival, _) = ends.0[1].arrival().unwrap();
    let reset = Reset::new(ResetCode::Refused, "no");
    ends.0[1].reset(arrival, reset.clone());
    ends.0[1].release(arrival);
    // It does not know yet.
    ends.0[0].write(id, b"more").unwrap();
    assert!(ends.carry(0));
    ends.settle();
    assert_eq!(ends.0[0].is_accepted(id), Err(reset));
    assert!(!ends.0[1].knows(id));
}

#[test]
fn one_that_the_peer_gave_up_before_anybody_looked_is_not_told() {
    let mut ends = Ends::new();
    let id = ends.0[0].open("x".to_owned()).unwrap();
    ends.settle();
    ends.0[0].release(id);
    ends.settle();
    assert_eq!(ends.0[1].arrival(), None);
    assert!(!ends.0[0].knows(id) && !ends.0[1].knows(id));
}

#[test]
fn more_than_may_be_open_are_refused_and_floods_end_it() {
    let mut mux = Mux::new(Side::Acceptor);
    let open = |id| frame(2 * id, Body::Open(String::new()));
    for id in 0..u32::try_from(MAX_STREAMS).unwrap() {
        assert_eq!(mux.handle(open(id)), Ok(Event::Arrived));
    }
    let beyond = u32::try_from(MAX_STREAMS).unwrap();
    for id in beyond..beyond + u32::try_from(MAX_REFUSALS).unwrap() {
        assert!(mux.handle(open(id)).is_ok());
    }
    assert!(mux.handle(open(1 << 20)).is_err());
    let (_, refusal) = mux.transmit().unwrap();
    let Body::Reset(reset) = Frame::read(refusal).unwrap().body else {
        panic!("not refused");
    };
    assert_eq!(reset.code, ResetCode::Busy);
}

#[test]
fn what_is_against_the_rules_ends_the_tunnel() {
    let too_much = Bytes::from(vec![0; usize::try_from(FIRST_WINDOW).unwrap() + 1]);
    let data = || Body::Data(Bytes::from_static(b"x"));
    for (what, frames) in [
        ("a number of ours", vec![frame(1, Body::Open("x".into()))]),
        ("a number twice", vec![frame(0, Body::Open("x".into()))]),
        ("an unknown stream", vec![frame(2, data())]),
        ("an unknown stream of ours", vec![frame(1, Body::Accept)]),
        ("accepting its own", vec![frame(0, Body::Accept)]),
        ("more than it may", vec![frame(0, Body::Data(too_much))]),
        (
            "two ends",
            vec![frame(0, Body::End(0)), frame(0, Body::End(0))],
        ),
        (
            "a wrong count",
            vec![frame(0, data()), frame(0, Body::End(2))],
        ),
        (
            "data after the end",
            vec![frame(0, Body::End(0)), frame(0, data())],
        ),
        ("taking what did not end", vec![frame(0, Body::Taken)]),
        (
            "the last number",
            vec![frame(u32::MAX - 1, Body::Open("x".into()))],
        ),
    ] {
        let mut mux = Mux::new(Side::Acceptor);
        mux.handle(frame(0, Body::Open("x".into()))).unwrap();
        let mut results = frames.into_iter().map(|frame| mux.handle(frame));
        assert!(results.any(|result| result.is_err()), "{what}");
    }
}

#[test]
fn what_is_late_is_ignored() {
    let mut ends = Ends::new();
    let id = ends.stream("x");
    ends.0[1].release(id);
    while ends.carry(1) {}
    ends.0[0].release(id);
    assert!(!ends.0[0].knows(id) && !ends.0[1].knows(id));
    for body in [
        Body::Data(Bytes::from_static(b"x")),
        Body::Grant(7),
        Body::End(1),
        Body::Taken,
        Body::Accept,
        Body::Reset(Reset::new(ResetCode::Failed, "")),
    ] {
        for mux in &mut ends.0 {
            assert_eq!(mux.handle(frame(id, body.clone())), Ok(Event::Nothing));
            assert_eq!(mux.transmit(), None);
        }
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Open(usize),
    Write(usize, usize, usize),
    Read(usize, usize),
    End(usize, usize),
    Carry(usize, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let end = 0..2_usize;
    let which = 0..6_usize;
    let act = prop_oneof![
        1 => end.clone().prop_map(Act::Open),
        6 => (end.clone(), which.clone(), 1..200_000_usize).prop_map(|(end, which, bytes)| Act::Write(end, which, bytes)),
        4 => (end.clone(), which.clone()).prop_map(|(end, which)| Act::Read(end, which)),
        1 => (end.clone(), which).prop_map(|(end, which)| Act::End(end, which)),
        6 => (end, 1..8_usize).prop_map(|(end, frames)| Act::Carry(end, frames)),
    ];
    proptest::collection::vec(act, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written, read and carried in whatever order: each stream brings what was written, all of it
    /// and in order, and is forgotten.
    #[test]
    fn every_stream_brings_what_was_written(acts in acts()) {
        let mut ends = Ends::new();
        // Of each direction: what was written, and what was read.
        let mut ledger: BTreeMap<(usize, u32), (Vec<u8>, Vec<u8>)> = BTreeMap::new();
        let mut ids = Vec::new();
        let mut next = 0_u8;
        for act in acts {
            match act {
                Act::Open(end) if ids.len() < 6 => {
                    let id = ends.0[end].open("x".into()).unwrap();
                    ends.settle();
                    let (arrival, _) = ends.0[1 - end].arrival().unwrap();
                    ends.0[1 - end].accept(arrival);
                    ids.push(id);
                    ledger.insert((0, id), Default::default());
                    ledger.insert((1, id), Default::default());
                }
                Act::Write(end, which, bytes) => if let Some(id) = ids.get(which) {
                    next = next.wrapping_add(1);
                    let bytes = vec![next; bytes];
                    if let Ok(written) = ends.0[end].write(*id, &bytes) {
                        ledger.get_mut(&(end, *id)).unwrap().0.extend_from_slice(&bytes[..written]);
                    }
                },
                Act::Read(end, which) => if let Some(id) = ids.get(which)
                    && let Ok(Read::Bytes(bytes)) = ends.0[end].read(*id) {
                    ledger.get_mut(&(1 - end, *id)).unwrap().1.extend_from_slice(&bytes);
                },
                Act::End(end, which) => if let Some(id) = ids.get(which) {
                    ends.0[end].end(*id);
                },
                Act::Carry(end, frames) => for _ in 0..frames {
                    ends.carry(end);
                },
                Act::Open(_) => {}
            }
        }
        for id in &ids {
            for end in [0, 1] {
                ends.0[end].end(*id);
            }
        }
        ends.settle();
        for id in &ids {
            for end in [0, 1] {
                let rest = ends.read_all(end, *id);
                let (written, read) = ledger.get_mut(&(1 - end, *id)).unwrap();
                read.extend_from_slice(&rest);
                prop_assert!(read == written);
                prop_assert_eq!(ends.0[end].read(*id), Ok(Read::End));
                ends.0[end].take(*id);
            }
        }
        ends.settle();
        for id in ids {
            for end in [0, 1] {
                prop_assert_eq!(ends.0[end].is_taken(id), Ok(true));
                ends.0[end].release(id);
                prop_assert!(!ends.0[end].knows(id));
            }
        }
    }

    /// Nothing that a peer says does harm, and what is kept of it is bounded.
    #[test]
    fn any_frames_are_taken_or_refused(frames in proptest::collection::vec((0..8_u32, 0..7_u8, 0..70_000_u64), 0..60)) {
        let mut mux = Mux::new(Side::Acceptor);
        let _ = mux.open("ours".into());
        for (id, kind, number) in frames {
            let body = match kind {
                0 => Body::Open("x".into()),
                1 => Body::Accept,
                2 => Body::Data(Bytes::from(vec![0; usize::try_from(number % 40_000).unwrap() + 1])),
                3 => Body::Grant(number),
                4 => Body::End(number),
                5 => Body::Taken,
                _ => Body::Reset(Reset::new(ResetCode::Failed, "x")),
            };
            if mux.handle(frame(id, body)).is_err() {
                break;
            }
            while mux.transmit().is_some() {}
            while let Some((arrival, _)) = mux.arrival() {
                mux.accept(arrival);
            }
        }
    }
}
