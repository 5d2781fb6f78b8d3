//! What happened in one scenario, with times, for who looks into a failure.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::inbox::{OnLine, Seen};
use super::plan::{PeerId, Scenario};
use super::timeline::{Action, Input};

/// Most records of one scenario; later ones are counted only.
const RECORDS: usize = 50_000;

/// Longest text of a record, in characters: a description is as long as that.
const TEXT: usize = 8 << 10;

/// The records of one scenario.
#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    records: Vec<Record>,
    dropped: u64,
}

#[derive(Debug, Serialize)]
struct Record {
    /// Seconds since the beginning.
    at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Journal {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            began: now,
            records: Vec::new(),
            dropped: 0,
        }
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    pub(super) fn input(&mut self, now: Instant, scenario: &Scenario, input: &Input) {
        let name = |peer: &PeerId| Some(scenario.name_of(*peer).to_owned());
        match input {
            Input::Tick | Input::Interrupted => {}
            Input::Up(peer) => self.note(now, name(peer), "up", None, None),
            Input::Connected(line) => {
                let [a, b] = scenario.lines[*line].ends;
                self.note(now, name(&a), "connected", name(&b), None);
            }
            Input::Broken { peer, why } => {
                self.note(now, name(peer), "broken", None, Some(why.clone()));
            }
            Input::Done(Ok(())) => self.note(now, None, "done", None, None),
            Input::Done(Err(why)) => self.note(now, None, "not-done", None, Some(why.clone())),
            Input::Answer(answer) => {
                let text = match answer {
                    Ok(value) => value.to_string(),
                    Err(why) => why.clone(),
                };
                self.note(now, None, "answer", None, Some(text));
            }
            Input::Seen { peer, seen } => {
                let (event, with, text) = seen_words(seen);
                let with = with.and_then(|with| name(&with));
                self.note(now, name(peer), event, with, Some(text));
            }
        }
    }

    pub(super) fn action(&mut self, now: Instant, scenario: &Scenario, action: &Action) {
        let name = |peer: &PeerId| Some(scenario.name_of(*peer).to_owned());
        let ends = |line: &usize| {
            let [a, b] = scenario.lines[*line].ends;
            (name(&a), name(&b))
        };
        match action {
            Action::Start(peer) => self.note(now, name(peer), "start", None, None),
            Action::Connect(line) => {
                let (a, b) = ends(line);
                self.note(now, a, "connect", b, None);
            }
            Action::Perform { peer, act } => {
                let text = super::words::act(scenario, *peer, act);
                self.note(now, name(peer), "perform", None, Some(text));
            }
            Action::Server(act) => self.note(now, None, "server", None, Some(format!("{act:?}"))),
            Action::Cut(line) => {
                let (a, b) = ends(line);
                self.note(now, a, "cut", b, None);
            }
            Action::Restore(line) => {
                let (a, b) = ends(line);
                self.note(now, a, "restore", b, None);
            }
            Action::Ask { peer, expression } => {
                self.note(now, name(peer), "ask", None, Some(expression.clone()));
            }
            Action::End(_) => self.note(now, None, "end", None, None),
        }
    }

    fn note(
        &mut self,
        now: Instant,
        peer: Option<String>,
        event: &'static str,
        with: Option<String>,
        text: Option<String>,
    ) {
        if self.records.len() == RECORDS {
            self.dropped += 1;
            return;
        }
        let at = self.elapsed(now).as_secs_f64();
        let text = text.map(|text| text.chars().take(TEXT).collect());
        self.records.push(Record {
            at,
            peer,
            event,
            with,
            text,
        });
    }

    /// Writes `events.jsonl`, one record a line.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut file = BufWriter::new(fs::File::create(directory.join("events.jsonl"))?);
        for record in &self.records {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        if self.dropped > 0 {
            writeln!(
                file,
                "{{\"event\":\"dropped\",\"text\":\"{} more\"}}",
                self.dropped
            )?;
        }
        file.flush()
    }
}

fn seen_words(seen: &Seen) -> (&'static str, Option<PeerId>, String) {
    let reason = |why: &Option<String>| {
        why.as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default()
    };
    match seen {
        Seen::Line { with, what } => {
            let (event, text) = match what {
                OnLine::State(state, why) => ("state", format!("{state}{}", reason(why))),
                OnLine::Opened(label) => ("opened", label.clone()),
                OnLine::Message { channel, text } => ("message", format!("{channel}: {text}")),
                OnLine::Received(receipt) => ("received", format!("{receipt:?}")),
                OnLine::Sent(receipt) => ("sent", format!("{receipt:?}")),
                OnLine::Failed(why) => ("failed", why.clone()),
                OnLine::Frames(kind, total) => ("frames", format!("{total} of {kind}")),
            };
            (event, Some(*with), text)
        }
        Seen::State(state, why) => ("state", None, format!("{state}{}", reason(why))),
        Seen::Frames(kind, total) => ("frames", None, format!("{total} of {kind}")),
        Seen::Output(line) => ("output", None, line.clone()),
        Seen::Exit(Some(code)) => ("exit", None, code.to_string()),
        Seen::Exit(None) => ("exit", None, "by a signal".into()),
        Seen::Console { level, text } => ("console", None, format!("{level}: {text}")),
        Seen::Exception(text) => ("exception", None, text.clone()),
        Seen::Watched(event) => ("webrtc", None, format!("{event:?}")),
    }
}
