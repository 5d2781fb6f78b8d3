//! What sealed messages say: `docs/protocol.md` 2.3.

use serde::{Deserialize, Deserializer, Serialize};
use signaling_protocol::IceCandidate;
use std::fmt;

/// Characters in the longest `agent`.
const MAX_AGENT: usize = 64;

/// Characters in the longest `message` of a `bye`: a sentence for people.
const MAX_BYE: usize = 512;

/// Bytes in the longest candidate line (protocol section 6).
const MAX_CANDIDATE: usize = 512;

/// Bytes in the longest `sdpMid` and `usernameFragment` (RFC 8839 allows a fragment 256).
const MAX_NAME: usize = 256;

/// One message between two paired peers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SealedMessage {
    /// A session description that asks.
    Offer {
        /// The number of the offer, counted by its side; absent from the first one of a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// The description.
        sdp: String,
        /// The sender's program and version, up to 64 characters.
        agent: String,
        /// What the sender's WebRTC runs in.
        engine: Engine,
    },
    /// A session description that answers.
    Answer {
        /// The number of the offer that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// The description.
        sdp: String,
        /// The sender's program and version, up to 64 characters.
        agent: String,
        /// What the sender's WebRTC runs in.
        engine: Engine,
    },
    /// A trickled candidate.
    IceCandidate {
        /// The candidate; none at the end of candidates.
        #[serde(deserialize_with = "present")]
        candidate: Option<IceCandidate>,
    },
    /// The end.
    Bye {
        /// Why, for programs.
        code: ByeCode,
        /// Why, for people: up to 512 characters.
        message: String,
    },
}

/// What a peer's WebRTC runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A program of its own; the polite side when it meets a browser.
    Native,
    /// A web page.
    Browser,
}

/// Why a peer says goodbye. The same codes end a session on its control channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByeCode {
    /// Everything was done.
    Done,
    /// A user ended it.
    Cancelled,
    /// A user said no.
    Declined,
    /// Somebody is in the middle.
    Tampered,
    /// The codes differ.
    WrongCode,
    /// A time limit passed.
    Timeout,
    /// The other side broke the protocol.
    Protocol,
    /// The sender's own fault. Codes of newer peers are read as this one.
    #[serde(other)]
    Internal,
}

/// A sealed message opened but cannot be used: the other side runs something that is broken or hostile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, no known type, or a field missing or malformed.
    #[error("it is not a message of this protocol ({0})")]
    Json(String),
    /// A field that is longer than allowed.
    #[error("its {0} is too long")]
    TooLong(&'static str),
    /// Text for people with control characters in it.
    #[error("its {0} has control characters")]
    ControlCharacters(&'static str),
}

impl SealedMessage {
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("all map keys of a message are strings")
    }

    /// Reads a message. The caller has limited its length.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        // The position is enough to find a mistake; the library's full text could quote the content.
        let message: Self = serde_json::from_slice(json).map_err(|error| {
            MessageError::Json(format!("line {} column {}", error.line(), error.column()))
        })?;
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Offer { agent, .. } | Self::Answer { agent, .. } => {
                check_text("agent", agent, MAX_AGENT)
            }
            Self::IceCandidate {
                candidate: Some(candidate),
            } => check_candidate(candidate),
            Self::IceCandidate { candidate: None } => Ok(()),
            Self::Bye { message, .. } => check_text("message", message, MAX_BYE),
        }
    }
}

/// Says which message it is without its content, which holds addresses and ICE passwords.
impl fmt::Debug for SealedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer { sdp, .. } => write!(f, "Offer({} bytes)", sdp.len()),
            Self::Answer { sdp, .. } => write!(f, "Answer({} bytes)", sdp.len()),
            Self::IceCandidate { candidate: Some(_) } => f.write_str("IceCandidate(…)"),
            Self::IceCandidate { candidate: None } => f.write_str("IceCandidate(end)"),
            Self::Bye { code, message } => write!(f, "Bye({code:?}, {message:?})"),
        }
    }
}

fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), MessageError> {
    if text.chars().nth(limit).is_some() {
        return Err(MessageError::TooLong(field));
    }
    if text.chars().any(char::is_control) {
        return Err(MessageError::ControlCharacters(field));
    }
    Ok(())
}

fn check_candidate(candidate: &IceCandidate) -> Result<(), MessageError> {
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|t| t.len() > MAX_NAME);
    if candidate.candidate.len() > MAX_CANDIDATE {
        return Err(MessageError::TooLong("candidate"));
    }
    if too_long(&candidate.sdp_mid) || too_long(&candidate.username_fragment) {
        return Err(MessageError::TooLong("sdpMid or usernameFragment"));
    }
    Ok(())
}

/// For a field that may be `null` but not absent.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IceCandidate>, D::Error> {
    Option::deserialize(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: &serde_json::Value) -> Result<SealedMessage, MessageError> {
        SealedMessage::from_json(value.to_string().as_bytes())
    }

    #[test]
    fn messages_are_written_as_the_protocol_says() {
        for (message, json) in [
            (
                SealedMessage::Offer {
                    id: None,
                    sdp: "v=0".into(),
                    agent: "peer-cli 0.1".into(),
                    engine: Engine::Native,
                },
                json!({"type": "offer", "sdp": "v=0", "agent": "peer-cli 0.1", "engine": "native"}),
            ),
            (
                SealedMessage::IceCandidate { candidate: None },
                json!({"type": "ice-candidate", "candidate": null}),
            ),
            (
                SealedMessage::Bye {
                    code: ByeCode::WrongCode,
                    message: "no".into(),
                },
                json!({"type": "bye", "code": "wrong-code", "message": "no"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&message).unwrap(), json);
            assert_eq!(read(&json), Ok(message));
        }
    }

    #[test]
    fn newer_fields_and_codes_are_understood() {
        let newer = json!({"type": "bye", "code": "bored", "message": "", "mood": {"grey": 1}});
        assert_eq!(
            read(&newer),
            Ok(SealedMessage::Bye {
                code: ByeCode::Internal,
                message: String::new()
            })
        );
    }

    #[test]
    fn what_breaks_a_limit_is_refused() {
        let candidate = |text: usize, mid: usize| {
            json!({"type": "ice-candidate",
                   "candidate": {"candidate": "c".repeat(text), "sdpMid": "m".repeat(mid)}})
        };
        let offer =
            |agent: &str| json!({"type": "offer", "sdp": "", "agent": agent, "engine": "browser"});
        assert!(read(&candidate(512, 256)).is_ok());
        assert!(read(&offer(&"é".repeat(64))).is_ok());
        for (json, error) in [
            (candidate(513, 0), MessageError::TooLong("candidate")),
            (
                candidate(0, 257),
                MessageError::TooLong("sdpMid or usernameFragment"),
            ),
            (offer(&"é".repeat(65)), MessageError::TooLong("agent")),
            (offer("\u{1b}[2J"), MessageError::ControlCharacters("agent")),
            (
                json!({"type": "bye", "code": "done", "message": "m".repeat(513)}),
                MessageError::TooLong("message"),
            ),
        ] {
            assert_eq!(read(&json), Err(error));
        }
        for json in [
            json!({"type": "ice-candidate"}),
            json!({"type": "offer", "sdp": "v=0", "agent": ""}),
            json!({"type": "dance"}),
            json!(null),
        ] {
            assert!(matches!(read(&json), Err(MessageError::Json(_))), "{json}");
        }
    }

    #[test]
    fn debug_does_not_show_the_description() {
        let sdp = "a=ice-pwd:secret".to_owned();
        let message = SealedMessage::Answer {
            id: None,
            sdp,
            agent: String::new(),
            engine: Engine::Browser,
        };
        assert_eq!(format!("{message:?}"), "Answer(16 bytes)");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(json: Vec<u8>) {
            let _ = SealedMessage::from_json(&json);
        }
    }
}
