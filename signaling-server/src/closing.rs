//! How a connection is ended, whatever the transport.

use crate::{mailbox::Frame, refusal::Refusal};
use signaling_protocol::{ErrorCode, LeaveReason, limits::OUTBOX_BYTES};

/// The close code of a connection that ended as both sides wanted.
const CLOSE_NORMAL: u16 = 1000;

/// The last words of the server on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    /// The WebSocket close code, or what corresponds to it.
    pub(crate) close_code: u16,
    /// What the close frame says: an error code's name.
    pub(crate) reason: &'static str,
    /// The last message.
    pub(crate) error: Option<Frame>,
}

impl Closing {
    /// Both sides want it.
    pub(crate) fn normal() -> Self {
        Self {
            close_code: CLOSE_NORMAL,
            reason: "",
            error: None,
        }
    }

    /// The peer did something that it may not, or the server cannot go on.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        Self {
            close_code: refusal.code.close_code().unwrap_or(CLOSE_NORMAL),
            reason: refusal.code.as_str(),
            error: Some(Frame::new(&refusal.to_message())),
        }
    }

    /// What came is not even the transport's own protocol.
    pub(crate) fn broken(close_code: u16, reason: &'static str) -> Self {
        Self {
            close_code,
            reason,
            error: None,
        }
    }

    /// The member does not read what it is sent.
    pub(crate) fn slow() -> Self {
        Self::refused(&Refusal::new(
            ErrorCode::SlowConsumer,
            format!("more than {OUTBOX_BYTES} bytes waited to be read, or one for too long"),
        ))
    }

    /// The member is gone, and so is its place.
    pub(crate) fn gone() -> Self {
        let message = "this place in the room was given up";
        Self::refused(&Refusal::new(ErrorCode::ResumeFailed, message))
    }

    /// The member is somewhere else now.
    pub(crate) fn moved() -> Self {
        let message = "another connection came with the same token";
        Self::refused(&Refusal::new(ErrorCode::TakenOver, message))
    }

    /// Whoever administers the server wants it.
    pub(crate) fn kicked() -> Self {
        let message = "the operator of this server ended this membership";
        Self::refused(&Refusal::new(ErrorCode::Unauthorized, message))
    }

    /// The server goes away now.
    pub(crate) fn draining() -> Self {
        Self::refused(&Refusal::draining())
    }

    /// The error that it is, if it is one.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        ErrorCode::ALL
            .into_iter()
            .find(|code| code.as_str() == self.reason)
    }

    /// What the others in the room are told.
    pub(crate) fn leave_reason(&self) -> LeaveReason {
        match self.close_code {
            CLOSE_NORMAL => LeaveReason::Left,
            code if ErrorCode::IdleTimeout.close_code() == Some(code) => LeaveReason::Lost,
            code if ErrorCode::Draining.close_code() == Some(code) => LeaveReason::Lost,
            _ => LeaveReason::Kicked,
        }
    }
}
