//! What the engine tells, from its driver's task to the session's.
//!
//! The handler runs on the engine's driver, which must never wait: each event is put into a queue or a watched
//! value, and the handler returns.

use signaling_protocol::IceCandidate;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

/// Local candidates that wait for the session; it takes them at once, and a machine has about 30.
const CANDIDATE_QUEUE: usize = 256;

/// Tracks that the peer began to send and that wait for the session; it takes them at once.
const TRACK_QUEUE: usize = 64;

/// Data channels the peer may have open at a time. Beyond that it is abusing us.
pub(crate) const MAX_CHANNELS: usize = 64;

/// What the engine tells.
pub(crate) enum EngineEvent {
    /// A local candidate was found.
    Candidate(IceCandidate),
    /// There are no more of them in this generation.
    Gathered,
    /// The peer opened a data channel.
    Channel(Arc<dyn DataChannel>),
    /// The peer began to send a track.
    Track(Arc<dyn TrackRemote>),
    /// ICE or the whole connection changed state.
    State(EngineState),
}

/// How far the connection is, in the order of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineState {
    /// Looking for a pair of candidates.
    Checking,
    /// A pair works; DTLS is next.
    IceConnected,
    /// DTLS is done.
    Connected,
    /// The pair stopped working.
    Disconnected,
    /// ICE gave up; a restart helps.
    Failed,
    /// The connection is over, and with it everything on it.
    Closed,
}

/// Where the session takes them from.
pub(super) struct Events {
    /// `None` is the end of a generation.
    candidates: mpsc::Receiver<Option<IceCandidate>>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    state: watch::Receiver<EngineState>,
}

/// Where the engine puts them.
pub(super) struct Handler {
    candidates: mpsc::Sender<Option<IceCandidate>>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
    state: watch::Sender<EngineState>,
}

impl Events {
    /// The two ends of what the engine tells.
    pub(super) fn channel() -> (Handler, Self) {
        let (candidates_tx, candidates) = mpsc::channel(CANDIDATE_QUEUE);
        let (channels_tx, channels) = mpsc::channel(MAX_CHANNELS);
        let (tracks_tx, tracks) = mpsc::channel(TRACK_QUEUE);
        let (state_tx, state) = watch::channel(EngineState::Checking);
        let handler = Handler {
            candidates: candidates_tx,
            channels: channels_tx,
            tracks: tracks_tx,
            state: state_tx,
        };
        let events = Self {
            candidates,
            channels,
            tracks,
            state,
        };
        (handler, events)
    }

    /// The next event. Cancelled, it has lost none.
    pub(super) async fn next(&mut self) -> EngineEvent {
        let Self {
            candidates,
            channels,
            tracks,
            state,
        } = self;
        tokio::select! {
            biased;
            Ok(()) = state.changed() => EngineEvent::State(*state.borrow_and_update()),
            Some(candidate) = candidates.recv() => match candidate {
                Some(candidate) => EngineEvent::Candidate(candidate),
                None => EngineEvent::Gathered,
            },
            Some(channel) = channels.recv() => EngineEvent::Channel(channel),
            Some(track) = tracks.recv() => EngineEvent::Track(track),
            // The handler is gone, and with it the driver.
            else => EngineEvent::State(EngineState::Closed),
        }
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        let candidate = IceCandidate {
            candidate: init.candidate,
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        // overflow: dropped; the peer has more than enough addresses by then.
        let _ = self.candidates.try_send(Some(candidate));
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // overflow: dropped; who waits for it waits for a limited time.
            let _ = self.candidates.try_send(None);
        }
    }

    async fn on_data_channel(&self, data_channel: Arc<dyn DataChannel>) {
        // overflow: dropped, and the session ends a peer that opens so many at once.
        if self.channels.try_send(data_channel).is_err() {
            self.state.send_replace(EngineState::Closed);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        // overflow: dropped; nobody follows a call of so many.
        let _ = self.tracks.try_send(track);
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            // The connection's own state follows once DTLS is done, and may already have.
            self.state.send_if_modified(|known| {
                // During the handshake the connection itself says nothing of a path that was lost and found.
                let news = matches!(
                    known,
                    EngineState::Checking | EngineState::Disconnected | EngineState::Failed
                );
                if news {
                    *known = EngineState::IceConnected;
                }
                news
            });
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => EngineState::Connected,
            RTCPeerConnectionState::Disconnected => EngineState::Disconnected,
            RTCPeerConnectionState::Failed => EngineState::Failed,
            RTCPeerConnectionState::Closed => EngineState::Closed,
            _ => return,
        };
        self.state.send_replace(state);
    }
}
