//! The seam between the client and what carries its messages.

use super::error::{Lost, Unreachable};
use signaling_protocol::{ClientMessage, Join, ServerMessage};

/// One way to a server.
pub(super) trait Transport: Send + 'static {
    /// Hands a message to the connection. Waits while the connection is full.
    fn send(
        &mut self,
        seq: Option<u64>,
        message: &ClientMessage,
    ) -> impl Future<Output = Result<(), Lost>> + Send;

    /// The next sign of life. Cancelled, it has taken nothing.
    fn receive(&mut self) -> impl Future<Output = Result<Incoming, Lost>> + Send;

    /// Connects again after a loss; the caller then sends a `join` that resumes.
    fn reconnect(&mut self) -> impl Future<Output = Result<(), Unreachable>> + Send {
        std::future::ready(Err(Unreachable::Refused))
    }
}

/// A sign of life from the server.
#[derive(Debug)]
pub(super) enum Incoming {
    Message {
        seq: Option<u64>,
        /// Length of its text.
        bytes: usize,
        message: ServerMessage,
    },
    /// A numbered message of a type that this version does not know.
    Unknown { seq: u64 },
    /// Something without a message in it, as a WebSocket ping.
    Alive,
}

impl From<ServerMessage> for Incoming {
    fn from(message: ServerMessage) -> Self {
        Self::Message {
            seq: None,
            bytes: 0,
            message,
        }
    }
}

/// The `join` with which a client comes back.
pub(super) fn resuming(join: &Join, token: &signaling_protocol::Secret, got: u64) -> Join {
    Join {
        token: join.token.clone(),
        resumable: true,
        resume: Some(token.clone()),
        ack: Some(got),
        ..Join::default()
    }
}
