//! Tracks of a session: what we send, what the peer sends.
//!
//! Each track has a task that moves its packets and ends with the session. An [`OutgoingTrack`] takes whole
//! frames, an [`IncomingTrack`] gives whole frames; packets, their order and repetition, and requests for key
//! frames are dealt with in between. [`IncomingPackets`] gives the packets themselves, to be passed on.

mod board;
mod incoming;
mod outgoing;
mod packets;

pub(crate) use board::{Board, MAX_TRACKS, Outlet, Wish, Wishes};
pub(crate) use incoming::FrameTap;
pub use incoming::{IncomingCounts, IncomingTrack, Received, SenderClock};
pub use outgoing::{OutgoingCounts, OutgoingTrack, Sending};
pub use packets::{Arrived, Feedback, IncomingPackets};
pub(crate) use packets::{FeedbackSink, Leaving, OutgoingPackets};

/// How the tracks of a session are exchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// As whole frames.
    #[default]
    Frames,
    /// Packet by packet, as they come, to be passed on.
    Packets,
}
