//! What other servers speak: how one comes in, how one is addressed, and what a message looks like. Our own is
//! one of them, so that all are measured by the same program.

use clap::ValueEnum;
use serde_json::{Value, json};
use signaling_protocol::limits::MESSAGES_PER_SECOND;

/// A server's protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// This one
    #[default]
    Peerline,
    /// `matchbox_server`
    Matchbox,
    /// PeerJS's server
    Peerjs,
    /// The signaling server of y-webrtc
    YWebrtc,
    /// `benches/signaling/relay.mjs`: what the path names is the room, and what comes goes to everybody else in it
    Relay,
}

/// One end of a room of two: what the other end has to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) room: String,
    /// Chosen here, unless the server does that.
    pub(super) id: String,
}

/// What a first message says of an attempt to come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It is in; what it may send in a second, and which id it has if the server chose one.
    In {
        per_second: u32,
        id: Option<String>,
    },
    Refused(String),
    /// It is about something else.
    Other,
}

impl Dialect {
    /// Where the WebSocket is.
    pub(super) fn path(self, end: &End) -> String {
        let End { room, id } = end;
        match self {
            Self::Peerline => "/ws".to_owned(),
            Self::Matchbox | Self::Relay => format!("/{room}"),
            Self::Peerjs => format!("/peerjs?key=peerjs&id={id}&token={id}"),
            Self::YWebrtc => "/".to_owned(),
        }
    }

    /// What is said first.
    pub(super) fn hello(self, end: &End) -> Vec<String> {
        let room = &end.room;
        match self {
            Self::Peerline => vec![json!({ "type": "join", "room": room }).to_string()],
            Self::Matchbox | Self::Peerjs | Self::Relay => Vec::new(),
            // Nothing answers the first one; the second one is answered behind it.
            Self::YWebrtc => vec![
                json!({ "type": "subscribe", "topics": [room] }).to_string(),
                json!({ "type": "ping" }).to_string(),
            ],
        }
    }

    /// Whether the server says nothing to those who come: they are in with the WebSocket.
    pub(super) fn is_silent(self) -> bool {
        self == Self::Relay
    }

    pub(super) fn reply(self, text: &[u8]) -> Reply {
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            return Reply::Other;
        };
        let entered = |id: Option<&str>| Reply::In {
            per_second: MESSAGES_PER_SECOND,
            id: id.map(str::to_owned),
        };
        let kind = message["type"].as_str();
        match (self, kind) {
            (Self::Peerline, Some("joined")) => {
                let per_second = message["limits"]["messagesPerSecond"].as_u64();
                let per_second = per_second.and_then(|number| u32::try_from(number).ok());
                Reply::In {
                    per_second: per_second.unwrap_or(MESSAGES_PER_SECOND).max(1),
                    id: None,
                }
            }
            (Self::Peerline, Some("error")) => {
                Reply::Refused(message["code"].as_str().unwrap_or_default().to_owned())
            }
            (Self::Matchbox, _) => match message["IdAssigned"].as_str() {
                Some(id) => entered(Some(id)),
                None => Reply::Other,
            },
            (Self::Peerjs, Some("OPEN")) | (Self::YWebrtc, Some("pong")) => entered(None),
            (Self::Peerjs, Some("ERROR" | "ID-TAKEN")) => {
                Reply::Refused(message["payload"]["msg"].to_string())
            }
            _ => Reply::Other,
        }
    }

    /// A message from one end to the other, with this in it.
    pub(super) fn message(self, from: &End, to: &End, payload: &Value) -> String {
        match self {
            Self::Peerline => json!({ "type": "message", "payload": payload }),
            Self::Matchbox => json!({ "Signal": { "receiver": to.id, "data": payload } }),
            Self::Peerjs => json!({ "type": "OFFER", "dst": to.id, "payload": payload }),
            Self::YWebrtc => {
                json!({ "type": "publish", "topic": from.room, "sender": from.id, "payload": payload })
            }
            Self::Relay => json!({ "payload": payload }),
        }
        .to_string()
    }

    /// What is in the messages that come back to who sent them.
    pub(super) fn echo(self, end: &End) -> Option<String> {
        (self == Self::YWebrtc).then(|| format!(r#""sender":"{}""#, end.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_is_in_or_told_why_not() {
        let entered = |per_second, id: Option<&str>| Reply::In {
            per_second,
            id: id.map(str::to_owned),
        };
        let rows: [(Dialect, &str, Reply); 9] = [
            (
                Dialect::Peerline,
                r#"{"type":"joined","limits":{"messagesPerSecond":7}}"#,
                entered(7, None),
            ),
            (
                Dialect::Peerline,
                r#"{"type":"error","code":"server-full"}"#,
                Reply::Refused("server-full".to_owned()),
            ),
            (Dialect::Peerline, r#"{"type":"peer-joined"}"#, Reply::Other),
            (
                Dialect::Matchbox,
                r#"{"IdAssigned":"x"}"#,
                entered(MESSAGES_PER_SECOND, Some("x")),
            ),
            (Dialect::Matchbox, r#"{"NewPeer":"x"}"#, Reply::Other),
            (
                Dialect::Peerjs,
                r#"{"type":"OPEN"}"#,
                entered(MESSAGES_PER_SECOND, None),
            ),
            (
                Dialect::Peerjs,
                r#"{"type":"ERROR","payload":{"msg":"full"}}"#,
                Reply::Refused(r#""full""#.to_owned()),
            ),
            (
                Dialect::YWebrtc,
                r#"{"type":"pong"}"#,
                entered(MESSAGES_PER_SECOND, None),
            ),
            (Dialect::Relay, "nonsense", Reply::Other),
        ];
        for (dialect, text, reply) in rows {
            assert_eq!(dialect.reply(text.as_bytes()), reply, "{dialect:?} {text}");
        }
    }
}
