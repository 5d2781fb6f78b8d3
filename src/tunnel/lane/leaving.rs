//! Messages that leave: which road they take, and what is kept of them. Pure.

use super::super::frame::{Body, Frame, Word};
use super::super::half::Violation;
use super::{MESSAGE, MOST_KEPT};
use bytes::Bytes;
use std::collections::VecDeque;

/// So much in long messages makes a lane worth while; twice as much after each that carried less than that.
const WORTH: u64 = 4 << 20;

/// A message from this length on fills larger packets than those of the session's connection.
const LONG: usize = 16 << 10;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Road {
    /// Through the tunnel's own channel.
    Channel,
    /// Through the lane that was asked for last.
    Lane,
}

/// One direction, away from here.
#[derive(Debug)]
pub(in super::super) struct Leaving {
    state: State,
    /// Lanes that were asked for. The last one has this number.
    number: u32,
    /// Bytes in long messages since the last lane, and how many make one worth while.
    carried: u64,
    worth: u64,
    /// What went through the lane, from message `taken` on, and its bytes.
    kept: VecDeque<Bytes>,
    held: usize,
    taken: u64,
    /// Bytes that went through the lane and came.
    proved: u64,
    /// What goes through the channel before everything else.
    again: VecDeque<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Channel,
    /// A lane was asked for. It is needed here and there.
    Asked {
        here: bool,
        there: bool,
    },
    Lane,
}

/// It is there, and nothing went through it.
const READY: State = State::Asked {
    here: true,
    there: true,
};

impl Leaving {
    pub(in super::super) fn new() -> Self {
        Self {
            state: State::Channel,
            number: 0,
            carried: 0,
            worth: WORTH,
            kept: VecDeque::new(),
            held: 0,
            taken: 0,
            proved: 0,
            again: VecDeque::new(),
        }
    }

    /// The number of a lane that is to be opened now.
    pub(in super::super) fn wanted(&mut self) -> Option<u32> {
        if self.state != State::Channel || self.carried < self.worth {
            return None;
        }
        self.number = self.number.checked_add(1)?;
        self.state = State::Asked {
            here: false,
            there: false,
        };
        Some(self.number)
    }

    /// The lane that was asked for is up.
    pub(in super::super) fn opened(&mut self) {
        if let State::Asked { here, .. } = &mut self.state {
            *here = true;
        }
    }

    /// The peer waits for what comes on lane `number`.
    pub(in super::super) fn awaited(&mut self, number: u32) -> Result<(), Violation> {
        if number > self.number {
            return Err("it awaits a lane that was never opened");
        }
        match &mut self.state {
            State::Asked { there, .. } if number == self.number => *there = true,
            // One that was given up before.
            _ => {}
        }
        Ok(())
    }

    /// The peer has `count` messages of lane `number`.
    pub(in super::super) fn got(&mut self, number: u32, count: u64) -> Result<(), Violation> {
        if number > self.number {
            return Err("it has messages of a lane that was never opened");
        }
        if number < self.number || self.state != State::Lane {
            return Ok(());
        }
        if count > self.taken + self.kept.len() as u64 {
            return Err("it has more messages of a lane than went through it");
        }
        while self.taken < count
            && let Some(message) = self.kept.pop_front()
        {
            self.taken += 1;
            self.held -= message.len() + MESSAGE;
            self.proved += message.len() as u64;
        }
        Ok(())
    }

    /// The lane is gone, did not come up, or is to be left: the channel has to do. Whether there was one.
    pub(in super::super) fn lost(&mut self) -> bool {
        if self.state == State::Channel {
            return false;
        }
        if self.state == State::Lane {
            let back = Frame::new(self.number, Body::Lane(Word::Back(self.taken)));
            self.again.push_back(back.write());
            self.again.append(&mut self.kept);
            self.held = 0;
        }
        self.state = State::Channel;
        self.carried = 0;
        self.worth = match self.proved < WORTH {
            true => self.worth.saturating_mul(2),
            false => WORTH,
        };
        self.proved = 0;
        true
    }

    /// What has to leave before anything new, all of it through the channel.
    pub(in super::super) fn before(&mut self) -> Option<Bytes> {
        if let Some(message) = self.again.pop_front() {
            return Some(message);
        }
        if self.state != READY {
            return None;
        }
        self.state = State::Lane;
        self.taken = 0;
        Some(Frame::new(self.number, Body::Lane(Word::Moving)).write())
    }

    /// Whether there may be anything new.
    pub(in super::super) fn has_room(&self) -> bool {
        self.held < MOST_KEPT
    }

    /// Whether there may be what is said about lanes. Only a peer that says nothing itself lets it come to this.
    pub(in super::super) fn has_room_for_words(&self) -> bool {
        self.held < 2 * MOST_KEPT
    }

    /// Whether [`before`](Self::before) has something.
    pub(in super::super) fn is_due(&self) -> bool {
        !self.again.is_empty() || self.state == READY
    }

    /// The road of a new message, which takes it.
    pub(in super::super) fn leaves(&mut self, message: &Bytes) -> Road {
        if self.state == State::Lane {
            self.held += message.len() + MESSAGE;
            self.kept.push_back(message.clone());
            return Road::Lane;
        }
        if message.len() >= LONG {
            self.carried += message.len() as u64;
        }
        Road::Channel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(number: u32, word: Word) -> Option<Bytes> {
        Some(Frame::new(number, Body::Lane(word)).write())
    }

    fn message(byte: u8) -> Bytes {
        vec![byte; LONG].into()
    }

    /// One whose first lane is in use.
    fn moved() -> Leaving {
        let mut leaving = Leaving::new();
        while leaving.wanted().is_none() {
            assert_eq!(leaving.leaves(&message(0)), Road::Channel);
        }
        leaving.opened();
        leaving.awaited(1).unwrap();
        assert_eq!(leaving.before(), word(1, Word::Moving));
        leaving
    }

    #[test]
    fn a_lane_is_asked_for_when_there_is_much_and_used_when_both_sides_have_it() {
        let mut leaving = Leaving::new();
        for _ in 0..1000 {
            leaving.leaves(&Bytes::from_static(&[0; LONG - 1]));
        }
        assert_eq!(leaving.wanted(), None, "short messages need none");
        for _ in 0..WORTH / LONG as u64 {
            assert_eq!(leaving.wanted(), None);
            leaving.leaves(&message(0));
        }
        assert_eq!(leaving.wanted(), Some(1));
        assert_eq!(leaving.wanted(), None, "once");
        leaving.awaited(1).unwrap();
        assert_eq!(leaving.before(), None);
        assert_eq!(leaving.leaves(&message(1)), Road::Channel);
        leaving.opened();
        assert_eq!(leaving.before(), word(1, Word::Moving));
        assert_eq!(leaving.before(), None);
        assert_eq!(leaving.leaves(&message(2)), Road::Lane);
    }

    #[test]
    fn what_the_peer_has_not_got_is_sent_again_when_the_lane_is_gone() {
        let mut leaving = moved();
        for byte in 0..5 {
            leaving.leaves(&message(byte));
        }
        leaving.got(1, 2).unwrap();
        assert!(leaving.lost());
        assert_eq!(leaving.before(), word(1, Word::Back(2)));
        for byte in 2..5 {
            assert_eq!(leaving.before(), Some(message(byte)));
        }
        assert_eq!(leaving.before(), None);
        assert_eq!(leaving.leaves(&message(9)), Road::Channel);
        // Of what it has it may still have said so.
        leaving.got(1, 3).unwrap();
        assert!(!leaving.lost(), "it was lost once");
        assert_eq!(leaving.before(), None);
    }

    #[test]
    fn each_lane_that_comes_to_nothing_makes_the_next_one_less_worth_while() {
        let mut leaving = Leaving::new();
        for (lane, factor) in [(1, 1), (2, 2), (3, 4)] {
            let needed = factor * WORTH / LONG as u64;
            for _ in 0..needed {
                assert_eq!(leaving.wanted(), None);
                leaving.leaves(&message(0));
            }
            assert_eq!(leaving.wanted(), Some(lane));
            assert!(leaving.lost());
            assert_eq!(leaving.before(), None);
        }
    }

    #[test]
    fn a_lane_that_carried_much_is_replaced_as_soon_as_the_first() {
        let mut leaving = moved();
        for count in 1..=WORTH / LONG as u64 {
            leaving.leaves(&message(0));
            leaving.got(1, count).unwrap();
        }
        assert!(leaving.lost());
        assert_eq!(leaving.before(), word(1, Word::Back(WORTH / LONG as u64)));
        for _ in 0..WORTH / LONG as u64 {
            assert_eq!(leaving.wanted(), None);
            leaving.leaves(&message(0));
        }
        assert_eq!(leaving.wanted(), Some(2));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut leaving = moved();
        let mut sent = 0;
        while leaving.has_room() {
            leaving.leaves(&message(0));
            sent += 1;
        }
        assert!(sent * LONG <= MOST_KEPT);
        leaving.got(1, 1).unwrap();
        assert!(leaving.has_room());
        while leaving.has_room() {
            leaving.leaves(&Bytes::from_static(b"x"));
        }
        assert!(leaving.kept.len() < MOST_KEPT / MESSAGE);
    }

    #[test]
    fn who_speaks_of_what_was_never_sent_breaks_the_rules() {
        assert!(Leaving::new().awaited(1).is_err());
        assert!(Leaving::new().got(1, 0).is_err());
        let mut leaving = moved();
        leaving.leaves(&message(0));
        assert!(leaving.got(1, 2).is_err());
        assert!(leaving.got(2, 0).is_err());
        assert_eq!(leaving.got(0, 7), Ok(()), "what is over does not matter");
        assert_eq!(leaving.got(1, 1), Ok(()));
        assert_eq!(
            leaving.got(1, 0),
            Ok(()),
            "less than before changes nothing"
        );
    }
}
