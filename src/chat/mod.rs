//! Rooms in which several talk in text (`docs/protocol.md` section 10).
//!
//! One side hosts the room and everybody else comes to it, each over a session of its own; the host numbers what is
//! said and passes it on. Each message is kept until it was taken: a line that breaks, and a new one that a
//! guest comes back on, lose nothing and show nothing twice. The newest messages are kept as a history for those
//! who come later, as long as the room is there. Nothing that is kept grows without bound: who reads
//! nothing first slows the others down, and is then given up.
//!
//! Text and names come from others: [clean](crate::transfer::display_name) text before a terminal shows it.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `message`, `name` | pure | the wire, and what somebody may be called |
//! | `log` | pure | what was said, and what of it is kept |
//! | `roster` | pure | who is called what |
//! | `host` | pure | who is told what, and what it has taken |
//! | `guest` | pure | what was not taken yet, and what was shown already |
//! | `place` | lock, and a future for each line | moves messages between the two and their channels |

mod error;
mod event;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guest;
mod host;
mod log;
mod message;
mod name;
mod place;
#[cfg(test)]
mod place_tests;
mod roster;
mod side;
#[cfg(test)]
mod tests;

pub use error::ChatError;
pub use event::{Event, Said};
pub use message::{Kind, MAX_TEXT};
pub use name::Name;
pub use place::{Chat, Events, Line};

/// Protocol of the channel of a room; the guest of the session opens it.
pub const PROTOCOL: &str = "peerline-chat/1";

/// Its label.
pub const LABEL: &str = "chat";

/// How many can be in a room, its host not counted.
pub const MAX_GUESTS: usize = 64;
