//! The load: made-up messages on lanes of their own, and what arrives of them.

use super::LANE_PROTOCOL;
use super::message::Step;
use crate::channel::{Channel, FULL_MESSAGE};
use crate::session::LaneOpener;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
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
    /// Sends on all of them until `duration` is over. Their channels close when the other side has it all.
    pub(super) async fn pour(self, duration: Duration) -> Result<Sent, String> {
        let until = Instant::now() + duration;
        let packets = self.0.iter().filter_map(Channel::packet_size);
        let packet = packets.min().unwrap_or_default();
        // One task each, so that they do not wait for one another.
        let mut pouring = JoinSet::new();
        for lane in self.0 {
            pouring.spawn(fill(lane, until));
        }
        let mut bytes = 0;
        while let Some(poured) = pouring.join_next().await {
            match poured {
                Ok(Some(poured)) => bytes += poured,
                _ => return Err("a lane broke".to_owned()),
            }
        }
        Ok(Sent { bytes, packet })
    }
}

/// How much one lane took; `None` if it broke.
async fn fill(lane: Channel, until: Instant) -> Option<u64> {
    // Zeros: everything is encrypted, so nothing on the way can make them shorter.
    let block = Bytes::from_static(&[0; FULL_MESSAGE]);
    let mut bytes = 0;
    while Instant::now() < until {
        lane.send(block.clone()).await.ok()?;
        bytes += FULL_MESSAGE as u64;
    }
    Some(bytes)
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    /// When the first and the last message came.
    span: Option<(Instant, Instant)>,
}

impl Tally {
    fn count(&mut self, now: Instant, bytes: usize) {
        self.bytes += bytes as u64;
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    /// Both together.
    pub(super) fn with(self, other: Self) -> Self {
        let span = match (self.span, other.span) {
            (Some((first, last)), Some(more)) => Some((first.min(more.0), last.max(more.1))),
            (one, other) => one.or(other),
        };
        Self {
            bytes: self.bytes + other.bytes,
            span,
        }
    }

    /// From the first message to the last, at least 1.
    pub(super) fn micros(&self) -> u64 {
        let took = self
            .span
            .map_or(Duration::ZERO, |(first, last)| last - first);
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

/// Counts what a lane brings, until it closes.
pub(super) async fn count(mut lane: Channel) -> Tally {
    let mut tally = Tally::default();
    while let Some(message) = lane.recv().await {
        tally.count(Instant::now(), message.len());
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_over_lanes() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let tally = |times: &[u64]| {
            let mut tally = Tally::default();
            for time in times {
                tally.count(at(*time), 1000);
            }
            tally
        };
        let both = tally(&[10, 20]).with(tally(&[5, 30]));
        assert_eq!((both.bytes, both.micros()), (4000, 25_000));
        let one = tally(&[]).with(tally(&[7]));
        assert_eq!(
            (one.bytes, one.micros()),
            (1000, 1),
            "never a division by 0"
        );
    }
}
