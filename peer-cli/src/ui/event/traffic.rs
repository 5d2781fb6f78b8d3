//! What travelled both ways, as the last line of a command that moves bytes tells it.

use std::time::Duration;

use serde::Serialize;

use super::Route;

/// Bytes in both directions, and how long it took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Traffic {
    /// Both directions together.
    bytes: u64,
    /// To the other side.
    pub(super) sent: u64,
    /// From the other side.
    pub(super) received: u64,
    /// Since it was connected.
    pub(super) seconds: f64,
    /// Both directions, bytes a second.
    pub(super) rate: f64,
    /// Direct or relayed.
    pub(super) path: Route,
}

impl Traffic {
    /// `sent` and `received` bytes in `took`.
    pub(crate) fn new(sent: u64, received: u64, took: Duration, path: Route) -> Self {
        let (bytes, seconds) = (sent + received, took.as_secs_f64());
        Self {
            bytes,
            sent,
            received,
            seconds,
            rate: bytes as f64 / seconds.max(f64::EPSILON),
            path,
        }
    }
}
