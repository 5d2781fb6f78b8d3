//! One layer of a track, and which of them a receiver gets.

use super::cache::Cache;
use super::keys::KeyRequests;
use super::numbering::{Source, Unwrap};
use super::subscription::Subscription;
use std::time::{Duration, Instant};

/// A layer that says nothing for so long is not being sent: browsers stop the larger ones when their path is bad. They
/// may go on with padding on its stream, to find out what the path can take.
const SILENCE: Duration = Duration::from_millis(1_500);

/// How old the key frame may be at which a late receiver begins. More would be a burst for its path, and a receiver that
/// plays faster to catch up shows it.
pub(super) const REPLAY: Duration = Duration::from_millis(600);

/// Bytes of such a burst.
const REPLAY_BYTES: usize = 256 << 10;

/// A stream of the publisher.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) source: Source,
    pub(super) unwrap: Unwrap,
    pub(super) cache: Cache,
    pub(super) keys: KeyRequests,
    /// First packet and timestamp of the newest key frame.
    pub(super) key: Option<(i64, u32)>,
    /// Of its pictures, once a key frame told it.
    pub(super) rows: u32,
    /// When something other than padding came last.
    pub(super) heard: Option<Instant>,
}

impl Layer {
    pub(super) fn new(ssrc: u32) -> Self {
        Self {
            source: Source {
                ssrc,
                generation: 0,
            },
            unwrap: Unwrap::default(),
            cache: Cache::default(),
            keys: KeyRequests::default(),
            key: None,
            rows: 0,
            heard: None,
        }
    }

    pub(super) fn is_sent(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE)
    }

    /// The first packet of a key frame at which somebody can begin now.
    pub(super) fn fresh_key(&self, now: Instant) -> Option<i64> {
        let (number, _) = self.key?;
        let held = self.cache.get(number)?;
        let is_fresh = now.saturating_duration_since(held.arrived) < REPLAY;
        let bytes: usize = self
            .cache
            .since(number)
            .map(|(_, held)| held.packet.payload.len())
            .sum();
        (is_fresh && bytes <= REPLAY_BYTES).then_some(number)
    }
}

/// The layers that are sent now, from the smallest to the largest: their SSRCs and rows.
pub(super) struct Wanted(Vec<(u32, u32)>);

impl Wanted {
    pub(super) fn of(layers: &[Layer], now: Instant) -> Self {
        let sent = layers.iter().filter(|layer| layer.is_sent(now));
        let mut sent: Vec<_> = sent.map(|layer| (layer.source.ssrc, layer.rows)).collect();
        // Stable: of two that are the same size, the newer one is better.
        sent.sort_by_key(|(_, rows)| *rows);
        Self(sent)
    }

    pub(super) fn by(&self, subscription: &Subscription) -> Option<u32> {
        let Self(sent) = self;
        let fits = |rows: u32| subscription.wish == 0 || rows <= subscription.wish;
        // The smallest one fits always.
        let best = sent.iter().rposition(|(_, rows)| fits(*rows)).unwrap_or(0);
        let index = best.saturating_sub(subscription.choice.below(sent.len()));
        sent.get(index).map(|(ssrc, _)| *ssrc)
    }
}
