//! Puts the packets of one stream back in order, each once.
//!
//! Pure. Packets overtake each other, come twice, and come again because they were asked for (NACK, five
//! tries 40 ms apart). What is missing is waited for that long and then reported as lost.

use super::packet::Packet;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a missing packet is waited for: its repetition is asked for five times within 200 ms.
const PATIENCE: Duration = Duration::from_millis(250);

/// Packets that are held while one is missing: a second of 10 Mbit/s. Beyond that it is lost.
const MOST: usize = 1024;

/// A jump further than this is another stream, or an attack (RFC 3550 appendix A.1).
const DROPOUT: i64 = 3000;

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next packet.
    Packet(Packet),
    /// So many are missing and will not come.
    Lost(u64),
}

/// How much was put in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came out.
    pub delivered: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came again, or too late.
    pub late: u64,
}

/// The buffer of one stream.
#[derive(Debug, Default)]
pub struct Reorder {
    /// The number that is due, counted without wrapping.
    due: Option<i64>,
    held: BTreeMap<i64, (Instant, Packet)>,
    /// What would follow a packet that is far off: two of them in a row are a new beginning.
    suspect: Option<u16>,
    counts: Counts,
}

impl Reorder {
    /// Takes a packet that arrived.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        let sequence = packet.sequence;
        let due = *self.due.get_or_insert(i64::from(sequence));
        let distance = i64::from(sequence.wrapping_sub(due as u16) as i16);
        if distance.abs() > DROPOUT {
            if self.suspect.replace(sequence.wrapping_add(1)) != Some(sequence) {
                return;
            }
            self.held.clear();
            self.due = Some(i64::from(sequence));
            self.held.insert(i64::from(sequence), (now, packet));
            return;
        }
        self.suspect = None;
        let number = due + distance;
        if distance < 0 || self.held.contains_key(&number) {
            self.counts.late += 1;
            return;
        }
        self.held.insert(number, (now, packet));
    }

    /// What is next, if it is known by now.
    pub fn pop(&mut self, now: Instant) -> Option<Arrival> {
        let due = self.due?;
        let (&first, &(since, _)) = self.held.first_key_value()?;
        if first > due {
            if now < since + PATIENCE && self.held.len() < MOST {
                return None;
            }
            let lost = (first - due).unsigned_abs();
            self.due = Some(first);
            self.counts.lost += lost;
            return Some(Arrival::Lost(lost));
        }
        let (_, (_, packet)) = self.held.pop_first()?;
        self.due = Some(due + 1);
        self.counts.delivered += 1;
        Some(Arrival::Packet(packet))
    }

    /// When [`pop`](Self::pop) has something without another packet.
    pub fn deadline(&self) -> Option<Instant> {
        let (_, (since, _)) = self.held.first_key_value()?;
        Some(*since + PATIENCE)
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> Packet {
        Packet {
            sequence,
            timestamp: 0,
            marker: false,
            payload: Bytes::new(),
        }
    }

    /// Pushes numbers 1 ms apart; a late look follows. `-n` in what comes out are n lost.
    fn run(numbers: &[u16]) -> Vec<i64> {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        let mut take = |reorder: &mut Reorder, now| {
            while let Some(arrival) = reorder.pop(now) {
                out.push(match arrival {
                    Arrival::Packet(packet) => i64::from(packet.sequence),
                    Arrival::Lost(count) => -(count as i64),
                });
            }
        };
        for (index, number) in numbers.iter().enumerate() {
            let now = start + Duration::from_millis(index as u64);
            reorder.push(now, packet(*number));
            take(&mut reorder, now);
        }
        take(&mut reorder, start + Duration::from_secs(10));
        out
    }

    #[test]
    fn order_is_restored_and_nothing_comes_twice() {
        let cases: &[(&[u16], &[i64])] = &[
            (&[1, 2, 3], &[1, 2, 3]),
            (&[1, 3, 2, 4], &[1, 2, 3, 4]),
            (&[1, 1, 2, 1, 2, 3], &[1, 2, 3]),
            (&[65_534, 65_535, 1, 0, 2], &[65_534, 65_535, 0, 1, 2]),
            (&[1, 4, 5], &[1, -2, 4, 5]),
            (&[10, 9, 11], &[10, 11]),
            // One stray packet far off is nothing, two in a row are a new stream.
            (&[1, 2, 30_000, 3, 4], &[1, 2, 3, 4]),
            (&[1, 2, 30_000, 30_001, 30_002], &[1, 2, 30_001, 30_002]),
        ];
        for (numbers, expected) in cases {
            assert_eq!(run(numbers), *expected, "{numbers:?}");
        }
    }

    #[test]
    fn a_missing_packet_is_waited_for_and_no_longer() {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(start, packet(1));
        assert_eq!(reorder.pop(start), Some(Arrival::Packet(packet(1))));
        assert_eq!(reorder.deadline(), None);
        reorder.push(start, packet(3));
        assert_eq!(reorder.pop(start), None);
        let deadline = reorder.deadline().unwrap();
        assert_eq!(deadline, start + PATIENCE);
        assert_eq!(reorder.pop(deadline), Some(Arrival::Lost(1)));
        assert_eq!(reorder.pop(deadline), Some(Arrival::Packet(packet(3))));
        // It comes after all.
        reorder.push(deadline, packet(2));
        assert_eq!(reorder.pop(deadline), None);
        let (delivered, lost, late) = (2, 1, 1);
        assert_eq!(
            reorder.counts(),
            Counts {
                delivered,
                lost,
                late
            }
        );
    }

    #[test]
    fn what_is_held_is_bounded() {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(start, packet(0));
        for number in 2..=MOST as u16 + 1 {
            reorder.push(start, packet(number));
        }
        assert_eq!(reorder.pop(start), Some(Arrival::Packet(packet(0))));
        assert_eq!(reorder.pop(start), Some(Arrival::Lost(1)));
    }

    proptest! {
        #[test]
        fn whatever_comes_numbers_only_grow(
            start in any::<u16>(),
            steps in proptest::collection::vec(-5i32..8, 0..300),
        ) {
            let mut number = i32::from(start);
            let numbers: Vec<u16> = steps
                .iter()
                .map(|step| {
                    number += step;
                    number as u16
                })
                .collect();
            let mut last: Option<u16> = None;
            let mut count = 0u64;
            for out in run(&numbers) {
                if out < 0 {
                    continue;
                }
                count += 1;
                let out = out as u16;
                if let Some(last) = last {
                    prop_assert!((out.wrapping_sub(last) as i16) > 0);
                }
                last = Some(out);
            }
            prop_assert!(count <= numbers.len() as u64);
        }
    }
}
