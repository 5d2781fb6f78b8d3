//! One RTP packet, as much of it as matters here (RFC 3550 section 5.1).

use bytes::Bytes;

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
