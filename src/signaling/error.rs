//! What goes wrong between a peer and its server, whose fault it is and what helps.

use super::server_url::ServerUrl;
use signaling_protocol::ErrorCode;
use std::fmt;

/// A room was not entered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalingError {
    /// No signaling server answered.
    #[error("cannot reach the signaling server {server}: {cause}")]
    Unreachable {
        /// The server.
        server: ServerUrl,
        /// Why not.
        cause: Unreachable,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The connection ended before the server answered.
    #[error("the connection to the signaling server ended before it let us in: {0}")]
    Lost(Lost),
}

/// Why no signaling server answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name has no address.
    #[error("its name was not found; check the spelling and this machine's network")]
    Name,
    /// Nothing listens there.
    #[error("nothing listens there; is the server running, and is the port right?")]
    Refused,
    /// Nothing came back in time.
    #[error("no answer within {} s; check the address, the network and firewalls", super::client::JOIN_LIMIT.as_secs())]
    Timeout,
    /// The encrypted connection failed.
    #[error(
        "TLS failed ({0}); if the server has no certificate, write http:// in front of its address; if nobody has signed it, give its fingerprint"
    )]
    Tls(String),
    /// Something else answers there.
    #[error("what answers there (HTTP {0}) is not a signaling server; check the address")]
    NotSignaling(u16),
    /// Anything else that the system reports.
    #[error("{0}; check the network and try again")]
    Network(String),
}

/// An error that the server reported and that ended the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is, by its stable name.
    pub code: ErrorCode,
    /// What the server says about it, safe to show.
    pub message: String,
    /// Whether the same request can succeed later.
    pub retry: bool,
}

/// A connection to a server ended. Connections between peers are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The server ended it and said why.
    #[error("{0}")]
    Refused(Refusal),
    /// The server ended it without a word, as when it stops.
    #[error("the signaling server closed the connection")]
    Closed,
    /// Nothing came for a minute.
    #[error("the signaling server has been silent for too long; the network may be gone")]
    Silent,
    /// The network failed.
    #[error("the connection to the signaling server broke: {0}")]
    Network(String),
    /// The server broke the protocol: it is not ours, or not sane.
    #[error("the signaling server broke the protocol: {0}")]
    Protocol(String),
}

/// A message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is lost; [`Signaling::next`](super::Signaling::next) says why.
    #[error("the connection to the signaling server is lost")]
    Lost,
    /// The server would refuse a message of this size.
    #[error("a message of {size} bytes exceeds the server's limit of {limit}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that the server allows.
        limit: usize,
    },
}

impl SignalingError {
    /// Whether trying the same again later can help.
    pub fn retry(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } => match cause {
                Unreachable::Name | Unreachable::Tls(_) | Unreachable::NotSignaling(_) => false,
                Unreachable::Refused | Unreachable::Timeout | Unreachable::Network(_) => true,
            },
            Self::Refused(refusal) => refusal.retry,
            Self::Lost(lost) => lost.retry(),
        }
    }
}

impl Lost {
    /// Whether connecting again can help.
    pub fn retry(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry,
            Self::Closed | Self::Silent | Self::Network(_) => true,
            Self::Protocol(_) => false,
        }
    }
}

impl Lost {
    /// Whether the place in the room may still be there.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_passing(),
            Self::Closed | Self::Silent | Self::Network(_) => true,
            Self::Protocol(_) => false,
        }
    }
}

impl Refusal {
    /// Whether the server refuses for now, and keeps the place.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::IdleTimeout
                | ErrorCode::HelloTimeout
                | ErrorCode::ServerFull
                | ErrorCode::Draining
                | ErrorCode::Internal
        )
    }

    pub(super) fn new(code: ErrorCode, message: &str, retry: bool) -> Self {
        Self {
            code,
            message: shown(message),
            retry,
        }
    }

    fn hint(&self) -> &'static str {
        match self.code {
            ErrorCode::NoSuchRoom => "check the code; the other side must be running and waiting",
            ErrorCode::RoomTaken => "somebody uses this room; take another code",
            ErrorCode::RoomFull => {
                "somebody else is there, or went without a goodbye and has its place kept: try again in two minutes, or ask for a new code"
            }
            ErrorCode::Unauthorized => {
                "give a valid token with --token, or PEERLINE_TOKEN in the environment"
            }
            ErrorCode::RateLimited => "wait a minute and try again",
            ErrorCode::ServerFull | ErrorCode::Draining => "try again soon or use another server",
            ErrorCode::SlowConsumer | ErrorCode::IdleTimeout | ErrorCode::HelloTimeout => {
                "the network is slow or gone; try again"
            }
            ErrorCode::ResumeFailed => {
                "the server was restarted or gave the place away; start again on both sides"
            }
            ErrorCode::TakenOver => "another program came back in this one's place",
            ErrorCode::Internal => "the fault is the server's; try again or use another server",
            _ => "the two programs may be of different versions",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, .. } = self;
        write!(
            f,
            "the signaling server refused ({code}: {message}); {}",
            self.hint()
        )
    }
}

/// A server's text as it may be shown on a terminal: short, without control characters.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 200;
    text.chars()
        .filter(|c| !c.is_control())
        .take(LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_drive_a_terminal() {
        let refusal = Refusal::new(ErrorCode::NoSuchRoom, "no\u{1b}[2J room\n", true);
        assert_eq!(
            refusal.to_string(),
            "the signaling server refused (no-such-room: no[2J room); check the code; the other \
             side must be running and waiting"
        );
        let long = Refusal::new(ErrorCode::Internal, &"x".repeat(100_000), true);
        assert_eq!(long.message.len(), 200);
    }
}
