//! Sound and pictures of a session: handles to its driver.

use super::SessionError;
use super::driver::Command;
use crate::media::track::{FeedbackSink, OutgoingPackets};
use crate::media::{Codec, IncomingTrack, OutgoingTrack};
use tokio::sync::{mpsc, oneshot};

/// Adds and removes the tracks that we send, each time by a negotiation of its own. It does not keep the session
/// alive.
#[derive(Debug, Clone)]
pub struct Tracks(mpsc::WeakSender<Command>);

impl Tracks {
    pub(super) fn new(commands: mpsc::WeakSender<Command>) -> Self {
        Self(commands)
    }

    /// Begins to send a track. What is sent on it is dropped until the peer knows it.
    ///
    /// # Errors
    /// The session has ended or has no such codec, or too many tracks are sent already.
    pub async fn add(&self, codec: Codec) -> Result<OutgoingTrack, SessionError> {
        let (reply, added) = oneshot::channel();
        self.command(Command::AddTrack { codec, reply }).await?;
        added.await.map_err(|_| SessionError::Closed)?
    }

    /// Begins to pass on a track of somebody else's; `stream` is what its tracks have in common.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) async fn relay(
        &self,
        codec: Codec,
        stream: String,
        feedback: FeedbackSink,
    ) -> Result<OutgoingPackets, SessionError> {
        let (reply, added) = oneshot::channel();
        self.command(Command::RelayTrack {
            codec,
            stream,
            feedback,
            reply,
        })
        .await?;
        added.await.map_err(|_| SessionError::Closed)?
    }

    /// Stops sending a track.
    ///
    /// # Errors
    /// The session has ended.
    pub async fn remove(&self, track: OutgoingTrack) -> Result<(), SessionError> {
        self.stop(track.id()).await
    }

    /// Stops sending the track with this id.
    pub(crate) async fn stop(&self, id: u64) -> Result<(), SessionError> {
        let (reply, removed) = oneshot::channel();
        self.command(Command::RemoveTrack { id, reply }).await?;
        removed.await.map_err(|_| SessionError::Closed)?
    }

    async fn command(&self, command: Command) -> Result<(), SessionError> {
        let commands = self.0.upgrade().ok_or(SessionError::Closed)?;
        commands
            .send(command)
            .await
            .map_err(|_| SessionError::Closed)
    }
}

/// The tracks that the peer of a session sends. One that the peer takes back and sends again is a new one.
#[derive(Debug)]
pub struct IncomingTracks(mpsc::Receiver<IncomingTrack>);

impl IncomingTracks {
    pub(super) fn new(tracks: mpsc::Receiver<IncomingTrack>) -> Self {
        Self(tracks)
    }

    /// The next one, or `None` when the session has ended.
    pub async fn next(&mut self) -> Option<IncomingTrack> {
        self.0.recv().await
    }
}
