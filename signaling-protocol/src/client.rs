//! What clients send.

use crate::{
    IceCandidate, PeerId, PeerName, RoomName, Secret, ServerMessage,
    parse::{self, ParseError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// A message from a client to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum ClientMessage {
    /// Enters a room; answered by `joined`.
    Join(Join),
    /// A session description that offers.
    Offer {
        /// The receiver; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        /// The description.
        sdp: String,
    },
    /// A session description that answers.
    Answer {
        /// The receiver; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        /// The description.
        sdp: String,
    },
    /// A trickled candidate.
    IceCandidate {
        /// The receiver; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        /// The candidate; `null` (which must be there) for the end of candidates.
        #[serde(deserialize_with = "crate::ice::candidate_or_null")]
        candidate: Option<IceCandidate>,
    },
    /// One pairing record.
    Sealed {
        /// The receiver.
        to: PeerId,
        /// The record in base64url without padding; the server does not look at it.
        data: String,
    },
    /// Text for people.
    Chat {
        /// The receiver; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        /// The text.
        content: String,
    },
    /// Anything for programs.
    Message {
        /// The receiver; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        /// Any JSON.
        payload: Value,
    },
    /// Which way the packets of a connection go that was made in this room, for the server's figures; nobody else hears of it.
    Path {
        /// Directly or through a relay.
        kind: PathKind,
    },
    /// Leaves the room and closes.
    Leave,
    /// Answered by `pong`.
    Ping,
    /// Everything up to this number has arrived; the server need not keep it any more.
    Ack {
        /// The number of the last message that arrived.
        seq: u64,
    },
}

/// Which way packets go between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// From peer to peer.
    Direct,
    /// Through a TURN server, which sees ciphertext only.
    Relayed,
}

impl PathKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Relayed];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The content of a `join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The room. May be absent with `create: true` (the server picks a numeric one) and with a
    /// `resume` token that is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// `true`: only into a new room. `false`: only into one where somebody is. Absent: either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// Peers that the room will hold, from 2 to the server's limit; counts if this join makes the
    /// room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u16>,
    /// What the others shall call this peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PeerName>,
    /// The right to enter, if the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Whether this client numbers what it sends, acknowledges what it gets, and may come back
    /// after a lost connection; absent on the wire if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub resumable: bool,
    /// The `resume` of an earlier `joined`. A server that does not know it takes the rest of the
    /// message as a new join; without `room` in it, that is refused with `resume-failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Secret>,
    /// With `resume`: the number of the last message that arrived, 0 if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u64>,
}

impl ClientMessage {
    pub(crate) const TYPES: [&'static str; 11] = [
        "join",
        "offer",
        "answer",
        "ice-candidate",
        "sealed",
        "chat",
        "message",
        "path",
        "leave",
        "ping",
        "ack",
    ];

    /// Reads one text frame of a client. The caller has already limited its size.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::message(text, &Self::TYPES)
    }

    /// The text frame.
    pub fn to_json(&self) -> String {
        parse::to_json(self)
    }

    /// The peer that a relayed message is for; `None` means everyone else in the room.
    pub fn to(&self) -> Option<&PeerId> {
        match self {
            Self::Offer { to, .. }
            | Self::Answer { to, .. }
            | Self::IceCandidate { to, .. }
            | Self::Chat { to, .. }
            | Self::Message { to, .. } => to.as_ref(),
            Self::Sealed { to, .. } => Some(to),
            Self::Join(_) | Self::Path { .. } | Self::Leave | Self::Ping | Self::Ack { .. } => None,
        }
    }

    /// Whether it has a number in a resumable membership: what is relayed does, what is about the
    /// connection itself does not.
    pub fn is_numbered(&self) -> bool {
        match self {
            Self::Join(_) | Self::Path { .. } | Self::Leave | Self::Ping | Self::Ack { .. } => {
                false
            }
            Self::Offer { .. }
            | Self::Answer { .. }
            | Self::IceCandidate { .. }
            | Self::Sealed { .. }
            | Self::Chat { .. }
            | Self::Message { .. } => true,
        }
    }

    /// What the receivers of this message get, or `None` if it is meant for the server itself.
    pub fn into_relayed(self, from: PeerId) -> Option<ServerMessage> {
        Some(match self {
            Self::Offer { sdp, .. } => ServerMessage::Offer { from, sdp },
            Self::Answer { sdp, .. } => ServerMessage::Answer { from, sdp },
            Self::IceCandidate { candidate, .. } => ServerMessage::IceCandidate { from, candidate },
            Self::Sealed { data, .. } => ServerMessage::Sealed { from, data },
            Self::Chat { content, .. } => ServerMessage::Chat { from, content },
            Self::Message { payload, .. } => ServerMessage::Message { from, payload },
            Self::Join(_) | Self::Path { .. } | Self::Leave | Self::Ping | Self::Ack { .. } => {
                return None;
            }
        })
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes every field by reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
