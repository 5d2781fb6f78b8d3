//! `ffmpeg` and its companions as processes of their own: what is encoded or decoded, is so there.
//!
//! A process ends with its `Running`. It decides nothing here but how a missing program is told.

use super::error::MediaError;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The Debian package of all of them.
const PACKAGE: &str = "ffmpeg";

/// Longest line of a program's complaints that is kept.
const LONGEST: usize = 300;

/// A program of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Encodes and decodes.
    Ffmpeg,
    /// Says what is in a file.
    Ffprobe,
    /// Plays.
    Ffplay,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ffprobe => "ffprobe",
            Self::Ffplay => "ffplay",
        }
    }

    /// What to say if it cannot be run here.
    pub fn is_missing(self) -> MediaError {
        self.missing(&io::ErrorKind::NotFound.into())
    }

    /// Whether it can be run here.
    pub fn is_installed(self) -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = |directory: PathBuf| directory.join(self.name()).is_file();
        std::env::split_paths(&paths).any(found)
    }

    /// Runs it to its end and returns what it says on stdout.
    pub(crate) fn ask(self, arguments: &[String]) -> Result<String, MediaError> {
        let output = Command::new(self.name())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.missing(&error))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts it.
    pub(crate) fn start<'a>(
        self,
        arguments: impl IntoIterator<Item = &'a str>,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Running, MediaError> {
        let mut child = Command::new(self.name())
            .args(["-hide_banner", "-loglevel", "error"])
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.missing(&error))?;
        let said = Arc::<Mutex<String>>::default();
        if let Some(stderr) = child.stderr.take() {
            let said = said.clone();
            // It ends when the process does, which closes the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line);
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    *said = line.trim().chars().take(LONGEST).collect();
                }
            });
        }
        Ok(Running {
            program: self,
            child,
            said,
        })
    }

    fn missing(self, error: &io::Error) -> MediaError {
        if error.kind() == io::ErrorKind::NotFound {
            return MediaError::NoProgram {
                program: self.name(),
                package: PACKAGE,
            };
        }
        MediaError::Program {
            program: self.name(),
            said: error.to_string(),
        }
    }
}

/// A process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    program: Program,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end, its output having ended; an error if it failed.
    pub(crate) fn finish(mut self) -> Result<(), MediaError> {
        let status = self.child.wait();
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(self.failure()),
        }
    }

    /// What it last complained of.
    pub(crate) fn failure(&self) -> MediaError {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        MediaError::Program {
            program: self.program.name(),
            said: if said.is_empty() {
                "it ended without a word".into()
            } else {
                said.clone()
            },
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; waiting for it leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
