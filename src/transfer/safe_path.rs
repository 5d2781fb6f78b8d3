//! The one place where a path from the other side becomes a path we write to.
//!
//! Three file tools had this fixed and reopened by a second code path (`zip`, `--output`, Windows),
//! so there is one function, one type and one table of tests: nothing else in the library makes a
//! [`SafePath`], and the receiver opens nothing that is not one.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::display::{display_name, is_bidi_control};

const MAX_PATH: usize = 4096;
const MAX_DEPTH: usize = 64;
const MAX_COMPONENT: usize = 255;

/// Where receivers keep unfinished transfers; a sender has no business there.
pub(super) const STAGING: &str = ".peerline";

/// A relative `/`-separated path that stays below the directory it is joined to, and means the same
/// file on every platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafePath(Box<str>);

/// Why a path is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No characters.
    #[error("it is empty")]
    Empty,
    /// Begins with `/`.
    #[error("it is absolute")]
    Absolute,
    /// More than 4096 bytes.
    #[error("it is longer than {MAX_PATH} bytes")]
    TooLong,
    /// More than 64 components.
    #[error("it is deeper than {MAX_DEPTH} directories")]
    TooDeep,
    /// `a//b` or `a/`.
    #[error("it has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("it has a component `.` or `..`")]
    Dots,
    /// A component of more than 255 bytes.
    #[error("a component is longer than {MAX_COMPONENT} bytes")]
    LongComponent,
    /// Windows drops these silently.
    #[error("a component ends in a dot or a space")]
    Trailing,
    /// Windows opens the device, whatever the extension.
    #[error("a component is a device name on Windows")]
    Device,
    /// A separator, a drive or a stream on Windows; an invisible or misleading character.
    #[error("it holds the character {0:?}, which is not allowed")]
    Character(char),
    /// `.peerline`.
    #[error("`{STAGING}` is where receivers keep unfinished transfers")]
    Reserved,
    /// Not UTF-8; only names on a local disk can be that.
    #[error("it is not valid UTF-8")]
    NotUtf8,
}

impl SafePath {
    /// Checks a path by the rules of section 5.3 that concern one path alone.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        let mut depth = 0;
        for component in path.split('/') {
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(PathError::TooDeep);
            }
            check_component(component)?;
        }
        Ok(Self(path.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components, one or more.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component.
    pub fn top(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(top, _)| top)
    }

    /// The directory that holds it, if it is not at the top, and its name in there.
    pub fn split(&self) -> (Option<&str>, &str) {
        self.0
            .rsplit_once('/')
            .map_or((None, &*self.0), |(parent, name)| (Some(parent), name))
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display_name(&self.0, MAX_PATH))
    }
}

fn check_component(component: &str) -> Result<(), PathError> {
    match component {
        "" => return Err(PathError::EmptyComponent),
        "." | ".." => return Err(PathError::Dots),
        _ => {}
    }
    if component.len() > MAX_COMPONENT {
        return Err(PathError::LongComponent);
    }
    let forbidden =
        |c: &char| matches!(c, '\\' | ':' | '\u{FFFD}') || c.is_control() || is_bidi_control(*c);
    if let Some(c) = component.chars().find(forbidden) {
        return Err(PathError::Character(c));
    }
    if component.ends_with(['.', ' ']) {
        return Err(PathError::Trailing);
    }
    if is_device(component) {
        return Err(PathError::Device);
    }
    if fold(component) == STAGING {
        return Err(PathError::Reserved);
    }
    Ok(())
}

/// `CON`, `nul.txt`, `Com1 .log`, `LPT².x`.
fn is_device(component: &str) -> bool {
    let stem = component
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") {
        return true;
    }
    let port = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|port| {
        let mut digits = port.chars();
        matches!(
            (digits.next(), digits.next()),
            (Some('1'..='9' | '¹' | '²' | '³'), None)
        )
    })
}

/// One form for all spellings that a file system without case or with normalisation takes for one
/// name. Upper case then lower case of every character is Unicode's full case folding, except that
/// it does not tell `ı` from `i`, so that one is kept apart.
pub(super) fn fold(component: &str) -> String {
    if component.is_ascii() {
        return component.to_ascii_lowercase();
    }
    let folded = component.nfd().flat_map(|c| {
        let dotless = (c == 'ı').then_some(c);
        let other = (c != 'ı').then(|| c.to_uppercase().flat_map(char::to_lowercase));
        dotless.into_iter().chain(other.into_iter().flatten())
    });
    folded.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn the_table() {
        let deep = vec!["d"; 1000].join("/");
        let just_deep = vec!["d"; 64].join("/");
        let long = "n".repeat(300);
        let just_long = "n".repeat(255);
        let wide = vec!["n".repeat(255); 17].join("/");
        for (path, expected) in [
            ("a", None),
            ("a/b.txt", None),
            (".hidden", None),
            ("a b/c", None),
            ("...a", None),
            ("con1", None),
            ("COM0", None),
            ("COM10", None),
            ("console.log", None),
            ("aux-1", None),
            ("lpt", None),
            ("été/日本語/😀", None),
            ("-rf", None),
            ("~", None),
            ("%2e%2e", None),
            ("*?\"<>|", None),
            (".peerlines", None),
            (&just_deep, None),
            (&just_long, None),
            ("../x", Some(PathError::Dots)),
            ("/etc/passwd", Some(PathError::Absolute)),
            ("a/../../b", Some(PathError::Dots)),
            ("..\\x", Some(PathError::Character('\\'))),
            ("C:\\x", Some(PathError::Character(':'))),
            ("C:/x", Some(PathError::Character(':'))),
            ("\\\\host\\share", Some(PathError::Character('\\'))),
            ("//host/share", Some(PathError::Absolute)),
            ("x\0y", Some(PathError::Character('\0'))),
            ("x\ny", Some(PathError::Character('\n'))),
            ("\x1b[2J", Some(PathError::Character('\x1b'))),
            ("a\u{7f}", Some(PathError::Character('\u{7f}'))),
            ("a\u{9b}31m", Some(PathError::Character('\u{9b}'))),
            ("exe\u{202e}gpj", Some(PathError::Character('\u{202e}'))),
            ("\u{2069}a", Some(PathError::Character('\u{2069}'))),
            ("a\u{200f}b", Some(PathError::Character('\u{200f}'))),
            ("a\u{61c}b", Some(PathError::Character('\u{61c}'))),
            ("a\u{fffd}b", Some(PathError::Character('\u{fffd}'))),
            (&long, Some(PathError::LongComponent)),
            (&deep, Some(PathError::TooDeep)),
            (&wide, Some(PathError::TooLong)),
            (".", Some(PathError::Dots)),
            ("..", Some(PathError::Dots)),
            ("a/.", Some(PathError::Dots)),
            ("", Some(PathError::Empty)),
            (" ", Some(PathError::Trailing)),
            ("a/ /b", Some(PathError::Trailing)),
            ("a.", Some(PathError::Trailing)),
            ("...", Some(PathError::Trailing)),
            ("a./b", Some(PathError::Trailing)),
            ("a//b", Some(PathError::EmptyComponent)),
            ("a/", Some(PathError::EmptyComponent)),
            ("CON", Some(PathError::Device)),
            ("a/nul", Some(PathError::Device)),
            ("com1.txt", Some(PathError::Device)),
            ("Aux.tar.gz", Some(PathError::Device)),
            ("con .txt", Some(PathError::Device)),
            ("LPT²", Some(PathError::Device)),
            ("com¹.log/x", Some(PathError::Device)),
            ("file:stream", Some(PathError::Character(':'))),
            (".peerline", Some(PathError::Reserved)),
            ("a/.Peerline/x", Some(PathError::Reserved)),
        ] {
            assert_eq!(SafePath::parse(path).err(), expected, "{path:?}");
        }
    }

    #[test]
    fn folding_joins_what_file_systems_join() {
        for (one, other) in [
            ("README", "readme"),
            ("é", "e\u{301}"),
            ("É", "e\u{301}"),
            ("straße", "STRASSE"),
            ("ΣΑΣ", "σας"),
            ("\u{212a}", "k"),
            ("ﬁ", "FI"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("ı", "i"), ("é", "e"), ("a", "b")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    /// Where Windows would end up: both separators, drives, dots, and names it trims.
    fn stays_below_on_windows(path: &str) -> bool {
        let mut depth = 0;
        for component in path.split(['/', '\\']) {
            let trimmed = component.trim_end_matches(['.', ' ']);
            if trimmed.is_empty() || trimmed != component || component.contains([':', '\0']) {
                return false;
            }
            depth += 1;
        }
        depth > 0
    }

    fn any_path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just(String::new()),
            Just("C:".to_owned()),
            Just("con".to_owned()),
            "[a-zA-Z0-9. \\\\:/]{0,8}",
            any::<String>(),
        ];
        let separator = prop_oneof![Just("/"), Just("\\"), Just("//")];
        proptest::collection::vec((part, separator), 0..8).prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(p, s)| [p, s.to_owned()])
                .collect()
        })
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_below_its_root(path in any_path(), trim in any::<bool>()) {
            let path = if trim { path.trim_end_matches(['/', '\\']) } else { &path };
            if let Ok(safe) = SafePath::parse(path) {
                let joined = Path::new("/root/dir").join(safe.as_str());
                prop_assert!(joined.starts_with("/root/dir"));
                let inside = joined.strip_prefix("/root/dir").unwrap();
                prop_assert!(inside.components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(inside.components().count(), safe.components().count());
                prop_assert!(stays_below_on_windows(safe.as_str()));
            }
        }

        #[test]
        fn ordinary_names_are_accepted(path in "[a-z0-9_-]{4,20}(/[a-z0-9_-]{4,20}){0,5}") {
            prop_assert!(SafePath::parse(&path).is_ok());
        }
    }
}
