//! What the script in a page tells.

use serde::Deserialize;

/// Something that a page did, or that happened to it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// It made a connection.
    Connection { pc: u32 },
    /// A WebSocket of it opened or failed.
    Socket { url: String, state: String },
    /// It sent something to its server.
    Sent { signal: Signal, candidates: u32 },
    /// Its server sent something.
    Heard { signal: Signal, candidates: u32 },
    /// It was not given a camera or microphone.
    MediaRefused { error: String },
    /// The browser found a candidate.
    CandidateFound { pc: u32 },
    /// The state of a connection changed.
    State { pc: u32, state: String },
    /// It made a channel.
    Channel {
        pc: u32,
        label: String,
        negotiated: bool,
    },
    /// The other side made a channel; whether the page listens for that.
    ChannelIn { pc: u32, label: String, heard: bool },
    /// A channel can be used.
    ChannelOpen { pc: u32, label: String },
    /// A channel has closed.
    ChannelClose {
        pc: u32,
        label: String,
        theirs: bool,
    },
    /// Its own description is set.
    Local {
        pc: u32,
        #[serde(rename = "type")]
        kind: String,
        sdp: String,
    },
    /// The other side's description is set.
    Remote {
        pc: u32,
        #[serde(rename = "type")]
        kind: String,
        sdp: String,
    },
    /// The browser refused what the page called.
    Refused {
        pc: u32,
        call: String,
        /// The signaling state before that.
        state: String,
        error: String,
        /// Whether there was a description of the other side.
        described: bool,
    },
}

/// What a message to or from a server is, whatever carries it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Signal {
    Offer,
    Answer,
    Candidate,
}

impl Event {
    /// What the page told, if it is something that the script tells.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
