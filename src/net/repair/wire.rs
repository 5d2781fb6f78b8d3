//! The wire of numbered records and their acknowledgements.
//!
//! `0x0c || tag (8) || number (u32) || place (u32) || record`
//!
//! `0x0d || tag (8) || largest (u32) || delay (u16, 16 us) || length (u16) || { gap (u16) || length (u16) }`
//!
//! The first bytes are none of those that share the port with us (RFC 7983 section 7). `number` counts
//! datagrams, `place` records: a record that is sent again has its place and a new number, so acknowledgements
//! are never ambiguous (RFC 9002 section 2). Both are the last 32 bits of a larger counter. The tag is
//! HMAC-SHA256, cut to eight bytes, over the first byte, everything between tag and record, and the last 16
//! bytes of the record, which authenticate it to DTLS.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;
use std::time::Duration;

const DATA: u8 = 0x0c;
const ACK: u8 = 0x0d;

const TAG: usize = 8;

/// Bytes before a record.
pub(super) const HEADER: usize = 1 + TAG + 4 + 4;

/// Bytes of an acknowledgement up to its first length.
const ACK_HEADER: usize = 1 + TAG + 4 + 2;

/// The end of a record that the tag covers: GCM's and Poly1305's own tag.
const RECORD_TAG: usize = 16;

/// Ranges of an acknowledgement: at 1 % loss the last 3,200 datagrams.
pub(super) const RANGES: usize = 32;

/// A unit of the delay: the longest is about a second.
const DELAY_UNIT: Duration = Duration::from_micros(16);

/// Authenticates the numbers of one direction of a connection.
#[derive(Clone)]
pub(crate) struct RepairKey(Hmac<Sha256>);

impl std::fmt::Debug for RepairKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RepairKey")
    }
}

/// Whose records are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Those of the opener of this lane.
    Lane(u32),
    /// On the session's own connection, those of the side that made its first offer, and of the other.
    Offerer,
    Answerer,
}

impl RepairKey {
    /// The key of a way, from the session's key for probes.
    pub(crate) fn new(probe: &[u8; 32], way: Way) -> Self {
        let number = match way {
            Way::Lane(lane) => lane,
            Way::Offerer => u32::MAX - 1,
            Way::Answerer => u32::MAX,
        };
        let key = Sha256::new()
            .chain_update(b"peerline repair")
            .chain_update(probe)
            .chain_update(number.to_be_bytes())
            .finalize();
        Self(Hmac::new_from_slice(&key).expect("any length is a key"))
    }

    fn tag(&self, mark: u8, signed: &[u8], end: &[u8]) -> [u8; TAG] {
        let mac = self
            .0
            .clone()
            .chain_update([mark])
            .chain_update(signed)
            .chain_update(end)
            .finalize()
            .into_bytes();
        std::array::from_fn(|at| mac[at])
    }

    /// A tag of 64 bits is not found by trying, so comparing it in constant time is for form's sake.
    fn verifies(&self, datagram: &[u8], signed: &[u8], end: &[u8]) -> bool {
        let given = &datagram[1..1 + TAG];
        let right = self.tag(datagram[0], signed, end);
        given
            .iter()
            .zip(right)
            .fold(0, |different, (given, right)| different | (given ^ right))
            == 0
    }
}

/// Whether a datagram is one of ours, by its first byte.
pub(super) fn is_marked(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(&(DATA | ACK)))
}

/// What a marked datagram is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Data(Data<'a>),
    Ack(Ack),
}

/// A record, with the last 32 bits of its numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Data<'a> {
    pub(super) number: u32,
    pub(super) place: u32,
    pub(super) record: &'a [u8],
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ack {
    /// The last 32 bits of the largest number.
    pub(super) largest: u32,
    /// For how long the largest has been there.
    pub(super) delay: Duration,
    /// Received numbers as how far they are below the largest, nearest first, apart and never empty.
    pub(super) ranges: Vec<RangeInclusive<u32>>,
}

/// Appends a numbered record to `datagram`.
pub(super) fn encode_data(data: &Data<'_>, key: &RepairKey, datagram: &mut Vec<u8>) {
    let start = datagram.len();
    datagram.push(DATA);
    datagram.extend([0; TAG]);
    datagram.extend(data.number.to_be_bytes());
    datagram.extend(data.place.to_be_bytes());
    datagram.extend(data.record);
    let signed = &datagram[start + 1 + TAG..start + HEADER];
    let tag = key.tag(DATA, signed, end(data.record));
    datagram[start + 1..start + 1 + TAG].copy_from_slice(&tag);
}

fn end(record: &[u8]) -> &[u8] {
    &record[record.len().saturating_sub(RECORD_TAG)..]
}

impl Ack {
    pub(super) fn encode(&self, key: &RepairKey) -> Vec<u8> {
        let mut datagram = vec![ACK];
        datagram.extend([0; TAG]);
        datagram.extend(self.largest.to_be_bytes());
        let delay = self.delay.as_micros() / DELAY_UNIT.as_micros();
        datagram.extend(u16::try_from(delay).unwrap_or(u16::MAX).to_be_bytes());
        let mut before = None;
        for range in self.ranges.iter().take(RANGES) {
            if let Some(before) = before {
                let Ok(gap) = u16::try_from(range.start() - before - 2) else {
                    break;
                };
                datagram.extend(gap.to_be_bytes());
            }
            let length = range.end() - range.start();
            // Nobody has so much on its way: what is longer ends there.
            datagram.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            if length > u16::MAX.into() {
                break;
            }
            before = Some(*range.end());
        }
        let tag = key.tag(ACK, &datagram[1 + TAG..], &[]);
        datagram[1..1 + TAG].copy_from_slice(&tag);
        datagram
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (largest, rest) = body.split_first_chunk()?;
        let (delay, rest) = rest.split_first_chunk()?;
        let numbers = rest.chunks_exact(2);
        if !numbers.remainder().is_empty() || numbers.len() % 2 == 0 || numbers.len() > 2 * RANGES {
            return None;
        }
        let mut ranges = Vec::with_capacity(RANGES);
        let mut numbers = numbers.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let mut start = 0;
        while let Some(length) = numbers.next() {
            let end = start + length;
            ranges.push(start..=end);
            // At most 64 times 65,537: no overflow.
            start = end + 2 + numbers.next().unwrap_or(0);
        }
        Some(Self {
            largest: u32::from_be_bytes(*largest),
            delay: DELAY_UNIT * u16::from_be_bytes(*delay).into(),
            ranges,
        })
    }
}

/// Reads a marked datagram; `None` if it is not whole, or not from somebody with the key.
pub(super) fn decode<'a>(datagram: &'a [u8], key: &RepairKey) -> Option<Message<'a>> {
    match *datagram.first()? {
        DATA => {
            let (header, record) = datagram.split_at_checked(HEADER)?;
            let signed = &header[1 + TAG..];
            let (number, place) = signed.split_first_chunk()?;
            key.verifies(datagram, signed, end(record)).then_some(())?;
            Some(Message::Data(Data {
                number: u32::from_be_bytes(*number),
                place: u32::from_be_bytes(place.try_into().ok()?),
                record,
            }))
        }
        ACK if datagram.len() >= ACK_HEADER => {
            let body = &datagram[1 + TAG..];
            key.verifies(datagram, body, &[]).then_some(())?;
            Ack::decode(body).map(Message::Ack)
        }
        _ => None,
    }
}

/// The counter nearest to `near` that ends in these bits (RFC 9000 appendix A.3).
pub(super) fn expand(bits: u32, near: u64) -> u64 {
    const SPAN: u64 = 1 << 32;
    let candidate = (near & !(SPAN - 1)) | u64::from(bits);
    if candidate + SPAN / 2 <= near {
        candidate.saturating_add(SPAN)
    } else if candidate > near + SPAN / 2 && candidate >= SPAN {
        candidate - SPAN
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> RepairKey {
        RepairKey::new(&[7; 32], Way::Lane(2))
    }

    #[test]
    fn only_whole_datagrams_from_who_has_the_key_are_read() {
        let data = Data {
            number: 7,
            place: 3,
            record: &[23; 100],
        };
        let mut datagram = Vec::new();
        encode_data(&data, &key(), &mut datagram);
        assert_eq!(datagram.len(), HEADER + 100);
        assert_eq!(decode(&datagram, &key()), Some(Message::Data(data)));
        let ack = Ack {
            largest: 9,
            delay: DELAY_UNIT * 5,
            ranges: vec![0..=3, 5..=5, 100..=65_000],
        };
        let answer = ack.encode(&key());
        // One number is missing between the first two ranges, and 94 before the last.
        assert_eq!(
            answer[1 + TAG..],
            [0, 0, 0, 9, 0, 5, 0, 3, 0, 0, 0, 0, 0, 93, 0xfd, 0x84]
        );
        assert_eq!(decode(&answer, &key()), Some(Message::Ack(ack)));
        for right in [&datagram, &answer] {
            assert!(is_marked(right));
            assert_eq!(
                decode(right, &RepairKey::new(&[7; 32], Way::Answerer)),
                None
            );
            for byte in (0..HEADER).chain(right.len() - RECORD_TAG..right.len()) {
                let mut changed = right.clone();
                changed[byte] ^= 1;
                assert_eq!(decode(&changed, &key()), None, "byte {byte}");
            }
        }
        for length in 0..answer.len() {
            assert_eq!(decode(&answer[..length], &key()), None);
        }
    }

    #[test]
    fn a_range_that_is_too_long_ends_early() {
        let ack = Ack {
            largest: 1 << 20,
            delay: Duration::from_secs(10),
            ranges: vec![0..=9, 11..=1 << 19, (1 << 19) + 5..=1 << 20],
        };
        let Some(Message::Ack(read)) = decode(&ack.encode(&key()), &key()) else {
            panic!("not read");
        };
        assert_eq!(read.ranges, [0..=9, 11..=11 + u32::from(u16::MAX)]);
        assert_eq!(read.delay, DELAY_UNIT * u16::MAX.into());
    }

    proptest! {
        #[test]
        fn anything_may_arrive(mut datagram in proptest::collection::vec(0u8.., 0..300), right in any::<bool>()) {
            if let Some(first) = datagram.first_mut() {
                *first = DATA + (*first & 1);
            }
            if right && datagram.len() >= HEADER && datagram[0] == ACK {
                let tag = key().tag(ACK, &datagram[1 + TAG..], &[]);
                datagram[1..1 + TAG].copy_from_slice(&tag);
            }
            if let Some(Message::Ack(ack)) = decode(&datagram, &key()) {
                prop_assert!(ack.ranges.is_sorted_by(|near, far| *far.start() > near.end() + 1));
                prop_assert_eq!(ack.encode(&key()), datagram, "another encoding of the same");
            }
        }

        #[test]
        fn the_nearest_counter_is_found(near in 0u64..1 << 48, away in -(1i64 << 31) + 1..1i64 << 31) {
            if let Some(counter) = near.checked_add_signed(away) {
                prop_assert_eq!(expand(counter as u32, near), counter);
            }
        }
    }
}
