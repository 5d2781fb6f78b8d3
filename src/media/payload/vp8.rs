//! RFC 7741 section 4.2, the shortest descriptor: one byte.

use super::MAX_PAYLOAD;
use bytes::Bytes;

pub(super) fn payloads(frame: &[u8]) -> Vec<Bytes> {
    let parts = frame.chunks(MAX_PAYLOAD - 1).enumerate();
    parts
        .map(|(index, part)| {
            let descriptor = if index == 0 { 0x10 } else { 0 };
            [&[descriptor], part].concat().into()
        })
        .collect()
}
