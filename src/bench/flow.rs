//! The load: made-up messages on lanes of their own, and what arrives of them.

use super::LANE_PROTOCOL;
use super::message::Step;
use crate::channel::{Channel, FULL_MESSAGE};
use crate::session::LaneOpener;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What was sent.
pub(super) struct Sent {
    /// To be dropped, and so closed, when the other side has counted what came: the end of a channel can overtake that.
    pub(super) lanes: Lanes,
    pub(super) bytes: u64,
    /// The largest datagrams of the lane with the smallest.
    pub(super) packet: u16,
}

/// The lanes of one step, open and about to be used.
pub(super) struct Lanes(Vec<Channel>);

/// Opens the lanes of `step`. The error is for people on both sides.
pub(super) async fn open(opener: &LaneOpener, step: &Step) -> Result<Lanes, String> {
    let opening = (0..step.lanes)
        .map(|lane| opener.open_within(step.label(lane), LANE_PROTOCOL, step.most()));
    let lanes = try_join_all(opening).await;
    lanes
        .map(Lanes)
        .map_err(|error| format!("a lane could not be opened: {error}"))
}

impl Lanes {
    /// Sends on all of them until `duration` is over.
    pub(super) async fn pour(self, duration: Duration) -> Result<Sent, String> {
        let until = Instant::now() + duration;
        let packets = self.0.iter().filter_map(Channel::packet_size);
        let packet = packets.min().unwrap_or_default();
        // One task each, so that they do not wait for one another.
        let mut pouring = JoinSet::new();
        for lane in self.0 {
            pouring.spawn(fill(lane, until));
        }
        let (mut bytes, mut lanes) = (0, Vec::new());
        while let Some(poured) = pouring.join_next().await {
            let Ok(Some((lane, poured))) = poured else {
                return Err("a lane broke".to_owned());
            };
            bytes += poured;
            lanes.push(lane);
        }
        let lanes = Self(lanes);
        Ok(Sent {
            lanes,
            bytes,
            packet,
        })
    }
}

/// The lane and how much it took; `None` if it broke.
async fn fill(lane: Channel, until: Instant) -> Option<(Channel, u64)> {
    // Zeros: everything is encrypted, so nothing on the way can make them shorter.
    let block = Bytes::from_static(&[0; FULL_MESSAGE]);
    let mut bytes = 0;
    while Instant::now() < until {
        lane.send(block.clone()).await.ok()?;
        bytes += FULL_MESSAGE as u64;
    }
    Some((lane, bytes))
}

/// What arrives on the lanes of one step, which all count here.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    bytes: AtomicU64,
    /// When the first and the last message came, in microseconds since `start`.
    first: AtomicU64,
    last: AtomicU64,
    changed: Notify,
}

impl Tally {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            bytes: AtomicU64::new(0),
            first: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    fn count(&self, now: Instant, bytes: usize) {
        let micros = now.saturating_duration_since(self.start).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.first.fetch_min(micros, Ordering::Relaxed);
        self.last.fetch_max(micros, Ordering::Relaxed);
        // What is counted here was timed before.
        self.bytes.fetch_add(bytes as u64, Ordering::Release);
        self.changed.notify_one();
    }

    /// So far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Waits until more may have come. To be awaited in one place.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// From the first message to the last, at least 1.
    pub(super) fn micros(&self) -> u64 {
        let last = self.last.load(Ordering::Relaxed);
        last.saturating_sub(self.first.load(Ordering::Relaxed))
            .max(1)
    }
}

/// Counts what a lane brings, until it closes.
pub(super) async fn count(mut lane: Channel, tally: Arc<Tally>) {
    while let Some(message) = lane.recv().await {
        tally.count(Instant::now(), message.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_count_together() {
        let start = Instant::now();
        let tally = Tally::new(start);
        assert_eq!(
            (tally.bytes(), tally.micros()),
            (0, 1),
            "never a division by 0"
        );
        tally.count(start + Duration::from_millis(10), 1000);
        assert_eq!((tally.bytes(), tally.micros()), (1000, 1));
        for millis in [30, 5, 20] {
            tally.count(start + Duration::from_millis(millis), 1000);
        }
        assert_eq!((tally.bytes(), tally.micros()), (4000, 25_000));
    }
}
