//! What happens in a room, for who shows it.

use super::message::Kind;
use super::name::Name;

/// A message of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What its sender was called then.
    pub name: Name,
    /// When it was sent, in milliseconds since 1970, by the clock of its sender.
    pub at: u64,
    /// What kind of message it is.
    pub kind: Kind,
    /// The text: up to [`MAX_TEXT`](super::MAX_TEXT) bytes of anything.
    pub text: String,
    /// Whether it was said before this side came for the first time.
    pub old: bool,
}

/// Something happened in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This side is in the room, for the first time or again.
    Entered {
        /// What it is called there: not what it wanted, if somebody else is.
        name: Name,
        /// The others.
        others: Vec<Name>,
        /// How many messages of before it came follow.
        old: u64,
        /// How many messages it has missed that are not kept any more.
        missed: u64,
    },
    /// Somebody said something. Each message comes once, and those of one sender in the order in which they were sent.
    Said(Said),
    /// Somebody has come, or come back.
    Came(Name),
    /// Somebody cannot be reached; it may come back.
    Away(Name),
    /// Somebody has left.
    Left(Name),
    /// Somebody is called otherwise.
    Renamed {
        /// What it was called.
        from: Name,
        /// What it is called now.
        to: Name,
    },
    /// This side is called otherwise.
    Called(Name),
}
