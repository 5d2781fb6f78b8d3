//! A recording on a thread of its own, so that a slow disk stops no call.

use super::{Part, Recorder, TrackId};
use crate::media::codec::{Codec, Kind};
use crate::media::error::MediaError;
use crate::media::track::{Received, SenderClock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Frames that wait for the disk: several seconds of a call.
const QUEUE: usize = 512;

/// How long the end of a call waits for the disk.
const LIMIT: Duration = Duration::from_secs(10);

/// How long taking in a track may wait for the disk. The call goes on without it then.
const ADD_LIMIT: Duration = Duration::from_secs(5);

enum Message {
    Add(
        Codec,
        oneshot::Sender<Result<TrackId, MediaError>>,
        Arc<AtomicBool>,
    ),
    Frame(TrackId, Received, Option<SenderClock>),
    End(TrackId),
}

/// A recording that goes on. Dropped instead of finished, it completes its file in the background.
#[derive(Debug)]
pub struct Recording {
    messages: mpsc::Sender<Message>,
    done: oneshot::Receiver<Result<Vec<Part>, MediaError>>,
}

/// Takes tracks in. It does not keep the recording alive.
#[derive(Debug, Clone)]
pub struct Tape(mpsc::WeakSender<Message>);

/// One track of a recording, until it is dropped.
#[derive(Debug)]
pub struct TapedTrack {
    id: TrackId,
    messages: mpsc::WeakSender<Message>,
    /// The recording waits for a key frame.
    needs_key: Arc<AtomicBool>,
    is_video: bool,
}

impl Recording {
    /// As [`Recorder::create`].
    ///
    /// # Errors
    /// As [`Recorder::create`].
    pub fn start(path: &Path, app: &str) -> Result<Self, MediaError> {
        let mut recorder = Recorder::create(path, app)?;
        let (messages, mut queue) = mpsc::channel::<Message>(QUEUE);
        let (report, done) = oneshot::channel();
        std::thread::spawn(move || {
            let mut wishes = std::collections::HashMap::new();
            let mut record = || {
                while let Some(message) = queue.blocking_recv() {
                    match message {
                        Message::Add(codec, reply, wish) => {
                            let added = recorder.add(codec);
                            if let Ok(id) = &added {
                                wishes.insert(*id, wish);
                            }
                            // Nobody waits for it any more.
                            if let Err(Ok(id)) = reply.send(added) {
                                wishes.remove(&id);
                                recorder.end(id);
                            }
                        }
                        Message::Frame(id, frame, clock) => {
                            let needs_key = recorder.frame(id, &frame, clock)?;
                            if let Some(wish) = wishes.get(&id) {
                                wish.store(needs_key, Relaxed);
                            }
                        }
                        Message::End(id) => {
                            wishes.remove(&id);
                            recorder.end(id);
                        }
                    }
                }
                Ok(())
            };
            let recorded = record();
            let finished = recorded.and_then(|()| recorder.finish());
            let _ = report.send(finished);
        });
        Ok(Self { messages, done })
    }

    /// Takes tracks in, for tasks of their own.
    pub fn tape(&self) -> Tape {
        Tape(self.messages.downgrade())
    }

    /// Completes what is on the disk. Returns the files, none if nothing came.
    ///
    /// # Errors
    /// It could not be written, then or before.
    pub async fn finish(self) -> Result<Vec<Part>, MediaError> {
        let Self { messages, done } = self;
        drop(messages);
        match tokio::time::timeout(LIMIT, done).await {
            Ok(Ok(finished)) => finished,
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }
}

fn late() -> MediaError {
    MediaError::Write {
        name: "recording".into(),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

impl Tape {
    /// Takes in a track; `None` if the recording is over.
    ///
    /// # Errors
    /// The file cannot hold its codec, or the disk is busy for too long.
    pub async fn add(&self, codec: Codec) -> Result<Option<TapedTrack>, MediaError> {
        let adding = tokio::time::timeout(ADD_LIMIT, self.add_at_leisure(codec));
        adding.await.unwrap_or_else(|_| Err(late()))
    }

    async fn add_at_leisure(&self, codec: Codec) -> Result<Option<TapedTrack>, MediaError> {
        let (reply, added) = oneshot::channel();
        let needs_key = Arc::<AtomicBool>::default();
        let Some(messages) = self.0.upgrade() else {
            return Ok(None);
        };
        let add = Message::Add(codec, reply, needs_key.clone());
        if messages.send(add).await.is_err() {
            return Ok(None);
        }
        drop(messages);
        let Ok(added) = added.await else {
            return Ok(None);
        };
        Ok(Some(TapedTrack {
            id: added?,
            messages: self.0.clone(),
            needs_key,
            is_video: codec.kind() == Kind::Video,
        }))
    }
}

impl TapedTrack {
    /// Records a frame; `true` if a key frame is needed.
    pub fn push(&self, frame: &Received, clock: Option<SenderClock>) -> bool {
        let Some(messages) = self.messages.upgrade() else {
            return false;
        };
        let message = Message::Frame(self.id, frame.clone(), clock);
        match messages.try_send(message) {
            Ok(()) => self.needs_key.load(Relaxed),
            // overflow: dropped; the disk is seconds behind.
            Err(mpsc::error::TrySendError::Full(_)) => self.is_video,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Drop for TapedTrack {
    fn drop(&mut self) {
        if let Some(messages) = self.messages.upgrade() {
            // overflow: the file then only waits for a track that never comes again.
            let _ = messages.try_send(Message::End(self.id));
        }
    }
}
