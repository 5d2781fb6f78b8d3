//! How good a line is: throughput each way and round trips, idle and under load (`docs/protocol.md`
//! section 8).
//!
//! [`lead`] decides what is measured and [`follow`] takes part; both end with the same [`Report`]s. What is
//! sent is made up and thrown away, on lanes of its own, and nothing touches a disk. A follower does what a
//! stranger says, so everything is bounded: how long one measurement takes, how many there are, and how
//! much is kept of each.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `message` | pure | the wire |
//! | `allowance` | pure | what a leader may ask for |
//! | `pings` | pure | when to ping, and what the answers come to |
//! | `flow` | task each lane | sends until the time is over; counts what arrives |
//! | `talk` | edge | the channel on which both sides talk |
//! | `conversation` | edge | one measurement, on either side |

mod allowance;
mod conversation;
mod error;
mod flow;
mod follower;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod leader;
mod message;
mod pings;
mod talk;

pub use error::BenchError;
pub use follower::follow;
pub use leader::{Plan, lead};
pub use message::{Latency, Report, Side, Step};

use crate::session::{Incoming, LaneOpener};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Protocol of the channel on which the two sides talk; the leader opens it.
pub const PROTOCOL: &str = "peerline-bench/1";

/// Its label.
pub const LABEL: &str = "bench";

/// Protocol of the lanes that carry the load.
const LANE_PROTOCOL: &str = "peerline-bench-lane/1";

/// The longest that one measurement may send.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What both sides need of their session.
#[derive(Debug)]
pub struct Ends {
    /// Opens lanes to send on.
    pub lanes: LaneOpener,
    /// The lanes that the peer opens.
    pub incoming: Incoming,
    /// Ends it.
    pub stop: CancellationToken,
}

/// What happens while it is measured.
#[derive(Debug)]
pub enum Event<'a> {
    /// Round trips of the idle line are measured.
    Idling,
    /// A measurement begins.
    Begun(&'a Step),
    /// Something was measured, or could not be.
    Report(&'a Report),
}
