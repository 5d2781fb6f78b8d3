//! The newest packets of one stream: for whoever lost one, and for whoever comes late. It also knows what came before,
//! so that nothing is forwarded twice.
//!
//! Payloads are shared with the packets that were sent, so what is held costs its bytes once, however many receive it.

use crate::media::Packet;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a packet can be asked for: what comes later than this after a loss, nobody waits for any more.
pub(super) const AGE: Duration = Duration::from_secs(1);

/// Bytes that are held: a second of 16 Mbit/s. Faster streams are held for less.
pub(super) const BYTES: usize = 2 << 20;

/// What an entry costs besides its payload; packets that only probe have none.
const ENTRY: usize = 96;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) packet: Packet,
    pub(super) arrived: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    held: BTreeMap<i64, Held>,
    bytes: usize,
    /// Everything up to here is gone, and is not taken again.
    gone: Option<i64>,
}

impl Cache {
    /// Takes a packet under its number, counted without wrapping; `false` if it came before, or too late.
    pub(super) fn insert(&mut self, now: Instant, number: i64, packet: Packet) -> bool {
        let is_old = self.gone.is_some_and(|gone| number <= gone);
        if is_old || self.held.contains_key(&number) {
            return false;
        }
        self.bytes += packet.payload.len() + ENTRY;
        let arrived = now;
        self.held.insert(number, Held { packet, arrived });
        while let Some(first) = self.held.first_entry() {
            let is_last = *first.key() == number;
            let is_fresh = now.saturating_duration_since(first.get().arrived) < AGE;
            if is_last || (is_fresh && self.bytes <= BYTES) {
                break;
            }
            let (number, held) = first.remove_entry();
            self.bytes -= held.packet.payload.len() + ENTRY;
            self.gone = Some(number);
        }
        true
    }

    pub(super) fn get(&self, number: i64) -> Option<&Held> {
        self.held.get(&number)
    }

    /// What is held from this number on, in order.
    pub(super) fn since(&self, number: i64) -> impl Iterator<Item = (i64, &Held)> {
        self.held
            .range(number..)
            .map(|(number, held)| (*number, held))
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packet(length: usize) -> Packet {
        Packet {
            sequence: 0,
            timestamp: 0,
            marker: false,
            payload: Bytes::from(vec![0; length]),
        }
    }

    #[test]
    fn nothing_is_taken_twice_even_after_it_is_gone() {
        let start = Instant::now();
        let mut cache = Cache::default();
        assert!(cache.insert(start, 5, packet(1)));
        assert!(!cache.insert(start, 5, packet(1)));
        assert!(cache.insert(start, 4, packet(1)), "it was overtaken");
        let late = start + AGE;
        assert!(cache.insert(late, 6, packet(1)));
        assert!(cache.get(5).is_none());
        assert!(!cache.insert(late, 5, packet(1)));
    }

    #[test]
    fn bytes_are_bounded() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for number in 0..10_000 {
            cache.insert(now, number, packet(1_000));
            assert!(cache.bytes() <= BYTES);
        }
        assert!(cache.get(9_999).is_some());
        assert!(cache.get(7_000).is_none());
    }
}
