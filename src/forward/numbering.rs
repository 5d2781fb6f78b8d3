//! Numbers and times of what one receiver is sent: one stream to it, whatever it is made of (RFC 3550 section 5.1).
//!
//! A receiver is sent *runs*: each is a piece of one source, moved by a constant. The numbers of a run go on where the
//! run before ended, so what is missing for the receiver is what was missing in the source, and only that.

use super::picture::{self, Offset};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Runs that are remembered, for packets that come late or are asked for again.
const RUNS: usize = 8;

/// A jump further than this is another stream (RFC 3550 appendix A.1).
const DROPOUT: i64 = 3000;

/// Counts the sequence numbers of a source without wrapping.
#[derive(Debug, Default)]
pub(super) struct Unwrap {
    newest: Option<i64>,
    /// What would follow a number that is far off: two of them in a row are a new beginning.
    suspect: Option<u16>,
}

/// What a sequence number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// One of the stream.
    Is(i64),
    /// The first one of a stream that began anew.
    Anew(i64),
    /// Far off, and perhaps nothing.
    Stray,
}

impl Unwrap {
    pub(super) fn number(&mut self, sequence: u16) -> Number {
        let Some(newest) = self.newest else {
            self.newest = Some(i64::from(sequence));
            return Number::Is(i64::from(sequence));
        };
        let distance = i64::from(sequence.wrapping_sub(newest as u16) as i16);
        if distance.abs() > DROPOUT {
            if self.suspect.replace(sequence.wrapping_add(1)) != Some(sequence) {
                return Number::Stray;
            }
            self.suspect = None;
            self.newest = Some(i64::from(sequence));
            return Number::Anew(i64::from(sequence));
        }
        self.suspect = None;
        self.newest = Some(newest.max(newest + distance));
        Number::Is(newest + distance)
    }
}

/// One source of packets: a stream of a publisher, until it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) generation: u32,
}

/// A packet of a source, with what numbers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) number: i64,
}

#[derive(Debug)]
struct Run {
    source: Source,
    /// Its first packet in the source, and for the receiver.
    first: i64,
    first_out: i64,
    /// Added to times.
    ticks: u32,
    pictures: Offset,
}

/// How a packet goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) number: i64,
    ticks: u32,
    pub(super) pictures: Offset,
}

impl Out {
    pub(super) fn timestamp(self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.ticks)
    }
}

/// The last packet that was sent, by its number.
#[derive(Debug, Clone, Copy)]
struct Last {
    number: i64,
    timestamp: u32,
    arrived: Instant,
    picture: Option<picture::Numbers>,
}

/// The stream to one receiver.
#[derive(Debug)]
pub(super) struct Numbering {
    clock_rate: u32,
    begin: (u16, u32),
    runs: VecDeque<Run>,
    last: Option<Last>,
}

impl Numbering {
    /// Nothing was sent yet; the first packet has this sequence number and time.
    pub(super) fn new(clock_rate: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            clock_rate,
            begin: (sequence, timestamp),
            runs: VecDeque::new(),
            last: None,
        }
    }

    /// The source that is followed.
    pub(super) fn current(&self) -> Option<Source> {
        self.runs.back().map(|run| run.source)
    }

    /// Follows a source from this packet on, which arrived at that time and carries that timestamp.
    pub(super) fn follow(
        &mut self,
        place: Place,
        arrived: Instant,
        timestamp: u32,
        picture: Option<picture::Numbers>,
    ) {
        let (first_out, begin) = match self.last {
            None => (i64::from(self.begin.0), self.begin.1),
            Some(last) => {
                let since = arrived.saturating_duration_since(last.arrived);
                let ticks = ticks(since, self.clock_rate).max(1);
                (last.number + 1, last.timestamp.wrapping_add(ticks))
            }
        };
        let last_picture = self.last.and_then(|last| last.picture);
        let pictures = match (last_picture, picture) {
            (Some(last), Some(next)) => Offset::between(last, next),
            _ => Offset::default(),
        };
        if self.runs.len() == RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(Run {
            source: place.source,
            first: place.number,
            first_out,
            ticks: begin.wrapping_sub(timestamp),
            pictures,
        });
    }

    /// How a packet goes out; `None` if it is of no run.
    pub(super) fn out(&self, place: Place) -> Option<Out> {
        // Where the run after ended this one; the newest has no end.
        let mut end = i64::MAX;
        for run in self.runs.iter().rev() {
            let number = run.first_out + (place.number - run.first);
            if run.source == place.source && number >= run.first_out && number < end {
                return Some(Out {
                    number,
                    ticks: run.ticks,
                    pictures: run.pictures,
                });
            }
            end = run.first_out;
        }
        None
    }

    /// When a time of the stream that is followed is for the receiver; `None` if it follows another one.
    pub(super) fn timestamp(&self, ssrc: u32, timestamp: u32) -> Option<u32> {
        let run = self.runs.back().filter(|run| run.source.ssrc == ssrc)?;
        Some(timestamp.wrapping_add(run.ticks))
    }

    /// A packet was sent.
    pub(super) fn sent(
        &mut self,
        out: Out,
        arrived: Instant,
        timestamp: u32,
        picture: Option<picture::Numbers>,
    ) {
        if self.last.is_some_and(|last| last.number >= out.number) {
            return;
        }
        let picture = picture.map(|numbers| out.pictures.apply(numbers));
        let timestamp = out.timestamp(timestamp);
        // Of a picture, the first packet counts: what is last of it may have come much later.
        let arrived = match self.last {
            Some(last) if last.timestamp == timestamp => last.arrived,
            _ => arrived,
        };
        self.last = Some(Last {
            number: out.number,
            timestamp,
            arrived,
            picture: picture.or(self.last.and_then(|last| last.picture)),
        });
    }

    /// What the receiver means by a sequence number that it was sent not long ago.
    pub(super) fn meant(&self, sequence: u16) -> Option<(i64, Place)> {
        let last = self.last?.number;
        let distance = i64::from((last as u16).wrapping_sub(sequence) as i16);
        if !(0..=DROPOUT).contains(&distance) {
            return None;
        }
        let number = last - distance;
        let run = self.runs.iter().rfind(|run| run.first_out <= number)?;
        let place = Place {
            source: run.source,
            number: run.first + (number - run.first_out),
        };
        Some((number, place))
    }
}

fn ticks(time: Duration, clock_rate: u32) -> u32 {
    // Wraps, as timestamps do.
    (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_do_not_wrap_and_a_jump_must_be_confirmed() {
        let mut unwrap = Unwrap::default();
        let out: Vec<_> = [65_535, 1, 0, 30_000, 2, 40_000, 40_001, 40_002]
            .map(|sequence| unwrap.number(sequence))
            .into();
        let expected = [
            Number::Is(65_535),
            Number::Is(65_537),
            Number::Is(65_536),
            Number::Stray,
            Number::Is(65_538),
            Number::Stray,
            Number::Anew(40_001),
            Number::Is(40_002),
        ];
        assert_eq!(out, expected);
    }

    const SOURCE: [Source; 2] = [
        Source {
            ssrc: 1,
            generation: 0,
        },
        Source {
            ssrc: 2,
            generation: 0,
        },
    ];

    fn place(source: usize, number: i64) -> Place {
        Place {
            source: SOURCE[source],
            number,
        }
    }

    #[test]
    fn a_switch_goes_on_in_number_and_time() {
        let start = Instant::now();
        let mut numbering = Numbering::new(90_000, 65_535, 1_000);
        numbering.follow(place(0, 10), start, 777, None);
        for number in [10, 12] {
            let out = numbering.out(place(0, number)).unwrap();
            numbering.sent(out, start, 777, None);
            assert_eq!(out.timestamp(777), 1_000);
        }
        let later = start + Duration::from_millis(100);
        numbering.follow(place(1, 500), later, 5, None);
        let out = numbering.out(place(1, 500)).unwrap();
        assert_eq!(out.number as u16, 2);
        assert_eq!(out.timestamp(5), 10_000);
        // What the old source still brings fills its hole, and does not run into the new one.
        assert_eq!(numbering.out(place(0, 11)).unwrap().number as u16, 0);
        assert_eq!(numbering.out(place(0, 13)), None);
        assert_eq!(numbering.out(place(0, 9)), None);
        numbering.sent(out, later, 5, None);
        let (_, asked) = numbering.meant(0).unwrap();
        assert_eq!((asked.source, asked.number), (SOURCE[0], 11));
        let (_, asked) = numbering.meant(2).unwrap();
        assert_eq!((asked.source, asked.number), (SOURCE[1], 500));
        assert!(numbering.meant(3).is_none(), "it was not sent yet");
        assert!(numbering.meant(65_534).is_none());
    }
}
