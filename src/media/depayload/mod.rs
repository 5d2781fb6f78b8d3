//! From the packets of one stream, in order, to whole frames.
//!
//! Pure. A frame comes out complete or not at all. After a loss nothing comes out until the next key frame,
//! since decoders would show what is built on what is missing. What makes no sense counts as lost.

mod av1;
mod h264;
mod key;
mod vp8;
mod vp9;

pub use key::{KeyFrame, key_frame};

use super::codec::Codec;
use super::packet::Packet;
use bytes::{Bytes, BytesMut};

/// Largest frame. Key frames of 4K at high rates stay below 2 MiB.
const MAX_FRAME: usize = 8 << 20;

/// A frame as the codec made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// RTP timestamp.
    pub timestamp: u32,
    /// Whether a decoder can begin here.
    pub key: bool,
    /// The bits.
    pub data: Bytes,
}

/// A payload that is not what its format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What one packet holds of its frame.
struct Piece<'a> {
    /// Whether it is the beginning of the frame.
    begins: bool,
    data: &'a [u8],
}

/// Assembles the frames of one stream.
#[derive(Debug)]
pub struct Assembler {
    codec: Codec,
    frame: BytesMut,
    state: State,
    h264: h264::Fragments,
    av1: av1::Elements,
    /// Frames that were given up.
    dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing can be shown before a key frame.
    NeedsKey,
    /// Between frames.
    Idle,
    /// In the middle of the frame with this timestamp; `key` if it has to be one.
    Within { timestamp: u32, key: bool },
}

impl Assembler {
    /// For a stream that begins anywhere.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            frame: BytesMut::new(),
            state: State::NeedsKey,
            h264: h264::Fragments::default(),
            av1: av1::Elements::default(),
            dropped: 0,
        }
    }

    /// Whether the sender should be asked for a key frame.
    pub fn needs_key(&self) -> bool {
        matches!(
            self.state,
            State::NeedsKey | State::Within { key: true, .. }
        ) && self.codec != Codec::Opus
    }

    /// Frames that were given up so far, because a part of them was missing or made no sense.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Packets are missing before the next one.
    pub fn lost(&mut self) {
        if self.codec != Codec::Opus {
            self.give_up();
        }
    }

    /// Takes the next packet; returns the frame that it completes.
    pub fn push(&mut self, packet: &Packet) -> Option<Encoded> {
        // Empty packets are padding, for probing the path.
        if packet.payload.is_empty() {
            return None;
        }
        if self.codec == Codec::Opus {
            return Some(Encoded {
                timestamp: packet.timestamp,
                key: true,
                data: packet.payload.clone(),
            });
        }
        self.enter(packet.timestamp);
        match self.append(&packet.payload) {
            Ok(()) if packet.marker => self.finish(packet.timestamp),
            Ok(()) => None,
            Err(Malformed) => {
                self.give_up();
                None
            }
        }
    }

    fn enter(&mut self, timestamp: u32) {
        let key = match self.state {
            State::Within { timestamp: now, .. } if now == timestamp => return,
            // Its last packet, which has the marker, is missing.
            State::Within { .. } => {
                self.give_up();
                true
            }
            State::NeedsKey => true,
            State::Idle => false,
        };
        self.frame.clear();
        self.state = State::Within { timestamp, key };
    }

    fn append(&mut self, payload: &Bytes) -> Result<(), Malformed> {
        let piece = match self.codec {
            Codec::Vp8 => vp8::unpack(payload)?,
            Codec::Vp9 => vp9::unpack(payload)?,
            Codec::H264 => return self.bounded(|this| this.h264.unpack(payload, &mut this.frame)),
            Codec::Av1 => {
                return self.bounded(|this| {
                    let begins = this.frame.is_empty() && this.av1.is_empty();
                    this.av1.unpack(payload, begins, &mut this.frame)
                });
            }
            Codec::Opus => return Err(Malformed),
        };
        if piece.begins != self.frame.is_empty() {
            return Err(Malformed);
        }
        self.bounded(|this| {
            this.frame.extend_from_slice(piece.data);
            Ok(())
        })
    }

    fn bounded(
        &mut self,
        append: impl FnOnce(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        append(self)?;
        let size = self.frame.len() + self.h264.len() + self.av1.len();
        if size > MAX_FRAME {
            Err(Malformed)
        } else {
            Ok(())
        }
    }

    fn finish(&mut self, timestamp: u32) -> Option<Encoded> {
        let whole = self.h264.is_empty() && self.av1.is_empty() && !self.frame.is_empty();
        let must_be_key = !matches!(self.state, State::Within { key: false, .. });
        let data = self.frame.split().freeze();
        let key = self.codec.is_key(&data);
        if !whole || (must_be_key && !key) {
            self.give_up();
            return None;
        }
        self.state = State::Idle;
        Some(Encoded {
            timestamp,
            key,
            data,
        })
    }

    fn give_up(&mut self) {
        if matches!(self.state, State::Within { .. }) {
            self.dropped += 1;
        }
        self.frame.clear();
        self.h264.clear();
        self.av1.clear();
        self.state = State::NeedsKey;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::payload::Packetizer;
    use proptest::prelude::*;

    /// Frames with the first bits of real ones, `size` bytes long: a key frame and two others.
    fn frames(codec: Codec, size: usize) -> Vec<Bytes> {
        let body = |head: &[u8], seed: u8| {
            let rest = (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) | 1);
            Bytes::from(head.iter().copied().chain(rest).collect::<Vec<u8>>())
        };
        let av1 = |key: bool, seed: u8| {
            let mut unit = Vec::new();
            if key {
                unit.extend([0x0a, 3, 1, 2, 3]);
            }
            unit.push(0x32);
            crate::media::codec::put_leb128(&mut unit, size);
            unit.extend((0..size).map(|i| (i as u8).wrapping_add(seed)));
            Bytes::from(unit)
        };
        match codec {
            Codec::Opus => (0..3).map(|seed| body(&[0xfc], seed)).collect(),
            Codec::Vp8 => vec![body(&[0x10], 1), body(&[0x11], 2), body(&[0x11], 3)],
            Codec::Vp9 => vec![body(&[0x82], 1), body(&[0x86], 2), body(&[0x86], 3)],
            Codec::H264 => vec![
                body(
                    &[
                        0, 0, 0, 1, 0x67, 9, 9, 0, 0, 0, 1, 0x68, 8, 0, 0, 0, 1, 0x65,
                    ],
                    1,
                ),
                body(&[0, 0, 0, 1, 0x41], 2),
                body(&[0, 0, 0, 1, 0x41], 3),
            ],
            Codec::Av1 => vec![av1(true, 1), av1(false, 2), av1(false, 3)],
        }
    }

    fn packets(codec: Codec, size: usize) -> Vec<Packet> {
        let mut packetizer = Packetizer::new(codec);
        let mut packets = Vec::new();
        for (index, frame) in frames(codec, size).iter().enumerate() {
            packets.extend(packetizer.packets(frame, 3000 * index as u32));
        }
        packets
    }

    const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    #[test]
    fn what_was_taken_apart_is_put_together() {
        for codec in Codec::ALL {
            for size in [1, 100, 1_190, 1_200, 5_000, 100_000] {
                if codec == Codec::Opus && size > 1_000 {
                    continue;
                }
                let packets = packets(codec, size);
                assert!(packets.iter().all(|packet| packet.payload.len() <= 1_200));
                let mut assembler = Assembler::new(codec);
                let out: Vec<_> = packets.iter().filter_map(|p| assembler.push(p)).collect();
                let data: Vec<_> = out.iter().map(|frame| frame.data.clone()).collect();
                assert_eq!(data, frames(codec, size), "{codec:?} {size}");
                assert_eq!(out[2].timestamp, 6_000);
                let keys: Vec<_> = out.iter().map(|frame| frame.key).collect();
                assert_eq!(keys, [true, codec == Codec::Opus, codec == Codec::Opus]);
                assert_eq!(assembler.dropped(), 0);
            }
        }
    }

    #[test]
    fn a_key_frame_is_known_by_its_first_packet() {
        for codec in Codec::ALL {
            let size = if codec == Codec::Opus { 100 } else { 5_000 };
            let packets = packets(codec, size);
            let mut keys = packets
                .iter()
                .filter(|p| key_frame(codec, &p.payload).is_some());
            let first = keys.next().map(|packet| packet.sequence);
            assert_eq!(first, Some(packets[0].sequence), "{codec:?}");
            assert!(codec == Codec::Opus || keys.all(|packet| packet.timestamp == 0));
        }
    }

    #[test]
    fn after_a_loss_nothing_comes_before_a_key_frame() {
        for codec in VIDEO {
            let packets = packets(codec, 5_000);
            let begins = |timestamp| packets.iter().position(|p| p.timestamp == timestamp);
            let second = begins(3_000).unwrap();
            let mut assembler = Assembler::new(codec);
            let mut out = Vec::new();
            for (index, packet) in packets.iter().chain(&packets).enumerate() {
                if index == second + 1 {
                    assembler.lost();
                    assert!(assembler.needs_key());
                    continue;
                }
                out.extend(assembler.push(packet));
            }
            let keys: Vec<_> = out.iter().map(|frame| frame.key).collect();
            assert_eq!(keys, [true, true, false, false], "{codec:?}");
            assert!(!assembler.needs_key());
        }
    }

    #[test]
    fn a_stream_that_begins_in_the_middle_waits_for_a_key_frame() {
        for codec in VIDEO {
            let mut assembler = Assembler::new(codec);
            assert!(assembler.needs_key());
            let packets = packets(codec, 2_000);
            let late = packets.iter().filter(|packet| packet.timestamp > 0);
            assert_eq!(late.filter_map(|packet| assembler.push(packet)).count(), 0);
            assert_eq!(packets.iter().filter_map(|p| assembler.push(p)).count(), 3);
        }
    }

    /// 300 elements with their lengths, each one byte that is a whole OBU.
    #[test]
    fn a_packet_has_any_number_of_elements() {
        let mut unit = BytesMut::new();
        let elements = [1, 0x32].repeat(300);
        let payload = [&[0x08], &elements[..]].concat();
        assert!(key_frame(Codec::Av1, &payload).is_some());
        let unpacked = av1::Elements::default().unpack(&payload, true, &mut unit);
        assert_eq!((unpacked, unit.len()), (Ok(()), 300));
    }

    #[test]
    fn a_frame_without_end_is_given_up() {
        let mut assembler = Assembler::new(Codec::Vp8);
        let packet = |first: bool| Packet {
            sequence: 0,
            timestamp: 0,
            marker: false,
            payload: Bytes::from([vec![if first { 0x10 } else { 0 }], vec![0; 60_000]].concat()),
        };
        assert_eq!(assembler.push(&packet(true)), None);
        for _ in 0..200 {
            assembler.push(&packet(false));
            assert!(assembler.frame.len() <= MAX_FRAME);
        }
        assert!(assembler.dropped() > 0);
    }

    proptest! {
        #[test]
        fn any_payload_is_taken_or_refused_without_a_panic(
            codec in 0usize..5,
            payloads in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0u32..3), 0..30,
            ),
        ) {
            let mut assembler = Assembler::new(Codec::ALL[codec]);
            for (payload, marker, timestamp) in payloads {
                let payload = Bytes::from(payload);
                let _ = key_frame(Codec::ALL[codec], &payload);
                let _ = assembler.push(&Packet { sequence: 0, timestamp, marker, payload });
            }
        }

        #[test]
        fn a_changed_byte_never_panics(
            codec in 0usize..5, at in any::<usize>(), byte in any::<u8>(), size in 1usize..4_000,
        ) {
            let codec = Codec::ALL[codec];
            let size = if codec == Codec::Opus { size % 1_000 } else { size };
            let mut packets = packets(codec, size);
            let chosen = at % packets.len();
            let mut payload = packets[chosen].payload.to_vec();
            let index = at / 7 % payload.len().min(8);
            payload[index] = byte;
            packets[chosen].payload = payload.into();
            let mut assembler = Assembler::new(codec);
            for packet in &packets {
                let _ = assembler.push(packet);
            }
        }
    }
}
