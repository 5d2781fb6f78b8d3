//! What a transfer needs to know of extra lanes: who opens them, and how many there shall be.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::session::OpenLane;

/// Most lanes of one transfer at a time, besides the first, which shares its connection with everything
/// else.
pub const MAX_LANES: u16 = 16;

/// What a receiver takes that gives on what it gets, in order: one that takes more than one extra lane would have blocks
/// of all of them come side by side.
pub(super) const IN_ORDER: u16 = 1;

/// How far behind the first block that such a receiver has not taken a sender begins another one, in bytes: it holds what
/// comes too early in memory (`docs/protocol.md` section 5.5).
pub(super) const MOST_AHEAD: u64 = 24 << 20;

/// How many lanes a transfer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaneCount {
    /// As many as raise its rate.
    #[default]
    Auto,
    /// This many.
    Exactly(u16),
}

/// How a sender's blocks travel.
pub struct Lanes {
    /// Opens them; without one there are none.
    pub opener: Option<Box<dyn OpenLane>>,
    /// How many there shall be.
    pub count: LaneCount,
    /// A packet's time to the other side and back: what is measured must be measured for longer.
    pub round_trip: Duration,
    /// Most bytes a second, of all lanes together: blocks and what is around them, before encryption.
    pub limit: Option<NonZeroU64>,
}

impl Lanes {
    /// No lane but the first.
    pub fn none() -> Self {
        Self {
            opener: None,
            count: LaneCount::Auto,
            round_trip: Duration::ZERO,
            limit: None,
        }
    }
}
