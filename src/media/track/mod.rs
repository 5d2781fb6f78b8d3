//! Tracks of a session: what we send, what the peer sends.
//!
//! Each track has a task that moves its packets and ends with the session. An [`OutgoingTrack`] takes whole
//! frames, an [`IncomingTrack`] gives whole frames; packets, their order and repetition, and requests for key
//! frames are dealt with in between.

mod board;
mod incoming;
mod outgoing;

pub(crate) use board::{Board, MAX_TRACKS, Wish, Wishes};
pub use incoming::{IncomingCounts, IncomingTrack, Received, SenderClock};
pub use outgoing::{OutgoingCounts, OutgoingTrack, Sending};
