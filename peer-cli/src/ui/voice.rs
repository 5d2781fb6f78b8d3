//! The voice of a command: who listens decides what is said, and on which stream.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::clean::clean;
use super::event::{self, Event};
use super::palette::Palette;
use super::patience::{Patient, patiently};
use super::progress::{Bar, Meter, figures};
use super::receivers::{Receiver, Receivers};
use super::streams::{LogLine, Progress, Streams};
use super::{prompt, qr};
use crate::exit::Failure;

/// JSON `progress` events are at least this far apart: five a second feed any display.
const JSON_PROGRESS: Duration = Duration::from_millis(200);

/// Between two looks of the bar: smooth to the eye, and no measurable share of a core.
const FRAME: Duration = Duration::from_millis(100);

/// Lines of text that must stay visible below the QR code: code, link, and the other side's line.
const LINES_BELOW_QR: usize = 7;

/// Who listens, from `--json` and `--quiet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Words on stderr, the code also on stdout if that goes elsewhere.
    People,
    /// Nobody is there: the code, and a line for each thing that was done.
    Log,
    /// Only what cannot be done without: the code, questions and errors.
    Quiet,
    /// One JSON object a line on stdout.
    Scripts,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// No terminal, or `--json`: there is no one to ask.
    Nobody,
}

/// What the two output streams and stdin are connected to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) stdout_is_terminal: bool,
    /// `None` when stderr is not a terminal, or one that cannot move its cursor.
    pub(super) screen: Option<Palette>,
    pub(super) can_ask: bool,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let stderr = io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        // https://no-color.org: present and not empty.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            stdout_is_terminal: io::stdout().is_terminal(),
            screen: (stderr && !dumb).then_some(if no_colour {
                Palette::Plain
            } else {
                Palette::Colour
            }),
            can_ask: stderr && io::stdin().is_terminal(),
        }
    }
}

/// The voice of a command. Clones share the same streams and progress bar.
#[derive(Clone)]
pub(crate) struct Ui {
    audience: Audience,
    surroundings: Surroundings,
    streams: Arc<Mutex<Streams>>,
    /// The one of several receivers that this is about.
    receiver: Option<Receiver>,
}

impl Ui {
    /// Speaks on the streams of this process.
    pub(crate) fn new(audience: Audience) -> Self {
        let surroundings = Surroundings::of_this_process();
        Self::with(
            audience,
            surroundings,
            Box::new(Patient(io::stdout())),
            Box::new(Patient(io::stderr())),
        )
    }

    /// Speaks on stderr only: stdout is for data.
    pub(crate) fn beside_data(audience: Audience) -> Self {
        let surroundings = Surroundings {
            // The code is on stderr already, in words.
            stdout_is_terminal: true,
            ..Surroundings::of_this_process()
        };
        let [out, talk] =
            [(); 2].map(|()| Box::new(Patient(io::stderr())) as Box<dyn Write + Send>);
        Self::with(audience, surroundings, out, talk)
    }

    pub(super) fn with(
        audience: Audience,
        surroundings: Surroundings,
        out: Box<dyn Write + Send>,
        talk: Box<dyn Write + Send>,
    ) -> Self {
        let streams = Streams::new(out, talk);
        Self {
            audience,
            surroundings,
            streams: Arc::new(Mutex::new(streams)),
            receiver: None,
        }
    }

    /// The same voice, for what happens with one of several receivers.
    pub(crate) fn about(&self, number: u32, all: &Arc<Receivers>) -> Self {
        Self {
            receiver: Some(Receiver {
                number,
                progress: Arc::default(),
                all: all.clone(),
            }),
            ..self.clone()
        }
    }

    /// Says that something happened.
    pub(crate) fn say(&self, event: impl Into<Event>) {
        self.say_event(&event.into());
    }

    fn say_event(&self, event: &Event) {
        if self.receiver.is_none() && event.ends_progress() {
            // The bar ends before the last line is said.
            drop(self.streams().progress.take());
        }
        if self.audience != Audience::Scripts {
            match event {
                Event::Message(message) => return self.heard(message),
                Event::Check(check) => return self.result(&check.shown(self.out_palette())),
                _ => {}
            }
        }
        match self.audience {
            Audience::Scripts => self.result(&match &self.receiver {
                None => event.json(),
                Some(receiver) => event.json_of(receiver.number),
            }),
            Audience::Quiet => match event {
                Event::Code(code) => self.result(&format!("{}\n{}", code.code, code.link)),
                Event::Error(_) | Event::Phrase(_) => self.talk_about(event),
                _ => {}
            },
            Audience::Log => match event {
                Event::Code(code) => {
                    self.show_code(code);
                    self.talk_about(event);
                }
                Event::Listening(_) | Event::Error(_) => self.talk_about(event),
                _ => {}
            },
            Audience::People => {
                if matches!(event, Event::File(_)) && self.surroundings.screen.is_some() {
                    // The bar says enough; ten thousand names would scroll it away.
                    return;
                }
                if let Event::Code(code) = event {
                    self.show_code(code);
                }
                self.talk_about(event);
            }
        }
    }

    /// What somebody else said: the result of a chat, in colour where a terminal shows it.
    fn heard(&self, message: &event::Message) {
        let rings = message.bell && self.surroundings.stdout_is_terminal;
        let bell = if rings { "\x07" } else { "" };
        self.result(&format!("{bell}{}", message.shown(self.out_palette())));
    }

    /// The colours of stdout.
    fn out_palette(&self) -> Palette {
        match self.surroundings.screen {
            Some(palette) if self.surroundings.stdout_is_terminal => palette,
            _ => Palette::Plain,
        }
    }

    /// Speaks on these from now on: there is an editor on the terminal, which prints above the line that is typed.
    pub(crate) fn redirect(&self, out: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) {
        self.streams().redirect(out, talk);
    }

    /// Speaks on the streams of this process again.
    pub(crate) fn redirect_to_process(&self) {
        self.redirect(
            Box::new(Patient(io::stdout())),
            Box::new(Patient(io::stderr())),
        );
    }

    /// Takes away the line that somebody was typing, and turns off the marking of pasted text.
    pub(crate) fn clear_line(&self) {
        self.streams().write_talk("\x1b[?2004l\r\x1b[J");
    }

    /// Reports why the command failed.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.say(event::Error::from(failure));
    }

    /// The same voice, for when nobody is there: people find what was done when they come back.
    pub(crate) fn unattended(&self) -> Self {
        let audience = match self.audience {
            Audience::People => Audience::Log,
            other => other,
        };
        Self {
            audience,
            ..self.clone()
        }
    }

    /// A line for what was done while nobody was there.
    pub(crate) fn record(&self, text: &str) {
        if self.audience == Audience::Log {
            self.talk(&clean(text));
        }
    }

    /// Raw text for the terminal of whoever looks at it: pictures, which are not cleaned.
    pub(super) fn draw(&self, text: &str) {
        self.streams().write_talk(text);
    }

    /// Talk that is no event: what is being waited for.
    pub(crate) fn note(&self, text: &str) {
        if self.audience == Audience::People {
            self.talk(&clean(text));
        }
    }

    /// Moves the progress on: `bytes` of `total` are verified. Call it as often as convenient.
    pub(crate) fn progress(&self, bytes: u64, total: u64) {
        self.progress_from(0, bytes, total);
    }

    /// Says beside the bar what is waited for; the next progress replaces it.
    pub(crate) fn waiting(&self, text: &str) {
        if let Some(Progress { bar: Some(bar), .. }) = &self.streams().progress {
            bar.say(text);
        }
    }

    /// Begins a progress that has `bytes` of `total` already: they do not count as speed.
    pub(crate) fn resume(&self, bytes: u64, total: u64) {
        self.say(event::Resuming { bytes, total });
        self.progress_from(bytes, bytes, total);
    }

    fn progress_from(&self, resumed: u64, bytes: u64, total: u64) {
        let now = Instant::now();
        if let Some(receiver) = &self.receiver {
            return self.progress_of(receiver, now, resumed, (bytes, total));
        }
        let mut streams = self.streams();
        let on_screen = self.audience == Audience::People && self.surroundings.screen.is_some();
        let progress = streams.progress.get_or_insert_with(|| Progress {
            meter: Meter::new(now, bytes),
            bar: on_screen.then(Bar::new),
            resumed,
            said: None,
        });
        progress.meter.update(now, bytes);
        let interval = if on_screen { FRAME } else { JSON_PROGRESS };
        let due = |said: Instant| now.duration_since(said) >= interval;
        let done = total > 0 && bytes >= total;
        if !done && !progress.said.is_none_or(due) {
            return;
        }
        progress.said = Some(now);
        if let Some(bar) = &progress.bar {
            bar.show(bytes, total, figures(&progress.meter, bytes, total));
        } else if self.audience == Audience::Scripts {
            let event = event::Progress {
                bytes,
                total,
                rate: progress.meter.rate(),
                resumed: progress.resumed,
            };
            streams.result(&Event::from(event).json());
        }
    }

    /// For scripts, of each receiver; for people, of all together.
    fn progress_of(
        &self,
        receiver: &Receiver,
        now: Instant,
        resumed: u64,
        (bytes, total): (u64, u64),
    ) {
        let sum = receiver.all.add(receiver.number, bytes);
        if self.audience != Audience::Scripts {
            let together = Self {
                receiver: None,
                ..self.clone()
            };
            return together.progress(sum, total * receiver.all.count);
        }
        let mut progress = receiver
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let progress = progress.get_or_insert_with(|| Progress {
            meter: Meter::new(now, bytes),
            bar: None,
            resumed,
            said: None,
        });
        progress.meter.update(now, bytes);
        let due = |said: Instant| now.duration_since(said) >= JSON_PROGRESS;
        if progress.said.is_none_or(due) || bytes >= total {
            progress.said = Some(now);
            let event = event::Progress {
                bytes,
                total,
                rate: progress.meter.rate(),
                resumed: progress.resumed,
            };
            self.say(event);
        }
    }

    /// A line that somebody asked for, on stdout; for scripts there is an event.
    pub(crate) fn answer(&self, text: &str) {
        if self.audience != Audience::Scripts {
            self.result(&clean(text));
        }
    }

    /// Asks a yes-or-no question; anything but a clear yes is a no.
    pub(crate) async fn confirm(&self, question: &str) -> Answer {
        match self.ask(&format!("{question} [y/N] ")).await {
            None if !self.can_ask() => Answer::Nobody,
            Some(answer) if prompt::is_yes(&answer) => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Asks for a line of text; `None` if there is nobody to ask or stdin has ended.
    pub(crate) async fn ask(&self, question: &str) -> Option<String> {
        if !self.can_ask() {
            return None;
        }
        self.streams().write_talk(&clean(question));
        prompt::line().await.ok().flatten()
    }

    /// Who listens.
    pub(crate) fn audience(&self) -> Audience {
        self.audience
    }

    /// Whether there is a person at a terminal to ask.
    pub(crate) fn can_ask(&self) -> bool {
        self.surroundings.can_ask && self.audience != Audience::Scripts
    }

    /// Flushes the result. A reader that closed stdout early (`| head -1`) is no failure: it has
    /// what it wanted, and whether the files arrived does not depend on it.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self.streams().close() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::local("cannot write to stdout", &error))
            }
            _ => Ok(()),
        }
    }

    /// A place for log lines, which step around the progress bar.
    pub(crate) fn log(&self) -> LogLine {
        LogLine::new(self.clone())
    }

    fn talk_about(&self, event: &Event) {
        let palette = self.surroundings.screen.unwrap_or(Palette::Plain);
        if let Some(line) = event.line(palette) {
            self.talk(&line);
        }
    }

    /// The picture of the link, and the bare code for a program that reads it.
    fn show_code(&self, code: &event::Code) {
        self.draw_qr(&code.link);
        if !self.surroundings.stdout_is_terminal {
            self.result(&code.code);
        }
    }

    fn draw_qr(&self, link: &str) {
        let (Some(palette), Some((rows, columns))) = (
            self.surroundings.screen,
            console::Term::stderr().size_checked(),
        ) else {
            return;
        };
        let rows = usize::from(rows).saturating_sub(LINES_BELOW_QR);
        if let Some(picture) = qr::picture(link, columns.into(), rows, palette) {
            self.talk(&picture);
        }
    }

    fn result(&self, line: &str) {
        self.streams().result(line);
    }

    fn talk(&self, line: &str) {
        let text = match &self.receiver {
            None => format!("{line}\n"),
            Some(receiver) => format!("Receiver {}: {line}\n", receiver.number),
        };
        self.streams().write_talk(&text);
    }

    pub(super) fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere must not silence the message that explains it.
        match self.streams.try_lock() {
            Ok(streams) => streams,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Who has it may be waiting for the terminal.
            Err(TryLockError::WouldBlock) => patiently(false, || {
                self.streams.lock().unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }
}
