//! The stable codes of `error` messages.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What went wrong, by a name that does not change between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not a JSON object, or nested too deep.
    BadJson,
    /// No `type`, or one that the receiver does not know; the connection stays.
    BadType,
    /// A known type with a missing or malformed field.
    BadMessage,
    /// The room name is outside the allowed set.
    BadRoom,
    /// The message is larger than allowed now.
    TooLarge,
    /// Something else came before `join`.
    NotJoined,
    /// A second `join`.
    AlreadyJoined,
    /// The room was to exist, and does not.
    NoSuchRoom,
    /// The room was to be new, and is not.
    RoomTaken,
    /// The room holds as many peers as it may.
    RoomFull,
    /// `to` names nobody in the room; the connection stays.
    NoSuchPeer,
    /// Token missing, wrong or expired, or the page's origin is not allowed.
    Unauthorized,
    /// Too many messages, joins, rooms or connections.
    RateLimited,
    /// The peer did not read what it was sent.
    SlowConsumer,
    /// No `join` in time.
    HelloTimeout,
    /// Nothing came for too long.
    IdleTimeout,
    /// The server has as many connections as it can serve.
    ServerFull,
    /// The server is going away.
    Draining,
    /// The `resume` token is not known, or what it was to continue is gone.
    ResumeFailed,
    /// Another connection came with the same `resume` token.
    TakenOver,
    /// The server's own fault.
    Internal,
    /// A code that this version does not know. Whether it is fatal shows by the socket's close.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// Every code that a server sends.
    pub const ALL: [Self; 21] = [
        Self::BadJson,
        Self::BadType,
        Self::BadMessage,
        Self::BadRoom,
        Self::TooLarge,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::NoSuchRoom,
        Self::RoomTaken,
        Self::RoomFull,
        Self::NoSuchPeer,
        Self::Unauthorized,
        Self::RateLimited,
        Self::SlowConsumer,
        Self::HelloTimeout,
        Self::IdleTimeout,
        Self::ServerFull,
        Self::Draining,
        Self::ResumeFailed,
        Self::TakenOver,
        Self::Internal,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad-json",
            Self::BadType => "bad-type",
            Self::BadMessage => "bad-message",
            Self::BadRoom => "bad-room",
            Self::TooLarge => "too-large",
            Self::NotJoined => "not-joined",
            Self::AlreadyJoined => "already-joined",
            Self::NoSuchRoom => "no-such-room",
            Self::RoomTaken => "room-taken",
            Self::RoomFull => "room-full",
            Self::NoSuchPeer => "no-such-peer",
            Self::Unauthorized => "unauthorized",
            Self::RateLimited => "rate-limited",
            Self::SlowConsumer => "slow-consumer",
            Self::HelloTimeout => "hello-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::ServerFull => "server-full",
            Self::Draining => "draining",
            Self::ResumeFailed => "resume-failed",
            Self::TakenOver => "taken-over",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }

    /// The WebSocket close code that follows, or `None` if the connection stays.
    pub fn close_code(self) -> Option<u16> {
        match self {
            Self::BadType | Self::NoSuchPeer | Self::Unknown => None,
            Self::BadJson
            | Self::BadMessage
            | Self::BadRoom
            | Self::NotJoined
            | Self::AlreadyJoined => Some(4400),
            Self::Unauthorized => Some(4401),
            Self::RoomFull => Some(4403),
            Self::NoSuchRoom => Some(4404),
            Self::HelloTimeout | Self::IdleTimeout => Some(4408),
            Self::RoomTaken => Some(4409),
            Self::ResumeFailed => Some(4410),
            Self::TakenOver => Some(4411),
            Self::TooLarge => Some(4413),
            Self::RateLimited => Some(4429),
            Self::ServerFull | Self::Draining => Some(4503),
            Self::SlowConsumer => Some(4008),
            Self::Internal => Some(1011),
        }
    }

    /// Whether the server closes the connection after it.
    pub fn is_fatal(self) -> bool {
        self.close_code().is_some()
    }

    /// Whether the same request can succeed later without a change.
    pub fn retry(self) -> bool {
        match self {
            Self::BadJson
            | Self::BadType
            | Self::BadMessage
            | Self::BadRoom
            | Self::TooLarge
            | Self::NotJoined
            | Self::AlreadyJoined
            | Self::NoSuchPeer
            | Self::Unauthorized
            | Self::ResumeFailed
            | Self::TakenOver
            | Self::Unknown => false,
            Self::NoSuchRoom
            | Self::RoomTaken
            | Self::RoomFull
            | Self::RateLimited
            | Self::SlowConsumer
            | Self::HelloTimeout
            | Self::IdleTimeout
            | Self::ServerFull
            | Self::Draining
            | Self::Internal => true,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_is_serialised() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
    }

    #[test]
    fn a_newer_code_is_read_as_unknown() {
        assert_eq!(
            serde_json::from_str::<ErrorCode>("\"from-2031\"").unwrap(),
            ErrorCode::Unknown
        );
    }
}
