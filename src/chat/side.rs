//! What the two sides of a room have in common, for who moves their messages.

use super::error::ChatError;
use super::event::Event;
use super::message::{Kind, Message};
use super::name::Name;
use std::time::Instant;

/// One channel, as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(pub(super) u64);

/// The host of a room, or a guest: pure, with the time passed in.
pub(super) trait Side: Send + 'static {
    /// There is a new channel.
    fn link(&mut self, link: Link);

    /// A message has come.
    ///
    /// # Errors
    /// The line must end. Nothing has changed for the others.
    fn receive(
        &mut self,
        now: Instant,
        link: Link,
        message: Message,
    ) -> Result<Vec<Event>, ChatError>;

    /// The next message for this one, `None` if there is none now.
    ///
    /// # Errors
    /// The line must end.
    fn next(&mut self, now: Instant, link: Link) -> Result<Option<Message>, ChatError>;

    /// The channel has closed. Whether its guest is away or has left is said next.
    fn unlink(&mut self, now: Instant, link: Link);

    /// Whether the other side of a line can be reached, be it closed or not.
    fn reach(&mut self, link: Link, reachable: bool) -> Vec<Event>;

    /// Whoever had this line is not coming back.
    fn forget(&mut self, link: Link) -> Vec<Event>;

    /// Time has passed.
    fn tick(&mut self, now: Instant) -> Vec<Event>;

    /// Whether there is room for a message of our own.
    fn has_room(&self) -> bool;

    /// Takes a message of our own.
    fn say(&mut self, at: u64, kind: Kind, text: String);

    /// Wants to be called otherwise.
    fn rename(&mut self, name: &Name) -> Vec<Event>;

    /// How many messages of ours somebody lacks who is there, or may come back.
    fn unsettled(&self) -> u64;

    /// Those who are in the room, without ourselves.
    fn others(&self) -> Vec<Name>;
}
