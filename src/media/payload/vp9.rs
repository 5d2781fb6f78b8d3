//! RFC 9628 section 4.2, flexible mode: each picture names the one before as its reference, since decoders
//! need every one of a stream that is passed through. (The engine's own packetizer calls every picture a key
//! frame, and Chromium asks for new ones without end.)

use super::MAX_PAYLOAD;
use crate::media::codec::Codec;
use bytes::Bytes;

#[derive(Debug, Default)]
pub(super) struct Pictures {
    next: u16,
}

impl Pictures {
    pub(super) fn payloads(&mut self, frame: &[u8]) -> Vec<Bytes> {
        let picture = self.next.to_be_bytes();
        self.next = (self.next + 1) & 0x7fff;
        let is_inter = !Codec::Vp9.is_key(frame);
        let head = if is_inter { 4 } else { 3 };
        let parts = frame.chunks(MAX_PAYLOAD - head);
        let last = parts.len().saturating_sub(1);
        let payload = |(index, part): (usize, &[u8])| {
            // I and F; P, B and E where they are true.
            let mut first = 0x90;
            first |= if is_inter { 0x40 } else { 0 };
            first |= if index == 0 { 0x08 } else { 0 };
            first |= if index == last { 0x04 } else { 0 };
            let descriptor = [first, picture[0] | 0x80, picture[1], 1 << 1];
            [&descriptor[..head], part].concat().into()
        };
        parts.enumerate().map(payload).collect()
    }
}
