//! What the server sends.

use crate::{
    ErrorCode, IceCandidate, IceServer, PeerId, PeerName, RoomName, Secret,
    parse::{self, ParseError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message from the server to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum ServerMessage {
    /// The answer to `join`.
    Joined(Joined),
    /// Somebody came.
    PeerJoined {
        /// Who.
        peer: PeerInfo,
        /// What replaces the receiver's own servers of `joined`, if their credentials may have expired
        /// by now; empty if not.
        #[serde(default, rename = "iceServers", skip_serializing_if = "Vec::is_empty")]
        ice_servers: Vec<IceServer>,
    },
    /// Somebody went.
    PeerLeft {
        /// Who.
        peer: PeerId,
        /// How.
        reason: LeaveReason,
    },
    /// A relayed offer.
    Offer {
        /// The sender.
        from: PeerId,
        /// The description.
        sdp: String,
    },
    /// A relayed answer.
    Answer {
        /// The sender.
        from: PeerId,
        /// The description.
        sdp: String,
    },
    /// A relayed candidate.
    IceCandidate {
        /// The sender.
        from: PeerId,
        /// The candidate, or `null` for the end of candidates.
        #[serde(deserialize_with = "crate::ice::candidate_or_null")]
        candidate: Option<IceCandidate>,
    },
    /// A relayed pairing record.
    Sealed {
        /// The sender.
        from: PeerId,
        /// The record in base64url without padding.
        data: String,
    },
    /// Relayed text.
    Chat {
        /// The sender.
        from: PeerId,
        /// The text.
        content: String,
    },
    /// Relayed JSON.
    Message {
        /// The sender.
        from: PeerId,
        /// The content.
        payload: Value,
    },
    /// Something was refused.
    Error {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        message: String,
        /// Whether the same request can succeed later.
        retry: bool,
    },
    /// The server goes away; connections between peers are not affected.
    Draining {
        /// How long to wait before the next connection attempt, in milliseconds.
        reconnect_after_ms: u64,
    },
    /// The answer to `ping`.
    Pong,
    /// Everything up to this number has arrived and was passed on, or refused with an `error`.
    Ack {
        /// The number of the last message that arrived.
        seq: u64,
    },
    /// The answer to `join` with a `resume` that is known: everything that was not acknowledged
    /// follows again.
    Resumed {
        /// The number of the client's last message that arrived.
        received: u64,
    },
    /// The connection of somebody who may come back broke.
    PeerAway {
        /// Who.
        peer: PeerId,
    },
    /// Somebody who was away is back, with the same id.
    PeerBack {
        /// Who.
        peer: PeerId,
    },
}

/// The content of a `joined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The room that was entered.
    pub room: RoomName,
    /// The receiver's own id.
    #[serde(rename = "self")]
    pub own_id: PeerId,
    /// Who was there before, in order of joining.
    pub peers: Vec<PeerInfo>,
    /// STUN and TURN servers to use.
    pub ice_servers: Vec<IceServer>,
    /// A token to come back with after a lost connection, for those who asked with `resumable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Secret>,
    /// What the server accepts.
    pub limits: Limits,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Its id.
    pub id: PeerId,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PeerName>,
    /// Whether it is a plain peer, which never sent `join`; absent on the wire if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plain: bool,
    /// Whether its connection is broken just now; absent on the wire if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub away: bool,
}

/// What a server accepts from one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Largest message in bytes.
    pub message_bytes: u32,
    /// Messages a second in the long run.
    pub messages_per_second: u32,
    /// Peers in this room.
    pub peers: u32,
}

/// How a member went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// The server closed its connection because of what it did.
    Kicked,
    /// Its connection broke. Reasons of newer servers are read as this one.
    #[serde(other)]
    Lost,
}

impl ServerMessage {
    pub(crate) const TYPES: [&'static str; 16] = [
        "joined",
        "peer-joined",
        "peer-left",
        "offer",
        "answer",
        "ice-candidate",
        "sealed",
        "chat",
        "message",
        "error",
        "draining",
        "pong",
        "ack",
        "resumed",
        "peer-away",
        "peer-back",
    ];

    /// Reads one text frame of a server. [`ParseError::Type`] is a message of a newer server, to be
    /// ignored.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::message(text, &Self::TYPES)
    }

    /// The text frame.
    pub fn to_json(&self) -> String {
        parse::to_json(self)
    }

    /// An `error` with the code's usual answer to whether retrying helps.
    pub fn error(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error {
            code,
            message: message.into(),
            retry: code.retry(),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
