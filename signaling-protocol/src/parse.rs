//! From text to a message, with one stable code for each way in which it can be wrong.

use crate::{ErrorCode, RoomName, limits::JSON_DEPTH};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::error::Category;
use std::borrow::Cow;

/// Longest explanation from the JSON library that is kept: it can quote the sender's own text,
/// which must not come back at full size.
const REASON_CHARS: usize = 200;

/// A text frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a JSON object, or nested too deep.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// No `type`, or an unknown one.
    #[error("{0}")]
    Type(&'static str),
    /// A known type with a missing or malformed field.
    #[error("malformed `{kind}`: {reason}")]
    Message {
        /// The type.
        kind: &'static str,
        /// The field and what is wrong with it.
        reason: String,
    },
    /// A room name outside the allowed set.
    #[error(transparent)]
    Room(crate::NameError),
}

impl ParseError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Json(_) => ErrorCode::BadJson,
            Self::Type(_) => ErrorCode::BadType,
            Self::Message { .. } => ErrorCode::BadMessage,
            Self::Room(_) => ErrorCode::BadRoom,
        }
    }
}

pub(crate) fn message<T: DeserializeOwned>(
    text: &str,
    types: &'static [&'static str],
) -> Result<T, ParseError> {
    if is_deeper_than(text, JSON_DEPTH) {
        return Err(ParseError::Json(format!("nested deeper than {JSON_DEPTH}")));
    }
    // Derived code would read an array as a struct's fields in order.
    if !text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{')
    {
        return Err(ParseError::Json("it does not start with {".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| explain(text, types, &error))
}

pub(crate) fn to_json<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("all map keys of a message are strings")
}

/// The `seq` of a text that was already read as a message.
pub(crate) fn sequence(text: &str) -> Result<Option<u64>, ParseError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        seq: Option<u64>,
    }
    match serde_json::from_str(text) {
        Ok(Head { seq }) => Ok(seq),
        Err(error) => Err(ParseError::Message {
            kind: "seq",
            reason: shorten(&error),
        }),
    }
}

/// Finds out what kind of wrong a text is that is no message.
fn explain(text: &str, types: &'static [&'static str], error: &serde_json::Error) -> ParseError {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Option<Kind<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kind<'a> {
        #[serde(borrow)]
        Text(Cow<'a, str>),
        Other(serde::de::IgnoredAny),
    }
    #[derive(Deserialize)]
    struct Room<'a> {
        #[serde(borrow, default)]
        room: Option<Cow<'a, str>>,
    }

    let object = text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{');
    if !object || error.classify() != Category::Data {
        return ParseError::Json(shorten(error));
    }
    let kind = match serde_json::from_str(text) {
        Ok(Head {
            kind: Some(Kind::Text(kind)),
        }) => kind,
        Ok(Head {
            kind: Some(Kind::Other(_)),
        }) => return ParseError::Type("`type` is not a string"),
        Ok(Head { kind: None }) => return ParseError::Type("no `type`"),
        // `type` twice, or an error behind the one that stopped the first reading.
        Err(second) => return ParseError::Json(shorten(&second)),
    };
    let Some(kind) = types.iter().find(|known| **known == kind) else {
        return ParseError::Type("unknown `type`");
    };
    if let Ok(Room { room: Some(room) }) = serde_json::from_str(text)
        && let Err(error) = room.parse::<RoomName>()
    {
        return ParseError::Room(error);
    }
    ParseError::Message {
        kind,
        reason: shorten(error),
    }
}

fn shorten(error: &serde_json::Error) -> String {
    error.to_string().chars().take(REASON_CHARS).collect()
}

/// Whether brackets outside strings nest deeper than `limit`. Text that is not JSON may be judged
/// either way; it is refused all the same.
pub(crate) fn is_deeper_than(text: &str, limit: usize) -> bool {
    // Nearly every message has so few brackets that their places do not matter, and counting is many times
    // as fast.
    let opening = |byte: &u8| matches!(byte, b'{' | b'[');
    if text.as_bytes().iter().filter(|byte| opening(byte)).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientMessage, ServerMessage};

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let rows: [(&str, usize); 6] = [
            ("1", 0),
            ("{}", 1),
            ("[{}]", 2),
            (r#"["[[[["]"#, 1),
            (r#"["\"[["]"#, 1),
            ("[][]", 1),
        ];
        for (text, depth) in rows {
            assert!(!is_deeper_than(text, depth), "{text}");
            assert!(depth == 0 || is_deeper_than(text, depth - 1), "{text}");
        }
    }

    #[test]
    fn the_lists_of_types_hold_only_what_the_enums_know() {
        fn check(kind: &str, error: Option<ParseError>) {
            let unknown = error.is_some_and(|error| {
                error.code() == ErrorCode::BadType || error.to_string().contains("unknown variant")
            });
            assert!(!unknown, "{kind}");
        }
        for kind in ClientMessage::TYPES {
            check(
                kind,
                ClientMessage::parse(&format!(r#"{{"type":"{kind}"}}"#)).err(),
            );
        }
        for kind in ServerMessage::TYPES {
            check(
                kind,
                ServerMessage::parse(&format!(r#"{{"type":"{kind}"}}"#)).err(),
            );
        }
    }

    #[test]
    fn an_explanation_is_short() {
        let text = format!(
            r#"{{"type":"chat","content":{{"{}":1}}}}"#,
            "x".repeat(60_000)
        );
        let error = ClientMessage::parse(&text).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BadMessage);
        assert!(error.to_string().len() < 1000);
    }
}
