//! Why measuring ended early.

use crate::session::Fault;

/// Nothing more can be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// This side was told to stop.
    #[error("the measurement was stopped")]
    Cancelled,
    /// The session or its channel ended; the session says why.
    #[error("the connection closed before everything was measured")]
    Closed,
    /// The other side is there, and does not go on.
    #[error("the other side stopped taking part in the measurement")]
    Silent,
    /// The other side broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(&'static str),
}

impl BenchError {
    /// Where the fault lies.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Cancelled => Fault::Local,
            Self::Closed => Fault::Network,
            Self::Silent | Self::Protocol(_) => Fault::Peer,
        }
    }

    /// Whether measuring again can succeed.
    pub fn retry(&self) -> bool {
        !matches!(self, Self::Protocol(_))
    }
}
