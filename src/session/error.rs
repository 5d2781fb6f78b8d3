//! Why a session did not come to be, or ended.

use super::watchdog::Wait;
use super::{Bye, DescriptionError};
use crate::pairing::{ByeCode, PairingError};
use crate::signaling::SignalingError;

/// Where a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This program or machine.
    Local,
    /// The other side.
    Peer,
    /// The signaling server.
    Signaling,
    /// The network between them.
    Network,
}

/// A session could not be set up, or has ended before it was closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The signaling server could not be used.
    #[error(transparent)]
    Signaling(#[from] SignalingError),
    /// The two sides did not pair.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// Something that must be authentic was not. No data was sent or accepted.
    #[error("the connection was tampered with: {0}")]
    Tampered(&'static str),
    /// The other side cannot prove to be the device that was expected. No data was sent or accepted.
    #[error("the other side does not have the key of the device that was expected")]
    WrongDevice,
    /// The session must be relayed, and nobody named a TURN server that can be used.
    #[error("the connection must be relayed, but no TURN server is known")]
    NoRelay,
    /// Something took too long.
    #[error("{}", timeout(.0))]
    Timeout(Wait),
    /// The other side left before it was connected.
    #[error("the other side left before the connection was made")]
    PeerLeft,
    /// The other side left in the middle: its program was killed, or its tab closed.
    #[error("the other side is gone")]
    Gone,
    /// The connection to the other side broke and could not be restored.
    #[error("the connection to the other side was lost")]
    Lost,
    /// The other side ended the session.
    #[error("the other side ended the session ({})", .0.message)]
    Bye(Bye),
    /// The other side's description cannot be used.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The other side broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(&'static str),
    /// The WebRTC engine failed.
    #[error("the WebRTC engine failed: {0}")]
    Engine(String),
    /// This side has closed the session.
    #[error("the session was closed")]
    Closed,
}

impl SessionError {
    /// Where the fault lies.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Signaling(_) => Fault::Signaling,
            Self::Pairing(_) | Self::PeerLeft | Self::Gone | Self::Bye(_) => Fault::Peer,
            Self::Description(_) | Self::Protocol(_) | Self::WrongDevice => Fault::Peer,
            // Only the server could: the sealed messages pass through it.
            Self::Tampered(_) => Fault::Signaling,
            Self::Timeout(_) | Self::Lost => Fault::Network,
            Self::Engine(_) | Self::Closed | Self::NoRelay => Fault::Local,
        }
    }

    /// What the peer is told, unless it knows already.
    pub(super) fn last_words(&self) -> Option<Bye> {
        let code = match self {
            Self::Tampered(_) | Self::WrongDevice => ByeCode::Tampered,
            // Whoever has been silent for so long does not listen either.
            Self::Timeout(Wait::Heartbeat) => return None,
            Self::Timeout(_) => ByeCode::Timeout,
            Self::Description(_) | Self::Protocol(_) => ByeCode::Protocol,
            Self::Engine(_) => ByeCode::Internal,
            Self::Signaling(_)
            | Self::Pairing(_)
            | Self::PeerLeft
            | Self::Gone
            | Self::Lost
            | Self::Bye(_)
            | Self::NoRelay
            | Self::Closed => return None,
        };
        Some(Bye::new(code, self.to_string()))
    }

    /// Whether trying the same again can succeed.
    pub fn retry(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::Lost | Self::Gone | Self::PeerLeft | Self::Signaling(_)
        )
    }
}

impl From<webrtc::error::Error> for SessionError {
    fn from(error: webrtc::error::Error) -> Self {
        Self::Engine(error.to_string())
    }
}

fn timeout(wait: &Wait) -> &'static str {
    match wait {
        Wait::Description => "the other side paired but its connection offer never arrived",
        Wait::Ice => "no path to the other side was found",
        Wait::Dtls => "a path was found but the encrypted connection over it did not come up",
        Wait::Hello => "the encrypted connection came up but the other side said nothing",
        Wait::Heartbeat => "the other side has gone silent",
    }
}
