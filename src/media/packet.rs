//! One RTP packet, as much of it as matters here (RFC 3550 section 5.1).

use bytes::Bytes;
use rtc::rtp;

/// A packet of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Counts packets; wraps.
    pub sequence: u16,
    /// In ticks of the codec's clock; wraps.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// The codec's payload format.
    pub payload: Bytes,
}

impl Packet {
    /// As it goes to the engine.
    pub(crate) fn into_rtp(self, payload_type: u8, ssrc: u32) -> rtp::Packet {
        rtp::Packet {
            header: rtp::Header {
                version: 2,
                marker: self.marker,
                payload_type,
                sequence_number: self.sequence,
                timestamp: self.timestamp,
                ssrc,
                ..Default::default()
            },
            payload: self.payload,
        }
    }
}
