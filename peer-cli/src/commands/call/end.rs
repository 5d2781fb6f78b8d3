//! How a call ends well.

use peerline::pairing::ByeCode;
use peerline::session::{Bye, SessionError};

use super::line::Call;
use crate::exit::Failure;

/// Why a call was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// This side hung up.
    HungUp,
    /// So did the other.
    PeerHungUp,
    /// Its time was over.
    Duration,
}

impl End {
    /// The stable name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::HungUp => "hung-up",
            Self::PeerHungUp => "peer-hung-up",
            Self::Duration => "duration",
        }
    }

    /// What the end of a session means for a call: hanging up is what calls end with.
    pub(super) fn of(end: &SessionError, call: &Call) -> Result<Self, Failure> {
        match end {
            SessionError::Bye(Bye {
                code: ByeCode::Done | ByeCode::Cancelled,
                ..
            }) => Ok(Self::PeerHungUp),
            // Whoever is in an open room hangs up by leaving it.
            SessionError::Gone if matches!(call, Call::Room(_)) => Ok(Self::PeerHungUp),
            other => Err(Failure::from(other)),
        }
    }
}
