//! Both directions of two sides together, whatever happens to their lanes and in whichever order it is noticed.

use super::super::frame::{Body, Frame, Word};
use super::super::message::frames;
use super::{Coming, Leaving, Road};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::collections::VecDeque;

/// Lanes of each side that die in one case: each makes the next one twice as dear.
const DEATHS: u32 = 6;

/// What is done next, by one of the two sides.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Sends so many messages.
    Send(u8),
    /// Takes the next message of the channel, or of the peer's lane.
    FromChannel,
    FromLane,
    /// The lane that it asked for comes up here, or is there.
    Up,
    Arrives,
    /// Something came that the other side waits for.
    Tell,
    /// Its lane is gone, with what is on its way.
    Dies,
}

/// One side: what it has sent and read, and what is on its way to it.
#[derive(Debug)]
struct Side {
    leaving: Leaving,
    coming: Coming,
    sent: u32,
    read: u32,
    channel: VecDeque<Bytes>,
    /// The peer's lanes that are on their way, and those that are there, with what is in them.
    lanes: VecDeque<u32>,
    there: Vec<(u32, VecDeque<Bytes>)>,
    /// There is a lane of ours, or will be; and so many died.
    asked: bool,
    deaths: u32,
    /// Messages that came on lanes, and that came again.
    on_lanes: u64,
    again: u64,
}

impl Side {
    fn new() -> Self {
        Self {
            leaving: Leaving::new(),
            coming: Coming::new(),
            sent: 0,
            read: 0,
            channel: VecDeque::new(),
            lanes: VecDeque::new(),
            there: Vec::new(),
            asked: false,
            deaths: 0,
            on_lanes: 0,
            again: 0,
        }
    }

    /// As if so much had gone through the channel that a lane is worth while.
    fn ripen(&mut self) -> Option<u32> {
        if self.asked || self.deaths == DEATHS {
            return None;
        }
        for _ in 0..(100 << self.deaths) {
            if let Some(number) = self.leaving.wanted() {
                self.asked = true;
                return Some(number);
            }
            let road = self.leaving.leaves(&Bytes::from_static(&[0; 65_000]));
            assert_eq!(road, Road::Channel);
        }
        None
    }

    /// Takes in a message, of which the next in order is the only one that may come.
    fn handle(&mut self, message: Bytes) {
        for frame in frames(message) {
            let Frame { stream, body } = frame.unwrap();
            match body {
                Body::Data(_) => {
                    assert_eq!(stream, self.read, "out of order");
                    self.read += 1;
                }
                Body::Lane(Word::Awaited) => self.leaving.awaited(stream).unwrap(),
                Body::Lane(Word::Moving) => self.coming.moving(stream).unwrap(),
                Body::Lane(Word::Got(count)) => self.leaving.got(stream, count).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Sends what `side` has to send.
fn flush(side: &mut Side, peer: &mut Side, mut more: u32) {
    loop {
        if let Some(message) = side.leaving.before() {
            peer.channel.push_back(message);
            continue;
        }
        let message = match side.coming.word() {
            Some(word) => word,
            None if more > 0 => {
                more -= 1;
                side.sent += 1;
                Frame::new(side.sent - 1, Body::Data(Bytes::from_static(b"x"))).write()
            }
            None => return,
        };
        match side.leaving.leaves(&message) {
            Road::Channel => peer.channel.push_back(message),
            Road::Lane => {
                // The newest of ours; none is there if the peer got a newer one, or has lost it.
                if let Some((_, lane)) = peer.there.last_mut() {
                    lane.push_back(message);
                }
            }
        }
    }
}

fn perform(step: Step, side: &mut Side, peer: &mut Side) {
    let mut more = 0;
    match step {
        Step::Send(count) => more = count.into(),
        Step::FromChannel => {
            if let Some(message) = side.channel.pop_front() {
                let was = side.coming.lane();
                match side.coming.on_channel(message).unwrap() {
                    Some(message) => side.handle(message),
                    None => side.again += u64::from(was.is_none()),
                }
            }
        }
        Step::FromLane => {
            let used = side.coming.lane();
            let lane = side.there.iter_mut().find(|lane| Some(lane.0) == used);
            if let Some(message) = lane.and_then(|(_, lane)| lane.pop_front()) {
                side.on_lanes += 1;
                side.coming.on_lane(&message);
                side.handle(message);
            }
        }
        Step::Up => {
            if let Some(number) = side.ripen() {
                peer.lanes.push_back(number);
            }
            side.leaving.opened();
        }
        Step::Arrives => {
            if let Some(number) = side.lanes.pop_front()
                && side.coming.arrived(number)
            {
                side.there.push((number, VecDeque::new()));
            }
        }
        Step::Tell => side.coming.tell(),
        Step::Dies => {
            if side.deaths < DEATHS && side.leaving.lost() {
                side.deaths += 1;
                side.asked = false;
            }
        }
    }
    flush(side, peer, more);
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        4 => (1..8_u8).prop_map(Step::Send),
        6 => Just(Step::FromChannel),
        6 => Just(Step::FromLane),
        2 => Just(Step::Up),
        2 => Just(Step::Arrives),
        2 => Just(Step::Tell),
        1 => Just(Step::Dies),
    ];
    // Several of a kind in a row, or nothing ever gets far.
    let runs = (any::<bool>(), step, 1..12_usize);
    proptest::collection::vec(runs, 1..150).prop_map(|runs| {
        let each = |(side, step, times)| std::iter::repeat_n((side, step), times);
        runs.into_iter().flat_map(each).collect()
    })
}

#[test]
fn everything_comes_once_and_in_order() {
    let (on_lanes, again) = (Cell::new(0), Cell::new(0));
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(400)
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&steps(), |steps| {
        let (mut one, mut other) = (Side::new(), Side::new());
        // Both begin on a lane.
        let begin = [true, false].map(|first| {
            [
                (first, Step::Up),
                (!first, Step::Arrives),
                (first, Step::FromChannel),
                (!first, Step::FromChannel),
            ]
        });
        for (first, step) in begin.into_iter().flatten().chain(steps) {
            match first {
                true => perform(step, &mut one, &mut other),
                false => perform(step, &mut other, &mut one),
            }
        }
        // Both leave their lanes, as they do when they are closed.
        one.leaving.lost();
        other.leaving.lost();
        loop {
            flush(&mut one, &mut other, 0);
            flush(&mut other, &mut one, 0);
            if one.channel.is_empty() && other.channel.is_empty() {
                break;
            }
            perform(Step::FromChannel, &mut one, &mut other);
            perform(Step::FromChannel, &mut other, &mut one);
            one.leaving.lost();
            other.leaving.lost();
        }
        prop_assert_eq!(one.read, other.sent);
        prop_assert_eq!(other.read, one.sent);
        on_lanes.set(on_lanes.get() + one.on_lanes + other.on_lanes);
        again.set(again.get() + one.again + other.again);
        Ok(())
    });
    result.unwrap();
    assert!(
        on_lanes.get() > 1000,
        "{} messages on lanes",
        on_lanes.get()
    );
    assert!(again.get() > 100, "{} messages again", again.get());
}
