//! Tracks whose packets are passed on as they are.
//!
//! A peer's track is given packet by packet, in whatever order they come (`arriving`); a track of ours takes packets that
//! are numbered for it (`leaving`). Nothing is put in order or together here, and nothing is repeated: `forward::relay`
//! decides that.

mod arriving;
mod leaving;

pub(super) use arriving::follow;
pub use arriving::{Arrived, IncomingPackets};
pub use leaving::Feedback;
pub(super) use leaving::outgoing;
pub(crate) use leaving::{FeedbackSink, Leaving, OutgoingPackets};

/// Packets that wait to be passed on: a second of 5 Mbit/s. Whoever passes them on takes them at once.
const QUEUE: usize = 512;
