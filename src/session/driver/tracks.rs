//! Tracks: added and removed by a negotiation over the connection itself.

use super::{Driver, Input};
use crate::media::track::MAX_TRACKS;
use crate::media::{Codec, OutgoingTrack};
use crate::session::SessionError;
use std::sync::Arc;
use tokio::sync::oneshot;
use webrtc::media_stream::track_remote::TrackRemote;

impl Driver {
    pub(super) async fn add_track(
        &mut self,
        codec: Codec,
        reply: oneshot::Sender<Result<OutgoingTrack, SessionError>>,
    ) -> Result<(), SessionError> {
        let added = self.board.add(self.engine.connection(), codec).await;
        let is_new = added.is_ok();
        // A caller that has gone wants no track any more; the next negotiation after its removal says so.
        let _ = reply.send(added.map_err(SessionError::from));
        match is_new {
            true => self.negotiate(Input::Negotiate { restart: false }).await,
            false => Ok(()),
        }
    }

    pub(super) async fn remove_track(
        &mut self,
        id: u64,
        reply: oneshot::Sender<Result<(), SessionError>>,
    ) -> Result<(), SessionError> {
        let removed = self.board.remove(self.engine.connection(), id).await;
        let is_gone = matches!(removed, Ok(true));
        let _ = reply.send(removed.map(drop).map_err(SessionError::from));
        match is_gone {
            true => self.negotiate(Input::Negotiate { restart: false }).await,
            false => Ok(()),
        }
    }

    pub(super) async fn track_arrived(
        &mut self,
        track: Arc<dyn TrackRemote>,
    ) -> Result<(), SessionError> {
        if !self.is_verified() {
            // Nothing of an unverified peer is read. Its hello may be on its way.
            if self.early_tracks.len() < MAX_TRACKS {
                self.early_tracks.push(track);
            }
            return Ok(());
        }
        self.board.arrived(self.engine.connection(), track).await;
        Ok(())
    }
}
