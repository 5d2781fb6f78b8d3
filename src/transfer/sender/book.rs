//! Which lane carries what: pure.
//!
//! The reader's messages come in chunks of whole blocks. A chunk goes to one lane and is kept until
//! the receiver has taken it from there, so that a lane can die at any moment: what it had not
//! delivered goes to another one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::transfer::error::TransferError;
use crate::transfer::record::Records;

/// Bytes on a lane that the receiver has not taken, before its rate is known; afterwards at least. It must
/// exceed what a receiver takes without a word, 192 KiB (`docs/protocol.md` section 5.1).
const FIRST: u64 = 1 << 20;
const LEAST: u64 = 256 << 10;

/// How far ahead of the receiver a lane may run: several round trips, and little enough that the
/// last chunks of a transfer do not wait for the slowest lane.
const AHEAD: Duration = Duration::from_millis(500);

/// A lane's rate is measured over at least this long.
const SPAN: Duration = Duration::from_millis(100);

/// A lane that delivers nothing for this long while another one does is given up: SCTP waits at least 1 s
/// before it repeats what acknowledgements do not ask for, and after that twice as long each time.
const STALL: Duration = Duration::from_millis(2_500);

/// Round trip from which the first lane serves beside others: they take seconds to come up and to find their rate, which
/// it has by then.
const LONG: Duration = Duration::from_millis(20);

/// A lane with fewer messages left than this gets its next chunk.
const NEARLY_DONE: usize = 4;

/// The lanes of a transfer.
#[derive(Debug)]
pub(super) struct Book {
    lanes: BTreeMap<u16, Track>,
    /// Chunks that a lost lane did not deliver.
    again: VecDeque<Chunk>,
    /// Where the reader's current chunk goes.
    filling: Option<u16>,
    /// The beginning of the reader's current chunk, if its lane is no more.
    begun: Option<Chunk>,
    /// Bytes that the reader gave, and how far it may be ahead of the first chunk that was not taken.
    read: u64,
    most_ahead: Option<u64>,
    /// Whether the receiver says what it has taken of each lane.
    accountable: bool,
    /// The first lane serves beside others.
    together: bool,
}

#[derive(Debug)]
struct Track {
    waiting: VecDeque<Bytes>,
    held: VecDeque<Held>,
    given: u64,
    sent: u64,
    taken: u64,
    state: State,
    rate: Option<f64>,
    measured: (Instant, u64),
    /// When something was taken last, or nothing was on its way.
    moved: Instant,
}

/// What the reader gives at a time, or is left of it.
#[derive(Debug)]
struct Chunk {
    /// Bytes that the reader gave before.
    at: u64,
    messages: Vec<Bytes>,
}

/// A chunk that the receiver has not wholly taken.
#[derive(Debug)]
struct Held {
    chunk: Chunk,
    /// Where it begins on its lane.
    begin: u64,
    whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Gets no more chunks.
    Draining,
    /// Its channel is gone; what it delivered is not known yet.
    Lost,
}

fn length(messages: &[Bytes]) -> u64 {
    messages.iter().map(|message| message.len() as u64).sum()
}

impl Track {
    fn limit(&self) -> u64 {
        match self.rate {
            None => FIRST,
            Some(rate) => LEAST.max((rate * AHEAD.as_secs_f64()) as u64),
        }
    }

    fn in_flight(&self) -> u64 {
        self.sent - self.taken
    }

    fn has_room(&self) -> bool {
        self.state == State::Open
            && self.waiting.len() < NEARLY_DONE
            && self.in_flight() < self.limit()
    }

    fn prune(&mut self) {
        while self.held.front().is_some_and(|held| {
            held.whole && held.begin + length(&held.chunk.messages) <= self.taken
        }) {
            self.held.pop_front();
        }
    }
}

impl Book {
    /// With the first lane, on a path that takes so long. Chunks are kept only if the receiver is `accountable` for
    /// them.
    pub(super) fn new(now: Instant, accountable: bool, round_trip: Duration) -> Self {
        let mut book = Self {
            lanes: BTreeMap::new(),
            again: VecDeque::new(),
            filling: None,
            begun: None,
            read: 0,
            most_ahead: None,
            accountable,
            together: round_trip >= LONG,
        };
        book.add(now, 0);
        book
    }

    /// The receiver holds in memory what is ahead of what it waits for.
    pub(super) fn keep_within(&mut self, bytes: u64) {
        self.most_ahead = Some(bytes);
    }

    /// A lane can be used.
    pub(super) fn add(&mut self, now: Instant, lane: u16) {
        let track = Track {
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            given: 0,
            sent: 0,
            taken: 0,
            state: State::Open,
            rate: None,
            measured: (now, 0),
            moved: now,
        };
        self.lanes.insert(lane, track);
    }

    /// Extra lanes that carry data.
    pub(super) fn extra(&self) -> u16 {
        let open = |(lane, track): &(&u16, &Track)| **lane != 0 && track.state == State::Open;
        self.lanes.iter().filter(open).count() as u16
    }

    /// Whether any lane is left.
    pub(super) fn is_open(&self) -> bool {
        self.lanes.values().any(|track| track.state != State::Lost)
    }

    /// The lane for the next chunk: the one with the most room. The first lane shares its connection with
    /// everything else, so on a short path it serves only while there is no other.
    fn roomiest(&self) -> Option<u16> {
        let first = self.together || self.extra() == 0;
        self.lanes
            .iter()
            .filter(|(lane, track)| (**lane != 0 || first) && track.has_room())
            .min_by(|(_, a), (_, b)| {
                let load =
                    |track: &Track| (track.given - track.taken) as f64 / track.limit() as f64;
                load(a).total_cmp(&load(b))
            })
            .map(|(lane, _)| *lane)
    }

    /// Gives what lost lanes left to others, and says whether the reader's next message has a place.
    pub(super) fn wants(&mut self) -> bool {
        while self.filling.is_none()
            && let Some(lane) = self.roomiest()
        {
            if let Some(begun) = self.begun.take() {
                self.give(lane, begun, false);
                self.filling = Some(lane);
            } else if let Some(chunk) = self.again.pop_front() {
                self.give(lane, chunk, true);
            } else {
                return self.most_ahead.is_none_or(|most| self.ahead() < most);
            }
        }
        self.filling.is_some()
    }

    /// How far the reader is ahead of the first chunk that was not wholly taken.
    fn ahead(&self) -> u64 {
        let held = self.lanes.values().flat_map(|track| &track.held);
        let first = held
            .map(|held| &held.chunk)
            .chain(&self.again)
            .chain(&self.begun)
            .map(|chunk| chunk.at)
            .min();
        self.read - first.unwrap_or(self.read)
    }

    /// Takes the reader's next message, which [`wants`](Self::wants) must have asked for; `ends` if its
    /// chunk ends with it.
    pub(super) fn push(&mut self, message: Bytes, ends: bool) {
        let at = self.read;
        self.read += message.len() as u64;
        match self.filling.or_else(|| self.roomiest()) {
            Some(lane) if self.filling.is_some() => self.extend(lane, message, ends),
            Some(lane) => {
                let messages = vec![message];
                self.give(lane, Chunk { at, messages }, ends);
                self.filling = Some(lane);
            }
            // The lane was lost since it was asked for.
            None => {
                let messages = Vec::new();
                let mut begun = self.begun.take().unwrap_or(Chunk { at, messages });
                begun.messages.push(message);
                match ends {
                    true => self.again.push_back(begun),
                    false => self.begun = Some(begun),
                }
            }
        }
        if ends {
            self.filling = None;
        }
    }

    fn give(&mut self, lane: u16, chunk: Chunk, whole: bool) {
        let Some(track) = self.lanes.get_mut(&lane) else {
            return;
        };
        let begin = track.given;
        track.given += length(&chunk.messages);
        track.waiting.extend(chunk.messages.iter().cloned());
        if self.accountable {
            track.held.push_back(Held {
                chunk,
                begin,
                whole,
            });
        }
    }

    fn extend(&mut self, lane: u16, message: Bytes, ends: bool) {
        let Some(track) = self.lanes.get_mut(&lane) else {
            return;
        };
        track.given += message.len() as u64;
        if track.state != State::Lost {
            track.waiting.push_back(message.clone());
        }
        if let Some(held) = track.held.back_mut() {
            held.chunk.messages.push(message);
            held.whole = ends;
        }
        track.prune();
    }

    /// The next message of a lane, if it may be sent as far as the lane is concerned.
    pub(super) fn next(&self, lane: u16) -> Option<&Bytes> {
        let track = self.lanes.get(&lane)?;
        let may = !self.accountable || track.in_flight() < track.limit();
        track
            .waiting
            .front()
            .filter(|_| may && track.state != State::Lost)
    }

    /// An extra lane that is stuck while another lane is not.
    pub(super) fn stalled(&self, now: Instant) -> Option<u16> {
        let since = |track: &Track| now.saturating_duration_since(track.moved);
        let live = |track: &&Track| track.state != State::Lost;
        // What has nothing on its way could carry what is stuck elsewhere.
        let moves = |track: &Track| track.in_flight() == 0 || since(track) < STALL / 2;
        if !self.lanes.values().filter(live).any(moves) {
            return None;
        }
        let stuck = |(lane, track): &(&u16, &Track)| {
            **lane != 0 && live(track) && track.in_flight() > 0 && since(track) >= STALL
        };
        self.lanes.iter().find(stuck).map(|(lane, _)| *lane)
    }

    /// That message was sent.
    pub(super) fn sent(&mut self, now: Instant, lane: u16) -> Option<Bytes> {
        let track = self.lanes.get_mut(&lane)?;
        if track.in_flight() == 0 {
            track.moved = now;
        }
        let message = track.waiting.pop_front()?;
        track.sent += message.len() as u64;
        if !self.accountable {
            track.taken = track.sent;
        }
        Some(message)
    }

    /// The receiver has taken so many bytes of a lane.
    pub(super) fn credit(
        &mut self,
        now: Instant,
        lane: u16,
        taken: u64,
    ) -> Result<(), TransferError> {
        // A lane that is no more may have had credit on its way.
        let Some(track) = self.lanes.get_mut(&lane).filter(|_| self.accountable) else {
            return Ok(());
        };
        if taken < track.taken || taken > track.sent {
            return Err(TransferError::protocol("credit for what was not sent"));
        }
        track.taken = taken;
        track.moved = now;
        track.prune();
        let (since, from) = track.measured;
        let span = now.saturating_duration_since(since);
        if span >= SPAN {
            let rate = (taken - from) as f64 / span.as_secs_f64();
            // Half new, half old: a lane in slow start doubles, and one that waits for a timeout
            // keeps some of its place.
            track.rate = Some(track.rate.map_or(rate, |old| (old + rate) / 2.0));
            track.measured = (now, taken);
        }
        Ok(())
    }

    /// A lane gets no more chunks, except what the reader is in the middle of.
    pub(super) fn drain(&mut self, lane: u16) {
        if let Some(track) = self.lanes.get_mut(&lane) {
            track.state = State::Draining;
        }
    }

    /// The extra lane that was opened last.
    pub(super) fn last_extra(&self) -> Option<u16> {
        let open = |(lane, track): &(&u16, &Track)| **lane != 0 && track.state == State::Open;
        self.lanes.iter().rev().find(open).map(|(lane, _)| *lane)
    }

    /// Lanes that have delivered everything and get no more.
    pub(super) fn drained(&mut self) -> Vec<u16> {
        let filling = self.filling;
        let done = |(lane, track): (&u16, &Track)| {
            let done = track.state == State::Draining
                && track.waiting.is_empty()
                && track.in_flight() == 0
                && filling != Some(*lane);
            done.then_some(*lane)
        };
        let done: Vec<u16> = self.lanes.iter().filter_map(done).collect();
        for lane in &done {
            self.lanes.remove(lane);
        }
        done
    }

    /// The channel of a lane is gone. Returns whether that is news. A chunk that the reader is in the
    /// middle of is still collected here, until it is known what was delivered of it.
    pub(super) fn lost(&mut self, lane: u16) -> bool {
        let Some(track) = self.lanes.get_mut(&lane) else {
            return false;
        };
        track.waiting.clear();
        std::mem::replace(&mut track.state, State::Lost) != State::Lost
    }

    /// The receiver has taken so many bytes of a lane and will take no more. Returns how many were sent in
    /// vain.
    pub(super) fn ended(&mut self, lane: u16, taken: u64) -> Result<u64, TransferError> {
        let Some(track) = self.lanes.get_mut(&lane).filter(|_| self.accountable) else {
            return Ok(0);
        };
        if taken < track.taken || taken > track.sent {
            return Err(TransferError::protocol("credit for what was not sent"));
        }
        track.taken = taken;
        track.prune();
        if self.filling == Some(lane) {
            self.filling = None;
        }
        let Some(track) = self.lanes.remove(&lane) else {
            return Ok(0);
        };
        for held in track.held {
            let left = Chunk {
                at: held.chunk.at,
                messages: undelivered(&held.chunk.messages, held.begin, taken)?,
            };
            match held.whole {
                false => self.begun = Some(left),
                true if left.messages.is_empty() => {}
                true => self.again.push_back(left),
            }
        }
        Ok(track.sent - taken)
    }
}

/// What of a chunk must be sent again: everything from the first block that was not wholly delivered.
fn undelivered(messages: &[Bytes], begin: u64, taken: u64) -> Result<Vec<Bytes>, TransferError> {
    let mut at = begin;
    // Message and position in it where the block that is not complete yet began.
    let mut open: Option<(usize, usize)> = None;
    for (index, message) in messages.iter().enumerate() {
        at += message.len() as u64;
        if at > taken {
            let mut left = Vec::new();
            let (first, from) = open.unwrap_or((index, 0));
            left.push(messages[first].slice(from..));
            left.extend(messages[first + 1..].iter().cloned());
            return Ok(left);
        }
        let mut records = Records(message.clone());
        loop {
            let position = message.len() - records.0.len();
            match records.next() {
                None => break,
                Some(Err(_)) => return Err(TransferError::protocol("a record is cut short")),
                Some(Ok(record)) if record.digest.is_some() => open = None,
                Some(Ok(_)) => drop(open.get_or_insert((index, position))),
            }
        }
    }
    // Delivered as far as it goes; a block may still be open.
    Ok(match open {
        Some((first, from)) => {
            let mut left = vec![messages[first].slice(from..)];
            left.extend(messages[first + 1..].iter().cloned());
            left
        }
        None => Vec::new(),
    })
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
