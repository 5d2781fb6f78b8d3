//! What scripts are asked, and what they answer.

use serde::{Deserialize, Serialize};
use signaling_protocol::{LeaveReason, PeerId, PeerInfo, PeerName};

/// What every script is told, and what it is asked.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a, T> {
    pub(super) node: &'a str,
    pub(super) room: &'a str,
    pub(super) channel: &'a str,
    pub(super) window: u64,
    pub(super) hold: u64,
    pub(super) lease: u64,
    pub(super) outbox: usize,
    pub(super) joins_per_minute: u32,
    pub(super) expire: bool,
    /// When this is no longer wanted, by the clock of Redis.
    #[serde(rename = "until_", skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    #[serde(flatten)]
    pub(super) what: T,
}

/// Somebody who wants in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Joining<'a> {
    pub(crate) id: &'a str,
    pub(crate) session: &'a str,
    /// A digest of what opens the place again; without one it is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a PeerName>,
    pub(crate) plain: bool,
    pub(crate) capacity: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) create: Option<bool>,
    /// Whether this source may have another room.
    pub(crate) may_create: bool,
    /// What the others are told.
    pub(crate) joined: &'a str,
}

/// A message to pass on, or one for its sender alone (`echo`).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Posting<'a> {
    pub(crate) from: &'a str,
    pub(crate) session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<&'a PeerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    pub(crate) joined_only: bool,
    pub(crate) echo: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Resuming<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack: Option<u64>,
    pub(super) session: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Leaving<'a> {
    pub(super) id: &'a str,
    pub(super) session: &'a str,
    pub(super) reason: LeaveReason,
}

#[derive(Debug, Serialize)]
pub(super) struct Touching<'a> {
    pub(super) members: &'a [Claim],
    pub(super) dead: &'a [String],
}

/// A member that is here.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claim {
    pub(crate) id: PeerId,
    pub(crate) session: String,
    /// The last message that it has acknowledged.
    pub(crate) done: u64,
    /// The last message that is here.
    pub(crate) after: u64,
    pub(crate) away: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Restoring<'a> {
    pub(super) members: &'a [Record],
    pub(super) epoch: &'a str,
    pub(super) capacity: u16,
    pub(super) open: bool,
    pub(super) alone: bool,
    /// Other nodes that have members there, and how long to wait for them, in milliseconds.
    pub(super) nodes: &'a [String],
    pub(super) patience: u64,
}

/// All that there is of a member that is here.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    pub(crate) id: PeerId,
    pub(crate) order: usize,
    pub(crate) session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<PeerName>,
    pub(crate) plain: bool,
    pub(crate) away: bool,
    pub(crate) received: u64,
    /// The number of the first of `texts`.
    pub(crate) first: u64,
    pub(crate) texts: Vec<String>,
}

/// What a script answers; each fills in what it has.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) error: Option<String>,
    /// Which one of the rooms that had this name it is.
    pub(super) epoch: Option<String>,
    /// Whether there are members of other nodes.
    #[serde(default)]
    pub(super) elsewhere: bool,
    /// The nodes of those that are not away.
    #[serde(default)]
    pub(super) nodes: Vec<String>,
    /// What the clock of Redis shows, in milliseconds.
    #[serde(default)]
    pub(super) now: u64,
    #[serde(default)]
    pub(crate) told: Vec<Told>,
    #[serde(default)]
    pub(crate) out: Vec<Out>,
    #[serde(default)]
    pub(super) missing: Vec<PeerId>,
    #[serde(default)]
    pub(crate) peers: Vec<PeerInfo>,
    pub(crate) capacity: Option<u16>,
    #[serde(default)]
    pub(crate) open: bool,
    pub(crate) name: Option<PeerName>,
    #[serde(default)]
    pub(crate) received: u64,
    #[serde(default)]
    pub(crate) first: u64,
}

/// A message for a member that is here; the one that was given to the script is not repeated.
#[derive(Debug, Deserialize)]
pub(crate) struct Told(
    pub(crate) PeerId,
    pub(crate) u64,
    #[serde(default)] pub(crate) Option<String>,
);

/// A session that is over here, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct Out(pub(crate) PeerId, pub(crate) String, pub(crate) String);

/// What other nodes are told.
#[derive(Debug, Deserialize)]
pub(super) struct News {
    pub(super) room: signaling_protocol::RoomName,
    #[serde(default)]
    pub(super) out: Vec<Out>,
}

/// Something of a member that is not written down yet.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    pub(crate) seq: Option<u64>,
    pub(crate) frame: crate::mailbox::Frame,
    pub(crate) entry: Entry,
}

/// What an [`Owed`] is.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// To be passed on.
    Message {
        to: Option<PeerId>,
        joined_only: bool,
        /// Whether listeners of an open room hear it.
        public: bool,
    },
    /// An answer to the member itself.
    Answer,
}
