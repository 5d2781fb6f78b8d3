//! What is written down of a recording: who was there, from when to when, and in which files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The index, which is written anew whenever it changes.
#[derive(Debug, Serialize)]
pub(super) struct Index {
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    begin: Instant,
    /// Of this format.
    version: u32,
    room: String,
    /// Seconds since 1970 at which everything else begins to count.
    began: f64,
    /// Seconds after the beginning; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<f64>,
    participants: Vec<Participant>,
}

/// One member, from when it sent something first to when it left. Somebody who comes back is another one.
#[derive(Debug, Serialize)]
pub(super) struct Participant {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Seconds after the beginning.
    pub(super) from: f64,
    /// Absent while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<f64>,
    pub(super) files: Vec<File>,
}

/// One file.
#[derive(Debug, Serialize)]
pub(super) struct File {
    /// Beside the index.
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) bytes: u64,
}

impl Index {
    pub(super) fn begin(path: PathBuf, room: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            path,
            begin: Instant::now(),
            version: 1,
            room: room.into(),
            began: now.unwrap_or(Duration::ZERO).as_secs_f64(),
            ended: None,
            participants: Vec::new(),
        }
    }

    /// Seconds after the beginning.
    pub(super) fn now(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Returns its place.
    pub(super) fn add(&mut self, participant: Participant) -> usize {
        self.participants.push(participant);
        self.participants.len() - 1
    }

    pub(super) fn of(&mut self, place: usize) -> &mut Participant {
        &mut self.participants[place]
    }

    pub(super) fn end(&mut self) {
        self.ended = Some(self.now());
    }

    /// Participants, files and their bytes.
    pub(super) fn totals(&self) -> (usize, usize, u64) {
        let files = self.participants.iter().flat_map(|who| &who.files);
        let (count, bytes) = files.fold((0, 0), |(count, bytes), file| {
            (count + 1, bytes + file.bytes)
        });
        (self.participants.len(), count, bytes)
    }

    /// Takes the place of what was written before, all of it or not at all.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        replace(&self.path, &text)
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(new, path)
}
