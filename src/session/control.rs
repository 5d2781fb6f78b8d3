//! The messages of the control channel: `docs/protocol.md` section 3.

use crate::pairing::{ByeCode, Engine};
use serde::{Deserialize, Serialize};
use signaling_protocol::IceCandidate;

/// Version of the session protocol.
pub(crate) const VERSION: u32 = 1;

/// Label of the control channel.
pub(crate) const LABEL: &str = "control";

/// Its subprotocol.
pub(crate) const PROTOCOL: &str = "peerline/1";

/// What a peer has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Intent {
    /// It has files to send.
    SendFiles,
    /// It waits for files.
    ReceiveFiles,
    /// It connects its standard input and output.
    Pipe,
    /// It talks in text.
    Chat,
    /// It talks in sound and picture.
    Call,
    /// It wants to get to know a device.
    Pair,
    /// It measures the line.
    Bench,
    /// It lets the other side use services.
    Expose,
    /// It uses services of the other side.
    Connect,
    /// It receives the same files as the other side, and exchanges blocks of them.
    ShareBlocks,
    /// It does whatever the other side came for. Also what a newer peer's unknown intent means.
    #[serde(other)]
    Any,
}

/// The last words of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// The reason.
    pub code: ByeCode,
    /// The reason for people. Comes from the peer: clean it before showing it.
    pub message: String,
}

impl Bye {
    /// Last words.
    pub fn new(code: ByeCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The first message of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Version of the session protocol.
    pub version: u32,
    /// Program and version. Comes from the peer: clean it before showing it.
    pub agent: String,
    /// What kind of WebRTC implementation it is.
    pub engine: Engine,
    /// What it has come for.
    pub intent: Intent,
    /// Proof, by the pairing key, of the certificates that DTLS used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<String>,
    /// How many extra connections for bulk it takes at a time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lanes: u16,
    /// The largest datagrams that its engine takes, in bytes of UDP payload, if it answers no probes. Without it, those that
    /// every path carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<u16>,
    /// Its part of the key for packet size probes: 16 bytes in base64url. Without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Records may come numbered, and be sent again, on this connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repair: bool,
    /// Proof, by its own key, that it is the device that it is taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// One message of the control channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ControlMessage {
    Hello(Hello),
    Ping {
        id: u64,
    },
    Pong {
        id: u64,
    },
    Offer {
        /// The number of the offer (3.3).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        sdp: String,
    },
    Answer {
        /// The number of the offer that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        sdp: String,
    },
    IceCandidate {
        candidate: Option<IceCandidate>,
    },
    /// A connection of its own for bulk, in datagrams of up to `packet` bytes, whose losses its opener would
    /// `repair`.
    LaneOffer {
        lane: u32,
        packet: u16,
        #[serde(default, skip_serializing_if = "is_false")]
        repair: bool,
        sdp: String,
    },
    /// Whether the opener may.
    LaneAnswer {
        lane: u32,
        #[serde(default, skip_serializing_if = "is_false")]
        repair: bool,
        sdp: String,
    },
    LaneCandidate {
        lane: u32,
        candidate: Option<IceCandidate>,
    },
    /// The lane is over, or was refused.
    LaneClose {
        lane: u32,
    },
    Bye(Bye),
    /// A message of a newer version.
    #[serde(other)]
    Unknown,
}

impl ControlMessage {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and maps with string keys serialise")
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_the_protocol_text() {
        let cases = [
            (r#"{"type":"ping","id":7}"#, ControlMessage::Ping { id: 7 }),
            (r#"{"type":"pong","id":7}"#, ControlMessage::Pong { id: 7 }),
            (
                r#"{"type":"offer","sdp":"v=0"}"#,
                ControlMessage::Offer {
                    id: None,
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"answer","id":2,"sdp":"v=0"}"#,
                ControlMessage::Answer {
                    id: Some(2),
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"ice-candidate","candidate":null}"#,
                ControlMessage::IceCandidate { candidate: None },
            ),
            (
                r#"{"type":"bye","code":"wrong-code","message":"no"}"#,
                ControlMessage::Bye(Bye::new(ByeCode::WrongCode, "no")),
            ),
            (
                r#"{"type":"lane-offer","lane":2,"packet":1472,"sdp":"v=0"}"#,
                ControlMessage::LaneOffer {
                    lane: 2,
                    packet: 1472,
                    repair: false,
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"lane-offer","lane":2,"packet":1472,"repair":true,"sdp":"v=0"}"#,
                ControlMessage::LaneOffer {
                    lane: 2,
                    packet: 1472,
                    repair: true,
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"lane-answer","lane":2,"sdp":"v=0"}"#,
                ControlMessage::LaneAnswer {
                    lane: 2,
                    repair: false,
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"lane-answer","lane":2,"repair":true,"sdp":"v=0"}"#,
                ControlMessage::LaneAnswer {
                    lane: 2,
                    repair: true,
                    sdp: "v=0".into(),
                },
            ),
            (
                r#"{"type":"lane-candidate","lane":2,"candidate":null}"#,
                ControlMessage::LaneCandidate {
                    lane: 2,
                    candidate: None,
                },
            ),
            (
                r#"{"type":"lane-close","lane":2}"#,
                ControlMessage::LaneClose { lane: 2 },
            ),
            (
                r#"{"type":"hello","version":1,"agent":"x/1","engine":"browser","intent":"send-files","certificates":"AA","lanes":4,"packet":8000}"#,
                ControlMessage::Hello(Hello {
                    version: 1,
                    agent: "x/1".into(),
                    engine: Engine::Browser,
                    intent: Intent::SendFiles,
                    certificates: Some("AA".into()),
                    lanes: 4,
                    packet: Some(8000),
                    probe: None,
                    repair: false,
                    signature: None,
                }),
            ),
        ];
        for (text, message) in cases {
            assert_eq!(ControlMessage::parse(text).as_ref(), Some(&message));
            assert_eq!(message.to_json(), text);
        }
    }

    #[test]
    fn what_a_newer_peer_says_is_not_an_error() {
        let newer =
            r#"{"type":"hello","version":1,"agent":"x","engine":"native","intent":"dance","x":1}"#;
        assert!(matches!(
            ControlMessage::parse(newer),
            Some(ControlMessage::Hello(Hello {
                intent: Intent::Any,
                ..
            }))
        ));
        assert_eq!(
            ControlMessage::parse(r#"{"type":"dance"}"#),
            Some(ControlMessage::Unknown)
        );
        for garbage in [
            "",
            "{}",
            "[]",
            r#"{"type":"ping"}"#,
            r#"{"type":"ping","id":-1}"#,
        ] {
            assert_eq!(ControlMessage::parse(garbage), None);
        }
    }
}
