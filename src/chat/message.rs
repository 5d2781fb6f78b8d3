//! The messages of a room: `docs/protocol.md` section 10.1.

use super::error::ChatError;
use crate::channel::MAX_MESSAGE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Longest text, in bytes of UTF-8. In JSON a byte takes up to six.
pub const MAX_TEXT: usize = 8192;

/// Messages that a guest may have sent and the host not taken.
pub(super) const WINDOW: u64 = 64;

/// What kind of message it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Somebody does something: `/me`.
    Action,
    /// Somebody says something. Also what a newer version's unknown kind means.
    #[default]
    #[serde(other)]
    Text,
}

/// What only a guest and its host know: it comes back as itself with it. 16 random bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Key(String);

impl Key {
    const LENGTH: usize = 16;

    pub(super) fn random() -> Self {
        let bytes: [u8; Self::LENGTH] = rand::rng().random();
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What the host compares, so that the time that it takes says nothing of the keys that it knows.
    pub(super) fn digest(&self) -> Option<KeyDigest> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).ok()?;
        (bytes.len() == Self::LENGTH).then(|| KeyDigest(Sha256::digest(&bytes).into()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyDigest([u8; 32]);

/// Somebody in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    /// Chosen by the host.
    pub(super) id: u32,
    pub(super) name: String,
    /// Whether it cannot be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) away: bool,
}

/// One message between a guest and the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Message {
    /// The first message of a guest, on each channel.
    Enter {
        key: Key,
        /// What it wants to be called.
        name: String,
        /// The room in which it was, if it comes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// The last message of that room that it has taken.
        #[serde(default)]
        after: u64,
        /// The last message of its own that it knows to be taken.
        #[serde(default)]
        taken: u64,
    },
    /// The answer of the host.
    Welcome {
        /// Names the room as long as it is there.
        room: String,
        /// Who the guest is.
        you: u32,
        /// Everybody, with the guest and the host.
        people: Vec<Person>,
        /// The last message of the guest that was taken.
        taken: u64,
        /// How many messages follow that are older than its coming.
        old: u64,
        /// How many messages it has missed that are not kept.
        missed: u64,
    },
    /// A guest says something: its own messages are numbered from 1.
    Say {
        n: u64,
        at: u64,
        #[serde(default)]
        kind: Kind,
        text: String,
    },
    /// The host passes on what somebody else said; its numbers increase.
    Said {
        n: u64,
        from: u32,
        name: String,
        at: u64,
        #[serde(default)]
        kind: Kind,
        text: String,
    },
    /// Everything of the other side up to this number was taken.
    Ack { n: u64 },
    /// Who is in the room now.
    People { people: Vec<Person> },
    /// The guest wants to be called otherwise.
    Name { name: String },
    /// A message of a newer version.
    #[serde(other)]
    Unknown,
}

impl Message {
    pub(super) fn parse(text: &str) -> Result<Self, ChatError> {
        let message: Self = serde_json::from_str(text)
            .map_err(|_| ChatError::Protocol("its message makes no sense"))?;
        match &message {
            Self::Say { text, .. } | Self::Said { text, .. } if text.len() > MAX_TEXT => {
                Err(ChatError::Protocol("its message is too long"))
            }
            _ => Ok(message),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string(self).expect("strings and numbers are always JSON");
        debug_assert!(json.len() <= MAX_MESSAGE, "{} bytes", json.len());
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_wire_is_as_documented() {
        let key = Key("AAECAwQFBgcICQoLDA0ODw".to_owned());
        assert!(key.digest().is_some());
        let person = |id, name: &str, away| Person {
            id,
            name: name.to_owned(),
            away,
        };
        for (message, wire) in [
            (
                Message::Enter {
                    key,
                    name: "anna".into(),
                    room: Some("r".into()),
                    after: 7,
                    taken: 2,
                },
                json!({"type": "enter", "key": "AAECAwQFBgcICQoLDA0ODw", "name": "anna", "room": "r", "after": 7, "taken": 2}),
            ),
            (
                Message::Welcome {
                    room: "r".into(),
                    you: 2,
                    people: vec![person(0, "host", false), person(2, "anna", true)],
                    taken: 2,
                    old: 1,
                    missed: 0,
                },
                json!({"type": "welcome", "room": "r", "you": 2, "people": [{"id": 0, "name": "host"},
                    {"id": 2, "name": "anna", "away": true}], "taken": 2, "old": 1, "missed": 0}),
            ),
            (
                Message::Say {
                    n: 3,
                    at: 1000,
                    kind: Kind::Action,
                    text: "waves".into(),
                },
                json!({"type": "say", "n": 3, "at": 1000, "kind": "action", "text": "waves"}),
            ),
            (
                Message::Said {
                    n: 8,
                    from: 2,
                    name: "anna".into(),
                    at: 1000,
                    kind: Kind::Text,
                    text: "hi".into(),
                },
                json!({"type": "said", "n": 8, "from": 2, "name": "anna", "at": 1000, "kind": "text", "text": "hi"}),
            ),
            (Message::Ack { n: 8 }, json!({"type": "ack", "n": 8})),
            (
                Message::Name { name: "b".into() },
                json!({"type": "name", "name": "b"}),
            ),
        ] {
            let text = message.to_json();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value, wire);
            assert_eq!(Message::parse(&text), Ok(message));
        }
    }

    #[test]
    fn what_is_newer_is_understood_as_far_as_it_goes() {
        assert_eq!(
            Message::parse(r#"{"type":"typing","who":1}"#),
            Ok(Message::Unknown)
        );
        let said = Message::parse(r#"{"type":"say","n":1,"at":0,"kind":"poem","text":"x","y":1}"#);
        assert!(
            matches!(
                said,
                Ok(Message::Say {
                    kind: Kind::Text,
                    ..
                })
            ),
            "{said:?}"
        );
        let deep = format!("{{\"type\":\"typing\",\"x\":{}", "[".repeat(60_000));
        for bad in [
            "",
            "{}",
            "[]",
            "\"say\"",
            r#"{"type":"say","n":-1,"at":0,"text":""}"#,
            &deep,
        ] {
            assert!(Message::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_message_fits_whatever_is_in_it() {
        for character in ["\u{1b}", "\"", "\u{10ffff}", "\u{7f}"] {
            let text = character.repeat(MAX_TEXT / character.len());
            let said = Message::Said {
                n: u64::MAX,
                from: u32::MAX,
                name: "\\".repeat(32 * 4),
                at: u64::MAX,
                kind: Kind::Action,
                text,
            };
            assert!(said.to_json().len() <= MAX_MESSAGE);
            assert_eq!(Message::parse(&said.to_json()), Ok(said));
        }
    }

    #[test]
    fn a_key_is_not_printed_and_has_16_bytes() {
        let key = Key::random();
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert!(key.digest().is_some() && Key::random() != key);
        for bad in ["", "AA", "AAECAwQFBgcICQoLDA0ODxA", "§"] {
            assert!(Key(bad.to_owned()).digest().is_none(), "{bad}");
        }
    }
}
