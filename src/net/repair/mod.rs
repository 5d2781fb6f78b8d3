//! Repairs losses below SCTP, between two of our own peers whose path is long.
//!
//! SCTP's congestion control in the engine is Reno's: every lost datagram halves its window, so a path of 100 ms
//! that loses one in a hundred carries 1.4 Mbit/s a lane, whatever it could (Mathis). The engine lets nobody
//! replace it. So who sends numbers its DTLS records and keeps them until they are acknowledged, what is
//! lost is sent again, and the receiver gives them to the engine in order: SCTP sees delay, not loss, and opens
//! its window. What is on the wire is then bounded by a congestion control of our own (`congestion`), which
//! tells full queues from random loss. `outgoing` and `incoming` are the two ends, pure like it; `wire` is the
//! format, and [`Repair`] the edge. The reasons are in `docs/architecture.md`, the wire in `docs/protocol.md` 3.8.

mod congestion;
mod edge;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod incoming;
mod outgoing;
mod round_trip;
#[cfg(test)]
mod simulation;
mod wire;

pub(crate) use edge::Repair;
pub(crate) use wire::{RepairKey, Way};

use std::time::Duration;

/// Bytes before each record: the size of what the engine may send is that much smaller.
pub(crate) const OVERHEAD: u16 = wire::HEADER as u16;

/// Round trip from which a lane is repaired. At 5 ms Reno still carries 28 Mbit/s a lane at 1 %; below that a
/// repair would gain little and cost every short path its copies and acknowledgements.
pub(crate) const LONG: Duration = Duration::from_millis(5);

/// Bytes that either end keeps: SCTP's window, and what it repeats of it. Beyond it the sender drops what is
/// new, as a router does, and the receiver gives up what it waits for.
const KEPT: usize = 4 << 20;

/// What a record counts for besides its bytes.
const RECORD_COST: usize = 64;
