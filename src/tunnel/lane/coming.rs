//! Messages that come: on which road the next one is, and what the peer is told of them. Pure.

use super::super::frame::{Body, Frame, Word};
use super::super::half::Violation;
use super::{MESSAGE, STEP};
use bytes::Bytes;

/// One direction, towards here.
#[derive(Debug)]
pub(in super::super) struct Coming {
    source: Source,
    /// The newest lane that arrived, the newest of which the peer was told, and the one used last.
    arrived: u32,
    awaited: u32,
    used: u32,
    /// The peer is to be told that the newest lane is awaited, and how much came.
    await_due: bool,
    got_due: bool,
}

#[derive(Debug)]
enum Source {
    /// The first `twice` messages came on a lane before.
    Channel { twice: u64 },
    /// So many messages, and bytes that the peer was not told of.
    Lane { got: u64, untold: usize },
}

impl Coming {
    pub(in super::super) fn new() -> Self {
        Self {
            source: Source::Channel { twice: 0 },
            arrived: 0,
            awaited: 0,
            used: 0,
            await_due: false,
            got_due: false,
        }
    }

    /// The lane that the next message comes on, `None` if it comes through the channel. The channel has only to say then that
    /// the lane is over.
    pub(in super::super) fn lane(&self) -> Option<u32> {
        match self.source {
            Source::Channel { .. } => None,
            Source::Lane { .. } => Some(self.used),
        }
    }

    /// A lane arrived; whether it is of any use.
    pub(in super::super) fn arrived(&mut self, number: u32) -> bool {
        if number <= self.arrived {
            return false;
        }
        self.arrived = number;
        self.await_due = true;
        true
    }

    /// What follows comes on lane `number`, which may have ended meanwhile, and a newer one may be there.
    pub(in super::super) fn moving(&mut self, number: u32) -> Result<(), Violation> {
        let Source::Channel { .. } = self.source else {
            return Err("it moved to a lane twice");
        };
        if number <= self.used || number > self.awaited {
            return Err("it moved to a lane that is not awaited");
        }
        self.used = number;
        self.source = Source::Lane { got: 0, untold: 0 };
        Ok(())
    }

    /// A message came through the channel. It is given back if it is new.
    pub(in super::super) fn on_channel(
        &mut self,
        message: Bytes,
    ) -> Result<Option<Bytes>, Violation> {
        match &mut self.source {
            Source::Channel { twice: 0 } => Ok(Some(message)),
            Source::Channel { twice } => {
                *twice -= 1;
                Ok(None)
            }
            Source::Lane { got, .. } => match Frame::read(message) {
                Some(Frame {
                    stream,
                    body: Body::Lane(Word::Back(from)),
                }) if stream == self.used && from <= *got => {
                    let twice = *got - from;
                    self.source = Source::Channel { twice };
                    self.got_due = false;
                    Ok(None)
                }
                _ => Err("it uses the channel and a lane at once"),
            },
        }
    }

    /// A message came on the lane.
    pub(in super::super) fn on_lane(&mut self, message: &Bytes) {
        if let Source::Lane { got, untold } = &mut self.source {
            *got += 1;
            *untold += message.len() + MESSAGE;
            if *untold >= STEP {
                self.tell();
            }
        }
    }

    /// Something came that the peer may wait for, or that may be the last: it is told at once how much came.
    pub(in super::super) fn tell(&mut self) {
        if let Source::Lane { untold, .. } = &mut self.source {
            *untold = 0;
            self.got_due = true;
        }
    }

    /// Whether the peer is to be told something.
    pub(in super::super) fn is_due(&self) -> bool {
        self.await_due || self.got_due
    }

    /// What it is to be told.
    pub(in super::super) fn word(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.await_due) {
            self.awaited = self.arrived;
            return Some(Frame::new(self.awaited, Body::Lane(Word::Awaited)).write());
        }
        match self.source {
            Source::Lane { got, .. } if std::mem::take(&mut self.got_due) => {
                Some(Frame::new(self.used, Body::Lane(Word::Got(got))).write())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(number: u32, word: Word) -> Bytes {
        Frame::new(number, Body::Lane(word)).write()
    }

    fn x() -> Bytes {
        Bytes::from_static(b"x")
    }

    /// One that reads its first lane.
    fn moved() -> Coming {
        let mut coming = Coming::new();
        assert!(coming.arrived(1));
        assert_eq!(coming.word(), Some(word(1, Word::Awaited)));
        coming.moving(1).unwrap();
        assert_eq!(coming.lane(), Some(1));
        coming
    }

    #[test]
    fn what_comes_again_is_not_taken_twice() {
        let mut coming = moved();
        for _ in 0..5 {
            coming.on_lane(&x());
        }
        assert_eq!(coming.on_channel(word(1, Word::Back(3))), Ok(None));
        assert_eq!(coming.lane(), None);
        assert_eq!(coming.on_channel(x()), Ok(None));
        assert_eq!(coming.on_channel(x()), Ok(None));
        assert_eq!(coming.on_channel(x()), Ok(Some(x())));
    }

    #[test]
    fn the_peer_is_told_what_came() {
        let mut coming = moved();
        let long = Bytes::from_static(&[0; STEP - 2 * MESSAGE]);
        coming.on_lane(&long);
        assert_eq!(coming.word(), None);
        coming.on_lane(&x());
        assert_eq!(coming.word(), Some(word(1, Word::Got(2))));
        assert_eq!(coming.word(), None);
        for _ in 0..STEP / MESSAGE {
            coming.on_lane(&x());
        }
        let got = 2 + (STEP / MESSAGE) as u64;
        assert_eq!(
            coming.word(),
            Some(word(1, Word::Got(got))),
            "small ones count"
        );
    }

    #[test]
    fn only_the_newest_lane_is_awaited() {
        let mut coming = Coming::new();
        assert!(coming.arrived(1) && coming.arrived(3));
        assert!(!coming.arrived(2) && !coming.arrived(3) && !coming.arrived(0));
        assert_eq!(coming.word(), Some(word(3, Word::Awaited)));
        assert_eq!(coming.word(), None);
        coming.moving(3).unwrap();
        assert!(!coming.arrived(3));
        // The next one may be there before the word that this one is over.
        assert!(coming.arrived(4));
        assert_eq!(coming.on_channel(word(3, Word::Back(0))), Ok(None));
        assert!(coming.moving(3).is_err());
        assert_eq!(coming.word(), Some(word(4, Word::Awaited)));
        assert_eq!(coming.moving(4), Ok(()));
    }

    #[test]
    fn a_newer_lane_may_overtake_the_word_about_the_one_before() {
        let mut coming = Coming::new();
        coming.arrived(1);
        assert!(coming.word().is_some());
        coming.arrived(2);
        assert_eq!(coming.moving(1), Ok(()));
        assert_eq!(coming.lane(), Some(1));
        assert_eq!(coming.on_channel(word(1, Word::Back(0))), Ok(None));
        assert_eq!(coming.word(), Some(word(2, Word::Awaited)));
        assert_eq!(coming.moving(2), Ok(()));
    }

    #[test]
    fn who_mixes_up_the_roads_breaks_the_rules() {
        assert!(Coming::new().moving(1).is_err(), "it never came");
        let mut early = Coming::new();
        early.arrived(1);
        assert!(early.moving(1).is_err(), "nobody said that it is awaited");
        for message in [
            x(),
            word(1, Word::Moving),
            word(1, Word::Back(1)),
            word(2, Word::Back(0)),
        ] {
            assert!(moved().on_channel(message).is_err());
        }
        assert!(moved().moving(2).is_err());
    }
}
