//! What this side says: lines of a pipe, or of an editor at a terminal.

use std::io::{self, BufRead, IsTerminal as _, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use peerline::chat::{MAX_TEXT, Name};
#[cfg(unix)]
use rustix::termios::OptionalActions;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::ui::{Audience, Ui, clean};

/// What waits to be said. When there is more, nothing is read.
const QUEUE: usize = 64;

/// Lines that the arrow keys bring back.
const HISTORY: usize = 500;

/// What was typed or read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Typed at a terminal, or pasted: may be a command, and may have several lines.
    Typed(String),
    /// One line of a file or a program: always a message.
    Line(String),
    /// There is no more.
    End,
    /// Ctrl-C in the editor.
    Interrupt,
}

/// Reads until it is dropped.
pub(super) struct Inputs {
    queue: mpsc::Receiver<Input>,
    prompt: Prompt,
    editor: Option<Editing>,
}

/// Shared with the editor, which shows it with the next line.
#[derive(Clone)]
struct Prompt(Arc<Mutex<String>>);

impl Prompt {
    fn new(name: &Name) -> Self {
        let prompt = Self(Arc::default());
        prompt.set(name);
        prompt
    }

    fn set(&self, name: &Name) {
        let mut prompt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *prompt = format!("{}: ", clean(name.as_str()));
    }

    fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Inputs {
    /// Begins to read. Between terminals there is an editor, above which everything else is printed.
    pub(super) fn start(ui: &Ui, name: &Name) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let prompt = Prompt::new(name);
        let at_terminal = io::stdin().is_terminal();
        let wanted = at_terminal && io::stdout().is_terminal() && ui.audience() == Audience::People;
        let editor = wanted
            .then(|| Editing::begin(ui, &prompt, sender.clone()))
            .flatten();
        if editor.is_none() {
            // A read cannot be called off: the thread ends with the process.
            let kind = if at_terminal {
                Input::Typed
            } else {
                Input::Line
            };
            thread::spawn(move || read_lines(io::stdin().lock(), kind, &sender));
        }
        Self {
            queue,
            prompt,
            editor,
        }
    }

    /// The next one. Cancelled, it has lost none.
    pub(super) async fn next(&mut self) -> Input {
        if let Some(editor) = &mut self.editor {
            editor.ask();
        }
        let input = self.queue.recv().await.unwrap_or(Input::End);
        if let Some(editor) = &mut self.editor {
            editor.asked = false;
        }
        input
    }

    /// This side is called so from the next line on.
    pub(super) fn call(&self, name: &Name) {
        self.prompt.set(name);
    }

    /// Whether somebody types.
    pub(super) fn has_editor(&self) -> bool {
        self.editor.is_some()
    }
}

/// The terminal while there is an editor on it. Dropping it makes the terminal as it was.
struct Editing {
    ui: Ui,
    /// Lets the editor ask for one line: it must not begin another one while this side leaves.
    lines: std::sync::mpsc::SyncSender<()>,
    /// Whether there is such a line.
    asked: bool,
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Editing {
    fn begin(ui: &Ui, prompt: &Prompt, sender: mpsc::Sender<Input>) -> Option<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY)
            .ok()?
            .auto_add_history(true)
            .build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::<(), _>::with_history(config, history).ok()?;
        let printers = [
            editor.create_external_printer(),
            editor.create_external_printer(),
        ];
        let [Ok(out), Ok(talk)] = printers else {
            return None;
        };
        #[cfg(unix)]
        let before = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok();
        ui.redirect(Box::new(Above(out)), Box::new(Above(talk)));
        let prompt = prompt.clone();
        let (lines, asked) = std::sync::mpsc::sync_channel(1);
        thread::spawn(move || {
            while asked.recv().is_ok() {
                let input = match editor.readline(&prompt.text()) {
                    Ok(text) => Input::Typed(text),
                    Err(ReadlineError::Interrupted) => Input::Interrupt,
                    Err(_) => Input::End,
                };
                let over = !matches!(input, Input::Typed(_));
                if sender.blocking_send(input).is_err() || over {
                    return;
                }
            }
        });
        Some(Self {
            ui: ui.clone(),
            lines,
            asked: false,
            #[cfg(unix)]
            before,
        })
    }

    /// Asks for a line, unless it was asked for already.
    fn ask(&mut self) {
        if !self.asked {
            // An editor that has ended says so by what it gave last.
            let _ = self.lines.try_send(());
        }
        self.asked = true;
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        self.ui.redirect_to_process();
        #[cfg(unix)]
        if let Some(before) = &self.before {
            /// Between being asked for a line and beginning with it, the editor needs much less.
            const BEGINS: Duration = Duration::from_millis(100);
            let asked = Instant::now();
            while self.asked && !is_edited(before) && asked.elapsed() < BEGINS {
                thread::sleep(Duration::from_millis(2));
            }
            if is_edited(before) {
                // The line goes, and with it the mode in which pasted text is marked.
                self.ui.clear_line();
                let (stdin, now) = (rustix::stdio::stdin(), OptionalActions::Now);
                let _ = rustix::termios::tcsetattr(stdin, now, before);
            }
        }
    }
}

/// Whether the editor is in the middle of a line.
#[cfg(unix)]
fn is_edited(before: &rustix::termios::Termios) -> bool {
    let now = rustix::termios::tcgetattr(rustix::stdio::stdin());
    now.is_ok_and(|now| now.local_modes != before.local_modes)
}

/// Prints above the line that is being typed.
struct Above<P>(P);

impl<P: ExternalPrinter> io::Write for Above<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.print(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each line is a message; a longer one than can be is cut between characters.
fn read_lines(mut input: impl BufRead, kind: fn(String) -> Input, inputs: &mpsc::Sender<Input>) {
    let mut bytes = Vec::new();
    loop {
        let room = (MAX_TEXT - bytes.len()) as u64;
        let read = input.by_ref().take(room).read_until(b'\n', &mut bytes);
        if read.unwrap_or(0) == 0 && bytes.len() < MAX_TEXT {
            if !bytes.is_empty() {
                let _ = inputs.blocking_send(kind(String::from_utf8_lossy(&bytes).into_owned()));
            }
            let _ = inputs.blocking_send(Input::End);
            return;
        }
        let mut rest = Vec::new();
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            bytes.pop_if(|byte| *byte == b'\r');
        } else if bytes.len() < MAX_TEXT {
            // The last line, without an end: the next read says so.
            continue;
        } else if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            // A character that is not complete yet.
            rest = bytes.split_off(error.valid_up_to());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Bytes that are no text grow when they are replaced.
        for piece in super::words::pieces(&text) {
            if inputs.blocking_send(kind(piece.to_owned())).is_err() {
                return;
            }
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Input> {
        let (sender, mut inputs) = mpsc::channel(QUEUE);
        read_lines(io::BufReader::new(bytes), Input::Line, &sender);
        drop(sender);
        std::iter::from_fn(|| inputs.try_recv().ok()).collect()
    }

    fn lines(texts: &[&str]) -> Vec<Input> {
        let lines = texts.iter().map(|text| Input::Line((*text).to_owned()));
        lines.chain([Input::End]).collect()
    }

    #[test]
    fn each_line_is_a_message() {
        assert_eq!(read(b""), lines(&[]));
        assert_eq!(read(b"a\r\n\n b \n"), lines(&["a", "", " b "]));
        assert_eq!(read(b"no end"), lines(&["no end"]));
        assert_eq!(read(b"\xff\xfe\n"), lines(&["\u{fffd}\u{fffd}"]));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        let long = format!("a{}", "é".repeat(MAX_TEXT));
        let read = read(format!("{long}\nnext\n").as_bytes());
        let texts = read.iter().filter_map(|input| match input {
            Input::Line(text) => Some(text.as_str()),
            _ => None,
        });
        let mut texts: Vec<&str> = texts.collect();
        assert_eq!(texts.pop(), Some("next"));
        assert!(texts.iter().all(|text| text.len() <= MAX_TEXT));
        assert_eq!(texts.concat(), long);
    }
}
