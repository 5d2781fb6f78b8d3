//! One recording for each participant, and the index of all of them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peerline::media::IncomingTrack;
use peerline::media::record::{Part, Recording};
use signaling_protocol::{PeerId, PeerInfo, RoomName};
use tokio::task::JoinSet;

use super::index::{File, Index, Participant};
use crate::commands::call::{APP, Receiver};
use crate::exit::Failure;
use crate::ui::{Ui, event};

/// Name of the index.
const INDEX: &str = "index.json";

/// The files that are written.
pub(super) struct Tapes {
    out: PathBuf,
    index: Index,
    turning: HashMap<PeerId, Tape>,
    count: u32,
}

/// Of one participant.
struct Tape {
    recording: Recording,
    /// Each carries the frames of one track.
    tracks: JoinSet<()>,
    /// In the index.
    place: usize,
}

impl Tapes {
    /// Makes the directory, which must be empty.
    pub(super) fn open(out: &Path, room: &RoomName) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let message = format!("cannot record into '{}'", out.display());
            Failure::local(&message, &error)
        };
        fs::create_dir_all(out).map_err(failed)?;
        if fs::read_dir(out).map_err(failed)?.next().is_some() {
            let error = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
            return Err(failed(error).hint("choose a directory that is not there yet, or is empty"));
        }
        let index = Index::begin(out.join(INDEX), room.as_str());
        index.write().map_err(failed)?;
        Ok(Self {
            out: out.to_owned(),
            index,
            turning: HashMap::new(),
            count: 0,
        })
    }

    /// Records one more track of a participant, who may be new.
    pub(super) async fn add(
        &mut self,
        member: PeerInfo,
        track: IncomingTrack,
    ) -> Result<(), Failure> {
        if !self.turning.contains_key(&member.id) {
            self.begin(&member)?;
        }
        let Some(tape) = self.turning.get_mut(&member.id) else {
            return Ok(());
        };
        let taped = tape.recording.tape().add(track.codec()).await;
        let taped = taped.map_err(|error| Failure::from(&error))?;
        let receiver = Receiver::new(track, taped, None);
        tape.tracks.spawn(async move {
            receiver.run().await;
        });
        Ok(())
    }

    fn begin(&mut self, member: &PeerInfo) -> Result<(), Failure> {
        self.count += 1;
        // Ids are made by the server, and name no other place.
        let path = self
            .out
            .join(format!("{:03}-{}.mkv", self.count, member.id));
        let recording = Recording::start(&path, APP).map_err(|error| Failure::from(&error))?;
        let place = self.index.add(Participant {
            id: member.id.to_string(),
            name: member.name.as_ref().map(|name| name.to_string()),
            from: self.index.now(),
            to: None,
            files: Vec::new(),
        });
        let tape = Tape {
            recording,
            tracks: JoinSet::new(),
            place,
        };
        self.turning.insert(member.id.clone(), tape);
        self.write()
    }

    /// A participant has left: its file is complete.
    pub(super) async fn left(&mut self, member: &PeerId, ui: &Ui) -> Result<(), Failure> {
        match self.turning.remove(member) {
            Some(tape) => self.complete(tape, ui).await,
            None => Ok(()),
        }
    }

    async fn complete(&mut self, tape: Tape, ui: &Ui) -> Result<(), Failure> {
        let Tape {
            recording,
            mut tracks,
            place,
        } = tape;
        // Tracks have ended with their sender, and what they brought is with the recording.
        while tracks.join_next().await.is_some() {}
        let now = self.index.now();
        let parts = recording.finish().await;
        let parts = parts.map_err(|error| Failure::from(&error))?;
        let participant = self.index.of(place);
        participant.to = Some(now);
        for part in &parts {
            ui.say(event::Recorded::from(part));
        }
        participant.files.extend(parts.iter().map(File::from));
        self.write()
    }

    /// Completes everything. Returns participants, files and their bytes.
    pub(super) async fn finish(mut self, ui: &Ui) -> Result<(usize, usize, u64), Failure> {
        let mut result = Ok(());
        for (_, tape) in std::mem::take(&mut self.turning) {
            result = self.complete(tape, ui).await.and(result);
        }
        self.index.end();
        self.write()?;
        result.map(|()| self.index.totals())
    }

    fn write(&self) -> Result<(), Failure> {
        let written = self.index.write();
        written.map_err(|error| Failure::local("cannot write the index of the recording", &error))
    }
}

impl From<&Part> for File {
    fn from(part: &Part) -> Self {
        let name = part.path.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            seconds: part.length.as_secs_f64(),
            bytes: part.bytes,
        }
    }
}
