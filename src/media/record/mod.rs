//! A recording: what the peer sends, sound and pictures in time, in one WebM or Matroska file.
//!
//! `core` decides, and this writes. A file is written as it comes, so that a program that dies leaves one that
//! plays. Tracks cannot be added to a file that is begun: when another one comes, another part begins,
//! `name-2.webm` after `name.webm`.

mod core;
mod recording;

pub use recording::{Recording, Tape, TapedTrack};

use self::core::{Core, Output};
use super::codec::Codec;
use super::container::matroska::{Patch, is_webm};
use super::error::MediaError;
use super::track::{Received, SenderClock};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names a track of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(u64);

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// How long it plays.
    pub length: Duration,
    /// How large it is.
    pub bytes: u64,
}

/// A recording that goes on. Dropped instead of finished, it leaves a file that plays, without its length.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    is_webm: bool,
    core: Core,
    /// The file that is written, and its bytes.
    file: Option<(File, u64)>,
    /// The first file, which is made before anything is recorded.
    first: Option<File>,
    parts: Vec<Part>,
    next: u64,
}

impl Recorder {
    /// Makes a file, which must not be there yet. `app` is who it says wrote it.
    ///
    /// # Errors
    /// It cannot be made, or its name ends neither in `.webm` nor in `.mkv`.
    pub fn create(path: &Path, app: &str) -> Result<Self, MediaError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_webm = match extension {
            Some("webm") => true,
            Some("mkv") => false,
            _ => {
                let source = io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "recordings end in .webm or .mkv",
                );
                return Err(failed(path, source));
            }
        };
        let first = open_new(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            is_webm,
            core: Core::new(app),
            file: None,
            first: Some(first),
            parts: Vec::new(),
            next: 0,
        })
    }

    /// Takes in a track.
    ///
    /// # Errors
    /// The file cannot hold its codec: WebM has no H.264.
    pub fn add(&mut self, codec: Codec) -> Result<TrackId, MediaError> {
        if self.is_webm && !is_webm(codec) {
            return Err(MediaError::Container {
                name: self.path.display().to_string(),
                codec,
            });
        }
        let id = self.next;
        self.next += 1;
        self.core.add(id, codec);
        Ok(TrackId(id))
    }

    /// Records a frame; `clock` is what the sender last said of the track's. `true` if a key frame is needed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn frame(
        &mut self,
        id: TrackId,
        frame: &Received,
        clock: Option<SenderClock>,
    ) -> Result<bool, MediaError> {
        let now = frame.arrived;
        let outputs = self.core.frame(now, id.0, frame, clock);
        self.perform(outputs)?;
        Ok(self.core.needs_key(id.0))
    }

    /// A track is over.
    pub fn end(&mut self, id: TrackId) {
        self.core.end(id.0);
    }

    /// Completes the file on the disk. Returns the files, none if nothing came.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<Vec<Part>, MediaError> {
        let outputs = self.core.finish(Instant::now());
        self.perform(outputs)?;
        if self.first.take().is_some() {
            // Nothing was recorded; an empty file would only look like something.
            let _ = std::fs::remove_file(&self.path);
        }
        Ok(self.parts)
    }

    fn perform(&mut self, outputs: Vec<Output>) -> Result<(), MediaError> {
        for output in outputs {
            let path = self.part_path();
            self.write(output).map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    fn write(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Begin(bytes) => {
                let mut file = match self.first.take() {
                    Some(first) => first,
                    None => open_new(&self.part_path())?,
                };
                file.write_all(&bytes)?;
                self.file = Some((file, bytes.len() as u64));
            }
            Output::Bytes(bytes) => {
                if let Some((file, written)) = &mut self.file {
                    file.write_all(&bytes)?;
                    *written += bytes.len() as u64;
                }
            }
            Output::End {
                bytes,
                patches,
                length,
            } => {
                let path = self.part_path();
                if let Some((mut file, written)) = self.file.take() {
                    file.write_all(&bytes)?;
                    for Patch { at, bytes } in patches {
                        file.seek(SeekFrom::Start(at))?;
                        file.write_all(&bytes)?;
                    }
                    file.sync_all()?;
                    self.parts.push(Part {
                        path,
                        length,
                        bytes: written + bytes.len() as u64,
                    });
                }
            }
        }
        Ok(())
    }

    /// Where the part that is written, or comes next, is.
    fn part_path(&self) -> PathBuf {
        let number = self.parts.len() + 1;
        if number == 1 {
            return self.path.clone();
        }
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = if self.is_webm { "webm" } else { "mkv" };
        self.path
            .with_file_name(format!("{stem}-{number}.{extension}"))
    }
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn failed(path: &Path, source: io::Error) -> MediaError {
    MediaError::Write {
        name: path.display().to_string(),
        source,
    }
}
