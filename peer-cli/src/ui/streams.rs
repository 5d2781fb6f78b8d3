//! stdout and stderr, shared by everything that speaks, and the bar that keeps out of its way.

use std::io::{self, Write};
use std::time::Instant;

use super::progress::{Bar, Meter};
use super::voice::Ui;

/// Both output streams of the process.
pub(super) struct Streams {
    out: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    /// The first error of stdout; nothing is written to it afterwards.
    out_error: Option<io::Error>,
    pub(super) progress: Option<Progress>,
}

/// How far the transfer is, on its way to the screen or to a script.
pub(super) struct Progress {
    pub(super) meter: Meter,
    pub(super) bar: Option<Bar>,
    /// Bytes that were there before.
    pub(super) resumed: u64,
    /// When it was last shown or told.
    pub(super) said: Option<Instant>,
}

impl Streams {
    pub(super) fn new(out: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            talk,
            out_error: None,
            progress: None,
        }
    }

    /// Writes elsewhere from now on.
    pub(super) fn redirect(&mut self, out: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) {
        (self.out, self.talk) = (out, talk);
    }

    /// Flushes stdout and tells what went wrong on it, now or before.
    pub(super) fn close(&mut self) -> Option<io::Error> {
        let flushed = self.out.flush();
        self.out_error.take().or(flushed.err())
    }

    /// A line of the result.
    pub(super) fn result(&mut self, line: &str) {
        if self.out_error.is_none() {
            let text = format!("{line}\n");
            let written = self
                .out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush());
            self.out_error = written.err();
        }
    }

    /// A closed stderr has nobody left to tell.
    pub(super) fn write_talk(&mut self, text: &str) {
        let talk = &mut self.talk;
        let mut write = || {
            let _ = talk.write_all(text.as_bytes()).and_then(|()| talk.flush());
        };
        match self
            .progress
            .as_ref()
            .and_then(|progress| progress.bar.as_ref())
        {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// One log line; written as a whole when it is dropped.
pub(crate) struct LogLine {
    ui: Ui,
    line: Vec<u8>,
}

impl LogLine {
    pub(super) fn new(ui: Ui) -> Self {
        Self {
            ui,
            line: Vec::new(),
        }
    }
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.ui
            .streams()
            .write_talk(&String::from_utf8_lossy(&self.line));
    }
}
