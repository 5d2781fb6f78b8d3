//! Why a tunnel or one of its streams ended early.

use super::frame::{Reset, ResetCode};
use crate::session::Fault;
use std::io;

/// Nothing more can go through a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The session or the channel ended; the session says why.
    #[error("the connection closed")]
    Closed,
    /// The other side broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(&'static str),
}

/// A stream ended before it was complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// One of the two sides ended it.
    #[error("{}", .0.reason)]
    Reset(Reset),
    /// The tunnel ended, and all its streams with it.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
}

/// Something did not go through as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// This side was told to stop.
    #[error("it was stopped")]
    Cancelled,
    /// What comes from here could not be read.
    #[error("{what}: {source}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What came from the other side could not be written.
    #[error("{what}: {source}")]
    Write {
        /// What was written to.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The other side stopped or failed, and said why.
    #[error("the other side ended it: {}", .0.reason)]
    Peer(Reset),
    /// The other side is there, and does not begin or end.
    #[error("the other side is connected but does not take part")]
    Silent,
    /// What the other side says of its services makes no sense.
    #[error("the other side's list of services makes no sense")]
    List,
    /// The tunnel ended.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
}

impl From<StreamError> for RelayError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset(reset) => Self::Peer(reset),
            StreamError::Tunnel(error) => Self::Tunnel(error),
        }
    }
}

impl RelayError {
    /// Where the fault lies.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Cancelled | Self::Read { .. } | Self::Write { .. } => Fault::Local,
            Self::Peer(_) | Self::Silent | Self::List | Self::Tunnel(TunnelError::Protocol(_)) => {
                Fault::Peer
            }
            Self::Tunnel(TunnelError::Closed) => Fault::Network,
        }
    }

    /// Whether the same can succeed later.
    pub fn retry(&self) -> bool {
        match self {
            Self::Cancelled | Self::Silent | Self::Tunnel(TunnelError::Closed) => true,
            Self::Peer(reset) => reset.code == ResetCode::Cancelled,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::List
            | Self::Tunnel(TunnelError::Protocol(_)) => false,
        }
    }

    /// What the other side is told. Names and addresses of this machine are not its business.
    pub(super) fn reset(&self) -> Reset {
        let reason = |what: &str, source: &io::Error| {
            Reset::new(ResetCode::Failed, format!("{what}: {}", source.kind()))
        };
        match self {
            Self::Read { what, source } | Self::Write { what, source } => reason(what, source),
            _ => Reset::new(ResetCode::Cancelled, "it was stopped"),
        }
    }
}
