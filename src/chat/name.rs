//! What somebody is called.

use crate::display::display_name;
use std::fmt;

/// Longest name, in columns of a terminal.
const WIDTH: usize = 32;

/// What somebody without a usable name is called.
const NOBODY: &str = "somebody";

/// A name that can be shown anywhere: one line of 1 to 32 columns, without controls and escape sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Makes a name of any text.
    pub fn new(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().take(WIDTH).collect();
        let name = display_name(&words.join(" "), WIDTH);
        match name.is_empty() {
            true => Self(NOBODY.to_owned()),
            false => Self(name),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether people would take one for the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }

    /// The same with a number, to tell two apart.
    pub(super) fn numbered(&self, number: usize) -> Self {
        let number = format!("-{number}");
        let name = display_name(&self.0, WIDTH - number.len());
        Self(name + &number)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_makes_a_name_that_is_harmless() {
        for (text, name) in [
            ("Åse", "Åse"),
            ("  two \t words\n", "two words"),
            ("", "somebody"),
            (" \r\n ", "somebody"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
        ] {
            assert_eq!(Name::new(text).as_str(), name, "{text:?}");
        }
        let long = Name::new(&"é".repeat(5000));
        assert_eq!(long.as_str().chars().count(), WIDTH);
        assert_eq!(long.numbered(2).as_str().chars().count(), WIDTH);
        assert!(long.numbered(12).as_str().ends_with("…-12"));
        assert!(Name::new("ANNA").is_like(&Name::new("anna")));
    }
}
