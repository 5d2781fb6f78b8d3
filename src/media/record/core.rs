//! When a file begins, what is in it, and at what time.
//!
//! Pure. Each track has a clock of its own with a beginning of its own; the sender says with its reports how
//! they belong together (RFC 3550 section 6.4.1). Chromium's first report for sound comes after 2.5 s. So
//! frames are held until every track has one, for a while, and written from then on as they come.

use super::super::codec::{Codec, Kind};
use super::super::container::matroska::{Muxer, Patch, Track};
use super::super::track::{Received, SenderClock};
use std::time::{Duration, Instant};

/// How long the first frame waits for a second track: a call mostly has both.
const PARTNER: Duration = Duration::from_millis(1_500);

/// How long it waits for reports. Without one, a track is timed by its arrival.
const REPORTS: Duration = Duration::from_secs(6);

/// Bytes that are held at most: far beyond any call in that time.
const MOST: usize = 64 << 20;

/// Reports follow the drift between the clocks of a sender's devices, which is far below a thousandth, and differ by
/// what its machine was busy with. One that is further off counts when the next one says the same: the device stood
/// still.
const PLAUSIBLE: i64 = 100_000_000;

/// The part of a plausible difference that is taken over with each report.
const SMOOTHING: i64 = 8;

/// How long the last frame of a file is taken to last.
const TAIL: Duration = Duration::from_millis(20);

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A file begins with this.
    Begin(Vec<u8>),
    /// It goes on.
    Bytes(Vec<u8>),
    /// It ends with this, and earlier bytes change.
    End {
        bytes: Vec<u8>,
        patches: Vec<Patch>,
        length: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Core {
    app: String,
    lines: Vec<Line>,
    state: State,
    held: Vec<(u64, Received)>,
    /// When time began here; arrivals are measured from it.
    base: Option<Instant>,
    /// Nanoseconds of the sender's clock minus those since `base`, as the last frame said whose track has a report: a
    /// track that comes later begins by it.
    skew: Option<i64>,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Idle,
    /// Frames are held.
    Holding { since: Instant },
    /// A file is open; it began at this time, in nanoseconds of the sender's clock.
    Writing { muxer: Muxer, begin: i64, end: i64 },
}

/// A track.
#[derive(Debug)]
struct Line {
    id: u64,
    codec: Codec,
    alive: bool,
    /// The same moment in ticks and in nanoseconds of the common clock.
    origin: Option<(i64, i64)>,
    /// The last report, and how far it was off if that was not plausible.
    report: Option<(SenderClock, Option<i64>)>,
    /// Its place in the file that is open.
    place: Option<usize>,
    needs_key: bool,
}

impl Line {
    /// Takes a report; before a file is begun its word is all that is known.
    fn heard(&mut self, clock: SenderClock, is_writing: bool) {
        if self.report.is_some_and(|(last, _)| last == clock) {
            return;
        }
        let said = nanos(clock.at);
        let known = self.nanos(clock.ticks).filter(|_| is_writing);
        let off = known.map_or(0, |known| said.saturating_sub(known));
        let before = self.report.and_then(|(_, off)| off);
        let plausible = off.abs() <= PLAUSIBLE;
        let repeated = before.is_some_and(|before| off.abs_diff(before) <= PLAUSIBLE as u64);
        self.report = Some((clock, (!plausible && !repeated).then_some(off)));
        match known {
            Some(known) if plausible => {
                self.origin = Some((clock.ticks, known.saturating_add(off / SMOOTHING)));
            }
            Some(_) if !repeated => {}
            _ => self.origin = Some((clock.ticks, said)),
        }
    }

    fn nanos(&self, ticks: i64) -> Option<i64> {
        let (origin, at) = self.origin?;
        let passed = i128::from(ticks) - i128::from(origin);
        let nanos = passed * 1_000_000_000 / i128::from(self.codec.clock_rate());
        Some(at.saturating_add(i64::try_from(nanos).ok()?))
    }
}

impl Core {
    pub(super) fn new(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            lines: Vec::new(),
            state: State::Idle,
            held: Vec::new(),
            base: None,
            skew: None,
        }
    }

    pub(super) fn add(&mut self, id: u64, codec: Codec) {
        // A picture that comes back goes on where it left off, if a decoder can do that without being told.
        let simple = matches!(codec, Codec::Opus | Codec::Vp8 | Codec::Vp9);
        let over = self
            .lines
            .iter_mut()
            .find(|line| simple && !line.alive && line.codec == codec && line.place.is_some());
        let place = over.and_then(|line| line.place.take());
        self.lines.push(Line {
            id,
            codec,
            alive: true,
            origin: None,
            report: None,
            place,
            needs_key: codec.kind() == Kind::Video,
        });
    }

    pub(super) fn end(&mut self, id: u64) {
        if let Some(line) = self.line(id) {
            line.alive = false;
        }
    }

    pub(super) fn needs_key(&self, id: u64) -> bool {
        self.lines
            .iter()
            .any(|line| line.id == id && line.needs_key)
    }

    pub(super) fn frame(
        &mut self,
        now: Instant,
        id: u64,
        frame: &Received,
        clock: Option<SenderClock>,
    ) -> Vec<Output> {
        let base = *self.base.get_or_insert(now);
        let skew = self.skew();
        let is_writing = matches!(self.state, State::Writing { .. });
        let Some(line) = self.line(id) else {
            return Vec::new();
        };
        if let Some(clock) = clock {
            line.heard(clock, is_writing);
        }
        if line.needs_key && !frame.key {
            return Vec::new();
        }
        line.needs_key = false;
        let arrived = nanos(frame.arrived.saturating_duration_since(base));
        if line.origin.is_none()
            && let Some(skew) = skew
        {
            line.origin = Some((frame.ticks, arrived.saturating_add(skew)));
        }
        let has_place = line.place.is_some();
        let seen = line.report.and_then(|_| line.nanos(frame.ticks));
        if let Some(at) = seen.filter(|_| is_writing) {
            self.skew = Some(at.saturating_sub(arrived));
        }
        match &mut self.state {
            State::Writing { .. } if has_place => vec![Output::Bytes(self.written(id, frame))],
            State::Writing { .. } => {
                let mut outputs = self.close();
                self.hold(now, id, frame);
                outputs.extend(self.begin_if_ready(now));
                outputs
            }
            State::Idle | State::Holding { .. } => {
                self.hold(now, id, frame);
                self.begin_if_ready(now)
            }
        }
    }

    pub(super) fn finish(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs = match self.state {
            State::Holding { .. } => self.begin(now),
            State::Idle | State::Writing { .. } => Vec::new(),
        };
        outputs.extend(self.close());
        outputs
    }

    fn line(&mut self, id: u64) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }

    fn hold(&mut self, now: Instant, id: u64, frame: &Received) {
        if matches!(self.state, State::Idle) {
            self.state = State::Holding { since: now };
        }
        self.held.push((id, frame.clone()));
    }

    /// By what is held, or else as it was before.
    fn skew(&self) -> Option<i64> {
        let base = self.base?;
        let held = self.held.iter().rev().find_map(|(id, frame)| {
            let line = self.lines.iter().find(|line| line.id == *id)?;
            let arrived = nanos(frame.arrived.saturating_duration_since(base));
            line.report?;
            Some(line.nanos(frame.ticks)?.saturating_sub(arrived))
        });
        held.or(self.skew)
    }

    fn begin_if_ready(&mut self, now: Instant) -> Vec<Output> {
        let State::Holding { since } = self.state else {
            return Vec::new();
        };
        let held = now.saturating_duration_since(since);
        let alive = || self.lines.iter().filter(|line| line.alive);
        let has = |kind| alive().any(|line| line.codec.kind() == kind);
        let complete = (has(Kind::Audio) && has(Kind::Video)) || held >= PARTNER;
        let reported = alive().all(|line| line.report.is_some() && self.is_held(line.id));
        let bytes: usize = self.held.iter().map(|(_, frame)| frame.data.len()).sum();
        match (complete && reported) || held >= REPORTS || bytes > MOST {
            true => self.begin(now),
            false => Vec::new(),
        }
    }

    fn is_held(&self, id: u64) -> bool {
        self.held.iter().any(|(held, _)| *held == id)
    }

    /// Begins a file with what is held.
    fn begin(&mut self, now: Instant) -> Vec<Output> {
        let base = self.base.unwrap_or(now);
        let skew = self.skew().unwrap_or(0);
        self.skew = Some(skew);
        let mut tracks = Vec::new();
        for line in &mut self.lines {
            line.place = None;
            let Some((_, first)) = self.held.iter().find(|(id, _)| *id == line.id) else {
                continue;
            };
            line.place = Some(tracks.len());
            tracks.push(Track::beginning(line.codec, &first.data));
            let arrived = nanos(first.arrived.saturating_duration_since(base));
            line.origin
                .get_or_insert((first.ticks, arrived.saturating_add(skew)));
        }
        let mut held = std::mem::take(&mut self.held);
        let time = |lines: &[Line], (id, frame): &(u64, Received)| {
            let line = lines.iter().find(|line| line.id == *id);
            line.and_then(|line| line.nanos(frame.ticks)).unwrap_or(0)
        };
        held.sort_by_key(|frame| time(&self.lines, frame));
        let begin = held.first().map_or(0, |first| time(&self.lines, first));
        let (muxer, bytes) = Muxer::begin(tracks, &self.app);
        self.state = State::Writing {
            muxer,
            begin,
            end: begin,
        };
        let mut outputs = vec![Output::Begin(bytes)];
        for (id, frame) in &held {
            outputs.push(Output::Bytes(self.written(*id, frame)));
        }
        outputs
    }

    fn written(&mut self, id: u64, frame: &Received) -> Vec<u8> {
        let line = self.lines.iter().find(|line| line.id == id);
        let placed = line.and_then(|line| Some((line.place?, line.nanos(frame.ticks)?)));
        let (State::Writing { muxer, begin, end }, Some((place, nanos))) =
            (&mut self.state, placed)
        else {
            return Vec::new();
        };
        *end = (*end).max(nanos);
        muxer.frame(place, span(*begin, nanos), frame.key, &frame.data)
    }

    fn close(&mut self) -> Vec<Output> {
        let State::Writing { muxer, begin, end } = std::mem::replace(&mut self.state, State::Idle)
        else {
            return Vec::new();
        };
        for line in &mut self.lines {
            line.place = None;
            line.needs_key = line.codec.kind() == Kind::Video;
        }
        self.lines.retain(|line| line.alive);
        let (bytes, patches) = muxer.finish(TAIL);
        let length = span(begin, end) + TAIL;
        vec![Output::End {
            bytes,
            patches,
            length,
        }]
    }
}

/// Enough for 146 years on either side of a beginning; the sender's clock counts from 1900 or from its start.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What is before the beginning is at the beginning.
fn span(begin: i64, end: i64) -> Duration {
    Duration::from_nanos(u64::try_from(end.saturating_sub(begin)).unwrap_or(0))
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
