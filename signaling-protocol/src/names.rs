//! Names that cannot be wrong: they are only made by parsing.

use crate::limits::{PEER_ID_BYTES, PEER_NAME_CHARS, ROOM_NAME_BYTES};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// A name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a room name.
    #[error(
        "a room name is 1 to {ROOM_NAME_BYTES} characters of A-Z a-z 0-9 . _ ~ - and starts with \
         a letter or digit"
    )]
    Room,
    /// Not a peer id.
    #[error("a peer id is 1 to {PEER_ID_BYTES} characters of A-Z a-z 0-9 _ -")]
    PeerId,
    /// Not a name for a peer.
    #[error("a peer's name is 1 to {PEER_NAME_CHARS} characters without control characters")]
    PeerName,
}

/// The name of a room: `[A-Za-z0-9][A-Za-z0-9._~-]{0,63}`, so that it needs no escaping in a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(Arc<str>);

/// The id of a peer in its room, made by the server: `[A-Za-z0-9_-]{1,32}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(Arc<str>);

/// What a peer calls itself: 1 to 64 Unicode scalar values, none of them a control character. Other
/// characters (bidirectional ones, for example) can still deceive a terminal: clean before showing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerName(Arc<str>);

impl RoomName {
    const ERROR: NameError = NameError::Room;

    fn allows(text: &str) -> bool {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        text.len() <= ROOM_NAME_BYTES
            && text
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().all(rest)
    }
}

impl PeerId {
    const ERROR: NameError = NameError::PeerId;

    fn allows(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        (1..=PEER_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
    }
}

impl PeerName {
    const ERROR: NameError = NameError::PeerName;

    fn allows(text: &str) -> bool {
        // One more than allowed is enough to know; a name of 64 KiB is not counted to its end.
        let count = text.chars().take(PEER_NAME_CHARS + 1).count();
        (1..=PEER_NAME_CHARS).contains(&count) && !text.chars().any(char::is_control)
    }
}

macro_rules! parsed_text {
    ($type:ident) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if !Self::allows(text) {
                    return Err(Self::ERROR);
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

parsed_text!(RoomName);
parsed_text!(PeerId);
parsed_text!(PeerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names() {
        let longest = "r".repeat(64);
        for good in ["7", "lobby", "a.b_c~d-e", "0-", &longest] {
            assert_eq!(good.parse::<RoomName>().unwrap().as_str(), good);
        }
        let long = "r".repeat(65);
        let huge = "r".repeat(1 << 20);
        for bad in [
            "",
            "-a",
            ".a",
            "..",
            "../",
            "a/b",
            "a b",
            "a\0",
            "é",
            "🦀",
            "a\u{202e}b",
            &long,
            &huge,
        ] {
            assert_eq!(bad.parse::<RoomName>(), Err(NameError::Room), "{bad:.20}");
        }
    }

    #[test]
    fn peer_ids() {
        let longest = "p".repeat(32);
        for good in ["1", "-_", &longest] {
            assert_eq!(good.parse::<PeerId>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "é", &"p".repeat(33)] {
            assert_eq!(bad.parse::<PeerId>(), Err(NameError::PeerId), "{bad}");
        }
    }

    #[test]
    fn peer_names_count_characters_not_bytes() {
        let longest = "🦀".repeat(64);
        for good in ["Ada", " ", "日本", &longest] {
            assert_eq!(good.parse::<PeerName>().unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{7f}", "\u{9b}31m", "a\0", &"🦀".repeat(65)] {
            assert_eq!(bad.parse::<PeerName>(), Err(NameError::PeerName), "{bad}");
        }
    }
}
