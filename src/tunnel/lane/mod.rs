//! Lanes of a tunnel (`docs/protocol.md` section 9.2): a direction with much to send goes through a connection of its
//! own, in larger packets than those of the session's. That connection may break at any time, so whatever goes through it is
//! kept until the other side has it, and otherwise sent again through the channel. `leaving` and `coming` decide and are pure.

mod coming;
mod leaving;
mod ours;
mod session;

pub(super) use coming::Coming;
pub(super) use leaving::{Leaving, Road};
pub(super) use ours::{Change, Ours};
pub use session::Lanes;
pub(super) use session::next;

/// Protocol of a lane's channel; its label is the number of the lane.
pub const PROTOCOL: &str = "peerline-tunnel-lane/1";

/// What a message counts for besides its content, so that many small ones do not count for nothing.
const MESSAGE: usize = 64;

/// Most that is kept of what went through a lane, of all streams together: what SCTP's window and the queues at both ends
/// hold, as the paths on which lanes pay are short.
const MOST_KEPT: usize = 4 << 20;

/// The other side is told what came each time it is this much more: a sixteenth of what it keeps at most.
const STEP: usize = 256 << 10;

#[cfg(test)]
mod tests;
