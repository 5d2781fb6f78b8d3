//! Both directions of two sides together, whatever happens to their lanes and in whichever order it is noticed.

use super::super::frame::{Body, Frame, Word};
use super::super::message::frames;
use super::{Coming, Leaving, Road};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::VecDeque;

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
    /// The peer's lanes that are on their way, and the one that is there, with what is in it.
    lanes: VecDeque<u32>,
    lane: Option<(u32, VecDeque<Bytes>)>,
    /// Ours is usable.
    up: bool,
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
            lane: None,
            up: false,
        }
    }

    /// Takes in a message, of which the next in order is the only one that may come.
    fn handle(&mut self, message: Bytes) {
        for frame in frames(message) {
            let Frame { stream, body } = frame.unwrap();
            match body {
                Body::Data(content) => {
                    assert_eq!(content.len() >= 16_000, stream.is_multiple_of(2));
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
        if let Some(number) = side.leaving.wanted() {
            side.up = false;
            peer.lanes.push_back(number);
        }
        if let Some(message) = side.leaving.before() {
            peer.channel.push_back(message);
            continue;
        }
        let message = match side.coming.word() {
            Some(word) => word,
            None if more > 0 && side.leaving.has_room() => {
                more -= 1;
                let length = if side.sent.is_multiple_of(2) {
                    60_000
                } else {
                    10
                };
                let data = Body::Data(vec![0; length].into());
                side.sent += 1;
                Frame::new(side.sent - 1, data).write()
            }
            None => return,
        };
        match side.leaving.leaves(&message) {
            Road::Channel => peer.channel.push_back(message),
            Road::Lane => {
                // One that the peer has given up, or that is dead and not noticed, swallows it.
                if let Some((_, lane)) = &mut peer.lane
                    && side.up
                {
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
            if let Some(message) = side.channel.pop_front()
                && let Some(message) = side.coming.on_channel(message).unwrap()
            {
                side.handle(message);
            }
        }
        Step::FromLane => {
            if let Some((number, lane)) = &mut side.lane
                && side.coming.lane() == Some(*number)
                && let Some(message) = lane.pop_front()
            {
                side.coming.on_lane(&message);
                side.handle(message);
            }
        }
        Step::Up => {
            side.up = true;
            side.leaving.opened();
        }
        Step::Arrives => {
            if let Some(number) = side.lanes.pop_front()
                && side.coming.arrived(number)
            {
                side.lane = Some((number, VecDeque::new()));
            }
        }
        Step::Dies => {
            side.up = false;
            if side.leaving.lost() {
                peer.lanes.clear();
            }
        }
    }
    flush(side, peer, more);
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        4 => (1..60_u8).prop_map(Step::Send),
        6 => Just(Step::FromChannel),
        6 => Just(Step::FromLane),
        2 => Just(Step::Up),
        2 => Just(Step::Arrives),
        1 => Just(Step::Dies),
    ];
    // Several of a kind in a row, or nothing ever gets far.
    let runs = (any::<bool>(), step, 1..40_usize);
    proptest::collection::vec(runs, 1..80).prop_map(|runs| {
        let each = |(side, step, times)| std::iter::repeat_n((side, step), times);
        runs.into_iter().flat_map(each).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everything_comes_once_and_in_order(steps in steps()) {
        let (mut one, mut other) = (Side::new(), Side::new());
        for (first, step) in steps {
            match first {
                true => perform(step, &mut one, &mut other),
                false => perform(step, &mut other, &mut one),
            }
        }
        // Both leave their lanes, as they do when they are closed.
        for _ in 0..2 {
            perform(Step::Dies, &mut one, &mut other);
            perform(Step::Dies, &mut other, &mut one);
            while !one.channel.is_empty() || !other.channel.is_empty() {
                perform(Step::FromChannel, &mut one, &mut other);
                perform(Step::FromChannel, &mut other, &mut one);
            }
        }
        prop_assert_eq!(one.read, other.sent);
        prop_assert_eq!(other.read, one.sent);
    }
}
