//! Codes: `7-crane-velvet-orbit`.

use super::words;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Letters and digits in the room of a code.
const MAX_ROOM: usize = 16;

/// No code is nearly as long; what is longer is refused unread.
const MAX_TEXT: usize = 256;

/// A room and three secret words. [`Display`](fmt::Display) shows the secret, `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    room: String,
    words: Zeroizing<[u16; 3]>,
}

/// Why a text is not a code. The messages are for the one who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Nothing was given.
    #[error("the code is empty; it looks like 7-crane-velvet-orbit")]
    Empty,
    /// Longer than any code.
    #[error("this is too long for a code; a code looks like 7-crane-velvet-orbit")]
    TooLong,
    /// Not a room and three words.
    #[error(
        "a code is a room and three words, as in 7-crane-velvet-orbit, but this has {found} part(s)"
    )]
    Parts {
        /// How many parts there are; 4 are right.
        found: usize,
    },
    /// The first part cannot be a room.
    #[error(
        "a code begins with its room: 1 to 16 letters and digits, as the 7 in 7-crane-velvet-orbit"
    )]
    Room,
    /// A word that is not on the list.
    #[error("word {position}, {}, is not one that codes are made of{}", shown(word), hint(*suggestion))]
    UnknownWord {
        /// 1 to 3.
        position: usize,
        /// What was read, in lower case.
        word: String,
        /// The word that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A link without `#` and a code behind it.
    #[error("this link has no code; the code is the part after #, so copy the whole link")]
    LinkWithoutCode,
}

impl Code {
    /// A new code for `room`, with 33 bits from the system's cryptographic generator.
    pub fn generate(room: &str) -> Result<Self, CodeError> {
        let words = std::array::from_fn(|_| rand::random_range(0..2048));
        Self::new(room, words)
    }

    fn new(room: &str, words: [u16; 3]) -> Result<Self, CodeError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if room.is_empty() || room.len() > MAX_ROOM || !room.bytes().all(allowed) {
            return Err(CodeError::Room);
        }
        Ok(Self {
            room: room.to_owned(),
            words: Zeroizing::new(words),
        })
    }

    /// The room's name on the server. Not secret.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The three words joined by `-`: the password of the key agreement.
    pub(super) fn password(&self) -> Zeroizing<String> {
        let [first, second, third] = self.words.map(words::word);
        Zeroizing::new(format!("{first}-{second}-{third}"))
    }
}

/// Reads a code as people type it: any case, `-`, space, `_` or `.` between the parts, each word cut to no
/// fewer than four letters.
impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_TEXT {
            return Err(CodeError::TooLong);
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let separates = |c: char| c.is_whitespace() || matches!(c, '-' | '_' | '.');
        let parts: Vec<&str> = text
            .split(separates)
            .filter(|part| !part.is_empty())
            .collect();
        let (room, typed) = match parts[..] {
            [] => return Err(CodeError::Empty),
            [room, first, second, third] => (room, [first, second, third]),
            _ => return Err(CodeError::Parts { found: parts.len() }),
        };
        let mut indexes = [0; 3];
        for (position, (index, word)) in (1..).zip(indexes.iter_mut().zip(typed)) {
            *index = words::index_of(word).ok_or_else(|| CodeError::UnknownWord {
                position,
                word: word.to_owned(),
                suggestion: words::nearest(word),
            })?;
        }
        Self::new(room, indexes)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.room, *self.password())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.room)
    }
}

/// A word as it may be shown on a terminal.
fn shown(word: &str) -> String {
    let start: String = word.chars().take(24).collect();
    format!("\"{}\"", start.escape_debug())
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|word| format!("; did you mean {word}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for text in [
            "7-crane-velvet-orbit",
            " 7 Crane VELVET orbit\n",
            "7_crane.velvet--orbit",
            "7-cran-velv-orbi",
            "7\u{a0}crane velve orbit",
        ] {
            let code: Code = text.parse().unwrap();
            assert_eq!(code.to_string(), "7-crane-velvet-orbit", "{text:?}");
            assert_eq!(code.room(), "7");
        }
    }

    #[test]
    fn a_wrong_code_is_refused_with_what_is_wrong() {
        let cases = [
            ("", "empty"),
            (" - ", "empty"),
            ("7-crane-velvet", "3 part(s)"),
            ("crane-velvet-orbit-7", "word 3, \"7\""),
            ("7-crane-velvet-orbit-zoo", "5 part(s)"),
            (
                "7-crane-velvit-orbit",
                "word 2, \"velvit\", is not one that codes are made of; did you mean velvet?",
            ),
            ("7-crane-\u{1b}[2J-orbit", "\\u{1b}[2j"),
            ("é-crane-velvet-orbit", "begins with its room"),
            (
                "12345678901234567-crane-velvet-orbit",
                "begins with its room",
            ),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Code>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert_eq!("a".repeat(300).parse::<Code>(), Err(CodeError::TooLong));
    }

    #[test]
    fn debug_does_not_show_the_words() {
        let code: Code = "7-crane-velvet-orbit".parse().unwrap();
        assert_eq!(format!("{code:?}"), "Code(7-…)");
    }

    #[test]
    fn generated_codes_differ_and_bad_rooms_are_refused() {
        let codes: Vec<String> = (0..20)
            .map(|_| Code::generate("42").unwrap().to_string())
            .collect();
        assert!(codes.iter().any(|code| code != &codes[0]));
        assert_eq!(Code::generate("Room"), Err(CodeError::Room));
        assert_eq!(Code::generate(""), Err(CodeError::Room));
    }

    proptest! {
        #[test]
        fn every_code_survives_being_shown_and_read(
            room in "[a-z0-9]{1,16}",
            words in prop::array::uniform3(0u16..2048),
        ) {
            let code = Code::new(&room, words).unwrap();
            prop_assert_eq!(code.to_string().parse(), Ok(code));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            if let Err(error) = text.parse::<Code>() {
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
