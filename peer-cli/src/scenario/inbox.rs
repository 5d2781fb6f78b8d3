//! What has been seen of a peer so far, and whether it is what was expected. Pure.

mod answer;
mod line;

use std::collections::{BTreeMap, VecDeque};

use peerline::media::Kind;

use super::plan::{Expected, PeerId, Scenario, State};
use super::watch::{self, Diagnosis};
use line::{LineSeen, take_receipt};

/// Messages of a channel, or lines of a program, that nobody has asked for yet. What is older is forgotten.
const KEPT: usize = 100_000;

/// Longest text that is shown of something, in characters.
const SHOWN: usize = 200;

/// Something that a peer saw or did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// Of the line with another native peer.
    Line { with: PeerId, what: OnLine },
    /// A member of an open room is connected, or not any more.
    State(State, Option<String>),
    /// So many frames came to a member of an open room.
    Frames(Kind, u64),
    /// A line of stdout or stderr.
    Output(String),
    /// A program has ended; without a code, by a signal.
    Exit(Option<i32>),
    /// A line of a page's console.
    Console { level: String, text: String },
    /// An exception that a page did not catch.
    Exception(String),
    /// What a page does with WebRTC.
    Watched(watch::Event),
}

/// Something on a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OnLine {
    State(State, Option<String>),
    /// The other side opened a channel.
    Opened(String),
    Message {
        channel: String,
        text: String,
    },
    Received(Receipt),
    Sent(Receipt),
    /// A transfer failed, on either side.
    Failed(String),
    /// So many frames came, all in all.
    Frames(Kind, u64),
}

/// A transfer that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) bytes: u64,
    pub(crate) files: u32,
    pub(crate) digest: String,
}

/// What came of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Met,
    /// Not yet; what there was instead.
    NotYet(String),
    /// It cannot come any more.
    Never(String),
}

/// All that was seen of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    lines: BTreeMap<PeerId, LineSeen>,
    state: Option<(State, Option<String>)>,
    frames: [u64; 2],
    output: VecDeque<String>,
    last_output: Option<String>,
    exit: Option<Option<i32>>,
    console: VecDeque<String>,
    exceptions: Vec<String>,
    pub(crate) diagnosis: Diagnosis,
}

fn of_kind(kind: Kind) -> usize {
    match kind {
        Kind::Audio => 0,
        Kind::Video => 1,
    }
}

/// Text in quotes, as long as can be read at a glance.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl Inbox {
    /// Takes something in.
    pub(crate) fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Line { with, what } => self.lines.entry(with).or_default().note(what),
            Seen::State(state, why) => self.state = Some((state, why)),
            Seen::Frames(kind, total) => self.frames[of_kind(kind)] = total,
            Seen::Output(line) => {
                self.last_output = Some(line.clone());
                keep(&mut self.output, line);
            }
            Seen::Exit(code) => self.exit = Some(code),
            Seen::Console { level, text } => keep(&mut self.console, format!("{level}: {text}")),
            Seen::Exception(text) => {
                if self.exceptions.len() < KEPT {
                    self.exceptions.push(text);
                }
            }
            Seen::Watched(event) => self.diagnosis.note(&event),
        }
    }

    /// It begins anew: what was there before is of another life.
    pub(crate) fn restarted(&mut self) {
        let exceptions = std::mem::take(&mut self.exceptions);
        *self = Self {
            exceptions,
            ..Self::default()
        };
    }

    /// The line with somebody begins anew.
    pub(crate) fn forget(&mut self, with: PeerId) {
        self.lines.remove(&with);
    }

    /// Exceptions that a page did not catch.
    pub(crate) fn exceptions(&self) -> &[String] {
        &self.exceptions
    }

    /// The first transfer that failed without anybody having expected it.
    pub(crate) fn failed_transfer(&self) -> Option<(PeerId, &str)> {
        let mut lines = self.lines.iter();
        lines.find_map(|(with, line)| Some((*with, line.failed.front()?.as_str())))
    }

    /// Frames of a kind so far.
    pub(crate) fn frames(&self, from: Option<PeerId>, kind: Kind) -> u64 {
        match from {
            Some(peer) => self
                .lines
                .get(&peer)
                .map_or(0, |line| line.frames[of_kind(kind)]),
            None => self.frames[of_kind(kind)],
        }
    }

    /// Whether what is expected is there; what was looked for is taken out. `base` is how many frames there were before.
    pub(crate) fn look(&mut self, expected: &Expected, base: u64, scenario: &Scenario) -> Look {
        match expected {
            Expected::Message {
                from,
                channel,
                text,
                count,
            } => {
                let name = scenario.name_of(*from);
                let line = self.lines.entry(*from).or_default();
                line.look_for_message(name, channel, text, *count)
            }
            Expected::Opened { from, channel } => self.look_for_channel(*from, channel, scenario),
            Expected::State { with, state } => self.look_for_state(*with, *state, scenario),
            Expected::Received { from, bytes } => {
                let line = self.lines.entry(*from).or_default();
                let fits = |receipt: &Receipt| bytes.is_none_or(|bytes| bytes == receipt.bytes);
                take_receipt(&mut line.received, &mut line.failed, fits)
                    .unwrap_or_else(|| line.ended("nothing is complete"))
            }
            Expected::Sent { to } => {
                let line = self.lines.entry(*to).or_default();
                take_receipt(&mut line.sent, &mut line.failed, |_| true)
                    .unwrap_or_else(|| line.ended("nothing is confirmed"))
            }
            Expected::Frames { from, kind, count } => {
                let came = self.frames(*from, *kind).saturating_sub(base);
                match came >= *count {
                    true => Look::Met,
                    false => {
                        let seen = format!("{came} of them came");
                        match from {
                            Some(peer) => self.lines.entry(*peer).or_default().ended(&seen),
                            None => ended(self.state.as_ref(), &seen),
                        }
                    }
                }
            }
            Expected::Output(text) => self.look_for_output(text),
            Expected::Exit(code) => match self.exit {
                Some(Some(found)) if found == *code => Look::Met,
                Some(found) => Look::Never(format!("it {}{}", exit(found), self.last_words())),
                None => Look::NotYet(format!("it still runs{}", self.last_words())),
            },
            Expected::Console(text) => {
                let found = self
                    .console
                    .iter()
                    .position(|line| line.contains(text.as_str()));
                match found {
                    Some(index) => {
                        self.console.drain(..=index);
                        Look::Met
                    }
                    None => Look::NotYet(match self.console.back() {
                        Some(last) => format!("its last line was {}", quoted(last)),
                        None => "nothing was written there".into(),
                    }),
                }
            }
            // Asked of the page.
            Expected::Page(_) => Look::NotYet("the page has not answered".into()),
        }
    }

    fn look_for_channel(
        &mut self,
        from: Option<PeerId>,
        channel: &str,
        scenario: &Scenario,
    ) -> Look {
        let Some(peer) = from else {
            return match self.diagnosis.has_opened(channel) {
                true => Look::Met,
                false => Look::NotYet(self.diagnosis.summary()),
            };
        };
        let line = self.lines.entry(peer).or_default();
        if let Some(index) = line.opened.iter().position(|label| label == channel) {
            line.opened.remove(index);
            return Look::Met;
        }
        let name = scenario.name_of(peer);
        let seen = match &line.opened[..] {
            [] => format!("{name} opened none"),
            others => format!("{name} opened {}", others.join(", ")),
        };
        line.ended(&seen)
    }

    fn look_for_state(&self, with: Option<PeerId>, wanted: State, scenario: &Scenario) -> Look {
        let (found, otherwise) = match with {
            Some(peer) => {
                let state = self.lines.get(&peer).and_then(|line| line.state.clone());
                let name = scenario.name_of(peer);
                (state, format!("there is no line with {name}"))
            }
            None => {
                let own = self.state.clone();
                let state = own.or_else(|| Some((self.diagnosis.state()?, None)));
                (state, self.diagnosis.summary())
            }
        };
        match found {
            Some((state, _)) if state == wanted => Look::Met,
            Some((State::Ended, why)) if with.is_some() => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Look::Never(format!("it has ended{why}"))
            }
            Some((state, why)) => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Look::NotYet(format!("it is {state}{why}"))
            }
            None => Look::NotYet(otherwise),
        }
    }

    fn look_for_output(&mut self, text: &str) -> Look {
        if let Some(index) = self.output.iter().position(|line| line.contains(text)) {
            self.output.drain(..=index);
            return Look::Met;
        }
        let seen = match &self.last_output {
            Some(last) => format!("its last line was {}", quoted(last)),
            None => "it has printed nothing".into(),
        };
        match self.exit {
            Some(code) => Look::Never(format!("it {}, and {seen}", exit(code))),
            None => Look::NotYet(seen),
        }
    }

    fn last_words(&self) -> String {
        let last = self.last_output.as_ref();
        last.map(|last| format!("; its last line was {}", quoted(last)))
            .unwrap_or_default()
    }
}

/// Text number `n` of several.
pub(crate) fn numbered(text: &str, n: u32) -> String {
    format!("{text} #{n}")
}

fn ended(state: Option<&(State, Option<String>)>, seen: &str) -> Look {
    match state {
        Some((State::Ended, why)) => {
            let why = why
                .as_ref()
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            Look::Never(format!("{seen}, and the connection has ended{why}"))
        }
        Some((State::Interrupted, _)) => {
            Look::NotYet(format!("{seen}; the connection is interrupted"))
        }
        Some((State::Connected, _)) => Look::NotYet(seen.to_owned()),
        None => Look::NotYet(format!("{seen}; there is no connection")),
    }
}

fn exit(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".into(),
    }
}

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}
