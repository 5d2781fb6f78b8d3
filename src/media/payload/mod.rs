//! From frames to the packets of one stream.
//!
//! Pure. Every packet stays below 1,200 bytes of payload, which any path carries.

mod av1;
mod h264;
mod vp8;
mod vp9;

use super::codec::Codec;
use super::packet::Packet;
use bytes::Bytes;

/// Bytes of payload in a packet: with RTP header, extensions, SRTP tag, UDP and IPv6 it is below 1,280.
pub(crate) const MAX_PAYLOAD: usize = 1_160;

/// Numbers the packets of one stream.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    sequence: u16,
    offset: u32,
    vp9: vp9::Pictures,
}

impl Packetizer {
    /// A stream that begins at a random number and time (RFC 3550 section 5.1).
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            sequence: rand::random(),
            offset: 0,
            vp9: vp9::Pictures::default(),
        }
    }

    /// As [`new`](Self::new), the times beginning at random as well.
    pub(crate) fn with_offset(codec: Codec) -> Self {
        Self {
            offset: rand::random(),
            ..Self::new(codec)
        }
    }

    /// The packets of a frame that is `ticks` of the codec's clock behind the beginning of the stream. None
    /// if there is nothing in it that can be sent.
    pub fn packets(&mut self, frame: &Bytes, ticks: u32) -> Vec<Packet> {
        let payloads = match self.codec {
            Codec::Opus if frame.is_empty() => Vec::new(),
            Codec::Opus => vec![frame.clone()],
            Codec::Vp8 => vp8::payloads(frame),
            Codec::Vp9 => self.vp9.payloads(frame),
            Codec::H264 => h264::payloads(frame),
            Codec::Av1 => av1::payloads(frame),
        };
        let last = payloads.len().saturating_sub(1);
        let timestamp = self.offset.wrapping_add(ticks);
        let packet = |(index, payload)| {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            Packet {
                sequence,
                timestamp,
                // For audio it would mean a beginning after silence (RFC 3551 section 4.1).
                marker: index == last && self.codec != Codec::Opus,
                payload,
            }
        };
        payloads.into_iter().enumerate().map(packet).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_go_on_and_the_last_packet_is_marked() {
        let mut packetizer = Packetizer::new(Codec::Vp8);
        let frame = Bytes::from(vec![0; 3_000]);
        let packets = [
            packetizer.packets(&frame, 0),
            packetizer.packets(&frame, 3_000),
        ]
        .concat();
        for pair in packets.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        }
        let marked: Vec<_> = packets.iter().map(|packet| packet.marker).collect();
        assert_eq!(marked, [false, false, true, false, false, true]);
        assert_eq!(packetizer.packets(&Bytes::new(), 0), []);
    }

    proptest! {
        #[test]
        fn any_frame_makes_small_packets_or_none(
            codec in 0usize..5, frame in proptest::collection::vec(any::<u8>(), 0..5_000),
        ) {
            let mut packetizer = Packetizer::new(Codec::ALL[codec]);
            for packet in packetizer.packets(&frame.into(), 0) {
                prop_assert!(!packet.payload.is_empty());
                prop_assert!(packet.payload.len() <= MAX_PAYLOAD || codec == 0);
            }
        }
    }
}
